/** Ending the input of a shell on a terminal, where the end is a key and nothing else. */

/** Control-D. */
const END = Uint8Array.of(0x04);
const CR = Uint8Array.of(0x0d);
const LF = 0x0a;
/** Milliseconds from one to the next. */
const AGAIN_MS = 500;

/**
 * Types the end of input, again and again until `ended`: a shell that edits its lines takes it for
 * one at its prompt only. What is typed while a program runs is that program's, or lost when the shell
 * is back.
 *
 * @param last the last byte that was typed; an unfinished line is finished first.
 */
export async function typeEndOfInput(
  type: (bytes: Uint8Array) => Promise<void>,
  last: number | undefined,
  ended: () => boolean,
): Promise<void> {
  if (last !== undefined && last !== LF && last !== CR[0]) await type(CR);
  while (!ended()) {
    await type(END);
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}
