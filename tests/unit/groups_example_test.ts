/** The part of the worked example that needs no VM; tests/vm/groups_example_test.ts runs the rest. */

import { deepStrictEqual } from "node:assert/strict";
import { parse } from "../../docs/examples/groups.mjs";

Deno.test("what is between the markers is JSON, or no answer", () => {
  const cases: [string, unknown, string][] = [
    ["a\nBEGIN\n[1]\nEND\nb\n", [1], "a\nb\n"],
    ["BEGIN\nnull\nEND\n", null, ""],
    ["BEGIN\n{\nEND\n", null, ""],
    ["BEGIN\n1\n", null, "BEGIN\n1\n"],
    ["END\nBEGIN\n", null, "END\nBEGIN\n"],
    ["END\nBEGIN\n2\nEND\n", 2, "END\n"],
    ["", null, ""],
  ];
  for (const [text, answer, log] of cases) {
    deepStrictEqual(parse(text, "BEGIN", "END"), { answer, log }, JSON.stringify(text));
  }
});
