/** Yes-or-no questions on the terminal. */

/** Asks about something that cannot be undone: only a yes in so many words is one. */
export function terminalConfirm(): ((question: string) => Promise<boolean>) | undefined {
  if (!terminalAsk()) return undefined;
  return async (question) => {
    const answer = await readAnswer(question);
    return answer !== null && answer.trim() !== "" && isYes(answer);
  };
}

/** Asks on the terminal; undefined unless somebody can read the question and answer it. */
export function terminalAsk(): ((question: string) => Promise<boolean>) | undefined {
  return Deno.stdin.isTerminal() && Deno.stderr.isTerminal() ? askOnTerminal : undefined;
}

/** What is just entered means yes; the end of input means no. */
async function askOnTerminal(question: string): Promise<boolean> {
  const answer = await readAnswer(question);
  return answer !== null && isYes(answer);
}

async function readAnswer(question: string): Promise<string | null> {
  await Deno.stderr.write(new TextEncoder().encode(question));
  const buffer = new Uint8Array(256);
  const count = await Deno.stdin.read(buffer);
  return count === null ? null : new TextDecoder().decode(buffer.subarray(0, count));
}

/** True for an answer that agrees to `[Y/n]`. */
export function isYes(answer: string): boolean {
  return /^(y|yes)?$/i.test(answer.trim());
}
