/** The matcher: byte by byte, whatever stands between the characters. */

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { Expect, plainBytes, WINDOW } from "../../lib/console/expect.ts";
import { PlainText } from "../../lib/console/plain_text.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Every way to cut bytes in two, and a byte at a time. */
function* cuts(bytes: Uint8Array): Generator<Uint8Array[]> {
  for (let at = 0; at <= bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield [...bytes].map((byte) => Uint8Array.of(byte));
}

/** The index that a search comes to, or null if it is still under way. */
async function settled(search: Promise<number>): Promise<number | null> {
  return await Promise.race([search, new Promise<null>((done) => setTimeout(done, 0, null))]);
}

Deno.test("control sequences are taken out wherever they are cut", () => {
  const cases: [string, string][] = [
    ["plain\ttext\r\n", "plain\ttext\n"],
    ["\x1b[1;31mred\x1b[0m", "red"],
    ["a\x1b[?2004hb\x1b[2Kc\x1b[12;40Hd", "abcd"],
    ["\x1b]0;a title\x07x\x1b]8;;http://a\x1b\\y", "xy"],
    ["\x1bP1$r0m\x1b\\z\x1b_apc\x1b\\\x1b^pm\x1b\\", "z"],
    ["\x1b(B\x1b)0\x1b7\x1b8\x1b=k", "k"],
    ["bell\x07 back\b\b \x7f\x00", "bell back "],
    ["é\u0308 日本 \u{1f600}", "é\u0308 日本 \u{1f600}"],
    // Broken off: by another one, by CAN, by a line's end, by what cannot be in it.
    ["\x1b[3\x1b[4mx\x1b[5\x18y\x1b]title\nz\x1b[6é", "xy\nz\u00e9"],
    ["\x1b[1\n2mx\x1b\ny", "\nx\ny"],
  ];
  for (const [input, plain] of cases) {
    for (const chunks of cuts(encoder.encode(input))) {
      const filter = new PlainText();
      const text = chunks.map((chunk) => decoder.decode(filter.push(chunk), { stream: true }));
      strictEqual(text.join(""), plain, JSON.stringify(input));
    }
  }
});

Deno.test("a text is found wherever the stream is cut, and the search goes on behind it", async () => {
  const stream = encoder.encode(
    "[  OK  ] Started é\r\n\x1b[32mplain\x1b[0m lo\x1b[1mg\x1b[0min: root\r\nab\x1b[Kababc login: \u{1f600}!",
  );
  for (const chunks of cuts(stream)) {
    const expect = new Expect();
    const found: (number | null)[] = [];
    const first = expect.find(["ed é\n", "never"]);
    chunks.forEach((chunk) => expect.push(chunk));
    found.push(await settled(first));
    for (const texts of [["login: "], ["root\n"], ["ababc"], ["login: "], ["\u{1f600}"], ["!"]]) {
      found.push(await settled(expect.find(texts)));
    }
    deepStrictEqual(found, [0, 0, 0, 0, 0, 0, 0]);
    strictEqual(await settled(expect.find(["!"])), null);
  }
});

Deno.test("of several texts the one that ends first wins, then the one listed first", async () => {
  const find = async (stream: string, texts: string[]) => {
    const expect = new Expect();
    const search = expect.find(texts);
    expect.push(encoder.encode(stream));
    return [await settled(search), await settled(expect.find(["rest"]))];
  };
  deepStrictEqual(await find("Password: rest", ["login: ", "word: "]), [1, 0]);
  deepStrictEqual(await find("Last login: rest", ["Last login: ", "login: "]), [0, 0]);
  deepStrictEqual(await find("Last login: rest", ["login: ", "Last login: "]), [0, 0]);
  deepStrictEqual(await find("abcd rest", ["abcd", "bc"]), [1, 0]);
});

Deno.test("a text that overlaps itself is found, as a naive search finds it", async () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  const word = (length: number) => Array.from({ length }, () => "ab"[random(2)]).join("");
  for (let round = 0; round < 300; round++) {
    const [text, stream] = [word(1 + random(6)), word(random(40))];
    const expect = new Expect();
    for (const char of stream) expect.push(encoder.encode(char));
    const counted = [];
    for (let at = 0; (at = stream.indexOf(text, at)) !== -1; at += text.length) counted.push(at);
    let found = 0;
    while (await settled(expect.find([text])) === 0) found++;
    strictEqual(found, counted.length, `${text} in ${stream}`);
  }
});

Deno.test("a search that is under way misses nothing, however much comes", async () => {
  const expect = new Expect();
  const search = expect.find(["needle"]);
  const hay = encoder.encode("hay ".repeat(20_000));
  for (let i = 0; i < 20; i++) expect.push(hay);
  expect.push(encoder.encode("nee"));
  expect.push(encoder.encode("dle"));
  strictEqual(await settled(search), 0);
});

Deno.test("what nobody waits for is kept within the window, then the oldest is forgotten", async () => {
  for (const size of [1, 7, 4096, 3 * WINDOW]) {
    const expect = new Expect();
    expect.push(encoder.encode("oldest "));
    const filler = encoder.encode("x".repeat(WINDOW));
    for (let at = 0; at < WINDOW; at += size) expect.push(filler.subarray(at, at + size));
    expect.push(encoder.encode(" newest"));
    strictEqual(await settled(expect.find(["oldest"])), null);
    const other = new Expect();
    other.push(encoder.encode("oldest "));
    for (let at = 0; at < WINDOW - 20; at += size) {
      other.push(filler.subarray(at, Math.min(at + size, WINDOW - 20)));
    }
    strictEqual(await settled(other.find(["oldest"])), 0);
    strictEqual(await settled(other.find(["x"])), 0);
  }
});

Deno.test("the last lines are safe to print", () => {
  const expect = new Expect();
  expect.push(encoder.encode("one\r\n\x1b[2Jtwo\r\n\x9bthree\r\n"));
  strictEqual(expect.lastLines(2), "two\n\\x9bthree");
  ok(!expect.lastLines().includes("\x1b"));
});

Deno.test("a text without anything to be seen is refused", () => {
  for (const text of ["", "\x1b[1m", "\r"]) throws(() => plainBytes(text), RangeError);
});
