/** Ctrl-] three times, and what only looks like it. */

import { deepStrictEqual } from "node:assert/strict";
import { DetachKeys } from "../../lib/console/detach.ts";

/** Whether each of these inputs, with the time it comes at, is told to leave. */
function told(...inputs: [string, number][]): boolean[] {
  const keys = new DetachKeys();
  return inputs.map(([text, now]) => keys.typed(new TextEncoder().encode(text), now));
}

Deno.test("three times within a second leaves, however it is sent", () => {
  deepStrictEqual(told(["\x1d", 0], ["\x1d", 500], ["\x1d", 1000]), [false, false, true]);
  deepStrictEqual(told(["\x1d\x1d\x1d", 0]), [true]);
  deepStrictEqual(told(["\x1b[93;5u", 0], ["\x1b[93;5u\x1b[93;5:1u", 9]), [false, true]);
  deepStrictEqual(told(["\x1b[27;5;93~", 0], ["\x1d", 1], ["\x1d", 2]), [false, false, true]);
});

Deno.test("slower, interrupted, or among other text it does not", () => {
  deepStrictEqual(told(["\x1d", 0], ["\x1d", 900], ["\x1d", 1001]), [false, false, false]);
  deepStrictEqual(told(["\x1d", 0], ["\x1d", 1], ["x", 2], ["\x1d", 3]), [
    ...[false, false, false, false],
  ]);
  deepStrictEqual(told(["a\x1d\x1d\x1d", 0], ["\x1d\x1d", 1]), [false, false]);
  deepStrictEqual(told(["\x1d".repeat(100), 0]), [false]);
});
