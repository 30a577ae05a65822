/** Yes-or-no questions on the terminal. */

/** Asks on the terminal; undefined unless somebody can read the question and answer it. */
export function terminalAsk(): ((question: string) => Promise<boolean>) | undefined {
  return Deno.stdin.isTerminal() && Deno.stderr.isTerminal() ? askOnTerminal : undefined;
}

/** What is just entered means yes; the end of input means no. */
async function askOnTerminal(question: string): Promise<boolean> {
  await Deno.stderr.write(new TextEncoder().encode(question));
  const buffer = new Uint8Array(256);
  const count = await Deno.stdin.read(buffer);
  if (count === null) return false;
  return isYes(new TextDecoder().decode(buffer.subarray(0, count)));
}

/** True for an answer that agrees to `[Y/n]`. */
export function isYes(answer: string): boolean {
  return /^(y|yes)?$/i.test(answer.trim());
}
