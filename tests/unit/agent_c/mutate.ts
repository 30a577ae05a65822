/** Broken traffic, the same in every run. */

import { join } from "./guest.ts";

/** Compiler flags under which a mistake of the agent ends it. */
export const SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/** Some of the frames, in any order, with a few bytes changed, perhaps cut short. */
export function mutated(frames: Uint8Array[], random: (below: number) => number): Uint8Array {
  const picked = Array.from({ length: 1 + random(8) }, () => frames[random(frames.length)]);
  const bytes = join(...picked);
  for (let i = random(4); i > 0; i--) {
    // Headers are where it hurts: half of the changes go to the first bytes of a frame.
    const start = picked.slice(0, random(picked.length)).reduce((n, f) => n + f.byteLength, 0);
    const at = random(2) ? start + random(8) : random(bytes.byteLength);
    bytes[at] = random(2) ? random(256) : bytes[at] ^ (1 << random(8));
  }
  return bytes.subarray(0, random(4) ? bytes.byteLength : random(bytes.byteLength + 1));
}
