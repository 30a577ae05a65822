/** The C half's parser, with sanitizers: against a plain decoder, and against the other half's. */

import { deepStrictEqual as assertEquals, ok as assert } from "node:assert/strict";
import {
  encodeFrame,
  FrameParser,
  FrameType,
  MAX_DATA,
  MAX_PAYLOAD,
} from "../../lib/agent/frame.ts";
import { compile, exec, fields, hello, join } from "./agent_c/guest.ts";
import { randomFrom } from "../support/random.ts";
import { mutated, SANITIZED } from "./agent_c/mutate.ts";

/** What the host may send: type, fewest and most bytes of payload. */
const LENGTHS: [number, number, number][] = [
  [FrameType.hello, 8, 512],
  [FrameType.exec, 22, MAX_PAYLOAD],
  [FrameType.stdin, 0, MAX_DATA],
  [FrameType.eof, 0, 0],
  [FrameType.credit, 5, 5],
  [FrameType.resize, 4, 4],
  [FrameType.signal, 1, 1],
  [FrameType.hangup, 0, 0],
  [FrameType.mount, 3, MAX_PAYLOAD],
  [FrameType.umount, 2, MAX_PAYLOAD],
  [FrameType.poweroff, 1, 1],
  [FrameType.clock, 13, 13],
  [FrameType.terminate, 4, 4],
];

interface Case {
  bytes: Uint8Array;
  chunk: number;
  searching?: boolean;
}

function fingerprint(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 16777619) >>> 0, 2166136261);
}

function line(stream: number, type: number, payload: Uint8Array): string {
  return `${stream} ${type} ${payload.byteLength} ${fingerprint(payload)}`;
}

/** What the parser should say of `bytes`: the rules, without any chunks. */
function expected(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0;;) {
    if (at === bytes.byteLength) return [...lines, "between"];
    if (bytes.byteLength - at < 8) return [...lines, "inside"];
    const length = view.getUint32(at + 4, true) & 0xffffff;
    const rule = LENGTHS.find(([type]) => type === bytes[at + 7]);
    if (!rule) return [...lines, "error unexpected frame type"];
    if (length < rule[1] || length > rule[2]) return [...lines, "error frame of a wrong length"];
    if (bytes.byteLength - at < 8 + length) return [...lines, "inside"];
    lines.push(line(view.getUint32(at, true), rule[0], bytes.subarray(at + 8, at + 8 + length)));
    at += 8 + length;
  }
}

/** Runs the cases through the C parser; an end by a sanitizer fails. */
async function parse(program: string, cases: Case[]): Promise<string[]> {
  const child = new Deno.Command(program, { stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  const writing = (async () => {
    for (const { bytes, chunk, searching } of cases) {
      const head = fields([4, bytes.byteLength], [4, chunk], [1, searching ? 1 : 0]);
      await writer.write(join(head, bytes));
    }
    await writer.close();
  })().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await writing;
  assertEquals({ code, stderr: new TextDecoder().decode(stderr) }, { code: 0, stderr: "" });
  return new TextDecoder().decode(stdout).trimEnd().split("\n");
}

/** Some frames of every type. */
function traffic(): Uint8Array[] {
  return [
    hello(),
    exec(1, { argv: ["cat"], stdin: true, env: ["A=b"] }),
    encodeFrame(1, FrameType.stdin, new Uint8Array(300).map((_, i) => i)),
    encodeFrame(1, FrameType.stdin),
    encodeFrame(1, FrameType.credit, fields([4, 65536], [1, 1])),
    exec(2, { argv: [], pty: { rows: 24, columns: 80 } }),
    encodeFrame(2, FrameType.resize, fields([2, 50], [2, 132])),
    encodeFrame(2, FrameType.signal, fields([1, 2])),
    encodeFrame(1, FrameType.eof),
    encodeFrame(2, FrameType.hangup),
    encodeFrame(2, FrameType.terminate, fields([4, 5000])),
    encodeFrame(3, FrameType.mount, new TextEncoder().encode("\x01name\0/work\0")),
    encodeFrame(4, FrameType.umount, new TextEncoder().encode("\0/work\0")),
    encodeFrame(5, FrameType.clock, new Uint8Array(13)),
    encodeFrame(6, FrameType.poweroff, new Uint8Array(1)),
  ];
}

async function withParser(body: (program: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await body(await compile(dir, SANITIZED, "parser.c"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const linux = { ignore: Deno.build.os !== "linux" };

Deno.test(
  "agent parser: whole traffic in chunks of any size",
  linux,
  () =>
    withParser(async (program) => {
      const bytes = join(...traffic(), encodeFrame(7, FrameType.stdin, new Uint8Array(MAX_DATA)));
      const cases = [1, 2, 7, 8, 9, 64, 4096, 1 << 20].map((chunk) => ({ bytes, chunk }));
      const lines = await parse(program, cases);
      assertEquals(lines, cases.flatMap(() => expected(bytes)));
      const parser = new FrameParser(new Map(LENGTHS.map(([type, _, most]) => [type, most])));
      const theirs = [...parser.push(bytes)].map((f) => line(f.stream, f.type, f.payload));
      assertEquals(lines.slice(0, theirs.length), theirs);
    }),
);

Deno.test(
  "agent parser: the largest frame, and the lengths that are refused",
  linux,
  () =>
    withParser(async (program) => {
      const largest = encodeFrame(1, FrameType.exec, new Uint8Array(MAX_PAYLOAD).fill(65));
      assertEquals(
        await parse(program, [{ bytes: join(hello(), largest, hello()), chunk: 100_000 }]),
        expected(join(hello(), largest, hello())),
      );
      for (const [type, least, most] of LENGTHS) {
        const fits = [least, most].map((length) => encodeFrame(9, type, new Uint8Array(length)));
        assertEquals(
          await parse(program, fits.map((bytes) => ({ bytes, chunk: 65536 }))),
          fits.flatMap(expected),
        );
        // A header alone is enough to refuse the rest.
        const wrong = [most + 1, ...(least > 0 ? [least - 1] : [])]
          .map((length) => fields([4, 9], [2, length & 0xffff], [1, length >> 16], [1, type]));
        assertEquals(
          await parse(program, wrong.map((bytes) => ({ bytes, chunk: 3 }))),
          wrong.map(() => "error frame of a wrong length"),
        );
      }
    }),
);

Deno.test(
  "agent parser: types that the host does not send",
  linux,
  () =>
    withParser(async (program) => {
      const known = LENGTHS.map(([type]) => type);
      const others = Array.from({ length: 256 }, (_, i) => i).filter((i) => !known.includes(i));
      const cases = others.map((type) => ({ bytes: encodeFrame(1, type), chunk: 8 }));
      assertEquals(await parse(program, cases), cases.map(() => "error unexpected frame type"));
    }),
);

Deno.test("agent parser: every truncation is seen", linux, () =>
  withParser(async (program) => {
    const bytes = join(...traffic());
    const cases = Array.from(bytes, (_, i) => ({ bytes: bytes.subarray(0, i), chunk: 5 })).slice(1);
    assertEquals(await parse(program, cases), cases.flatMap((c) => expected(c.bytes)));
  }));

Deno.test(
  "agent parser: finds the HELLO behind the rest of an older connection",
  linux,
  () =>
    withParser(async (program) => {
      const rest = encodeFrame(3, FrameType.stdin, new TextEncoder().encode("VIBE\x01\0\0\0 VIBE"));
      const garbage = [
        new Uint8Array(),
        rest.subarray(5),
        join(rest, rest).subarray(11),
        new Uint8Array(200_000).fill(0),
        new TextEncoder().encode("\x10\0\0\x01VIBE"),
      ];
      const tail = join(hello(), exec(1, { argv: ["x"] }));
      const cases = garbage.flatMap((junk) =>
        [1, 13, 65536].map((chunk) => ({ bytes: join(junk, tail), chunk, searching: true }))
      );
      assertEquals(await parse(program, cases), cases.flatMap(() => expected(tail)));
      assertEquals(
        await parse(program, [{ bytes: join(rest, rest), chunk: 9, searching: true }]),
        ["inside"],
      );
    }),
);

Deno.test(
  "agent parser: 20000 mutations of valid traffic",
  linux,
  () =>
    withParser(async (program) => {
      const random = randomFrom(20260731);
      const cases = Array.from({ length: 20_000 }, () => ({
        bytes: mutated(traffic(), random),
        chunk: 1 + random(64),
      }));
      const wanted = cases.flatMap((c) => expected(c.bytes));
      assert(wanted.some((l) => l.startsWith("error unexpected")) && wanted.includes("inside"));
      assertEquals(await parse(program, cases), wanted);
    }),
);

Deno.test("both halves tell the protocol in the same words", async () => {
  const prose = await Promise.all(
    ["../../lib/agent/frame.ts", "../../provision/agent/frame.c"].map(async (path) => {
      const text = await Deno.readTextFile(new URL(path, import.meta.url));
      return text.slice(text.indexOf(" * A frame is an 8-byte header"), text.indexOf("\n */"));
    }),
  );
  assert(prose[0].length > 4000);
  assertEquals(prose[1], prose[0]);
});
