/** Marks in a console's output, wherever it is cut. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { type MarkEvent, markFormat, MarkScanner } from "../../lib/console/marks.ts";

/** The events of a stream as one line; output that was cut is joined. */
function seen(chunks: Uint8Array[]): string {
  const scanner = new MarkScanner("0a1b");
  let text = "";
  const show = (event: MarkEvent) =>
    event.kind === "output"
      ? new TextDecoder("latin1").decode(event.bytes)
      : event.kind === "start"
      ? "<start>"
      : `<end ${event.status}>`;
  for (const chunk of chunks) text += scanner.push(chunk).map(show).join("");
  return text;
}

Deno.test("marks are taken out, everything else passes", () => {
  const mark = (text: string) => `\x1b]vibe;0a1b;${text}\x07`;
  const cases: [string, string][] = [
    ["no marks at all", "no marks at all"],
    [`a${mark("start")}b${mark("end;0")}c`, "a<start>b<end 0>c"],
    [mark("end;255") + mark("start"), "<end 255><start>"],
    ["\x1b]0;title\x07\x1b[1mx\x1b[0m", "\x1b]0;title\x07\x1b[1mx\x1b[0m"],
    [`\x1b\x1b\x1b]vibe;${mark("start")}`, "\x1b\x1b\x1b]vibe;<start>"],
    // Not ours, or nothing of the kind.
    ["\x1b]vibe;ffff;start\x07", "\x1b]vibe;ffff;start\x07"],
    [mark("end;1234"), mark("end;1234")],
    [mark("stop"), mark("stop")],
    [mark("end;12345678901"), mark("end;12345678901")],
  ];
  for (const [stream, expected] of cases) {
    const bytes = new TextEncoder().encode(stream);
    for (let at = 0; at <= bytes.length; at++) {
      strictEqual(seen([bytes.subarray(0, at), bytes.subarray(at)]), expected);
    }
    strictEqual(seen([...bytes].map((byte) => Uint8Array.of(byte))), expected);
  }
});

Deno.test("a prompt is not held back", () => {
  const scanner = new MarkScanner("0a1b");
  const events = scanner.push(new TextEncoder().encode("root@plain:~# "));
  deepStrictEqual(events.length, 1);
});

Deno.test("the format prints the mark", () => {
  strictEqual(markFormat("0a1b", "start"), "\\033]vibe;0a1b;start\\007");
  strictEqual(markFormat("0a1b", "end"), "\\033]vibe;0a1b;end;%d\\007");
});
