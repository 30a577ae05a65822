import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import {
  encodeFrame,
  type Frame,
  FrameParser,
  FrameType,
  HEADER_SIZE,
  MAX_DATA,
  MAX_PAYLOAD,
  ProtocolError,
} from "../../lib/agent/frame.ts";
import { FROM_GUEST } from "../../lib/agent/messages.ts";

const bytes = (...values: number[]) => new Uint8Array(values);
const FRAMES: Frame[] = [
  { stream: 0, type: FrameType.hello, payload: bytes(86, 73, 66, 69, 1, 0, 0, 0) },
  { stream: 1, type: FrameType.stdout, payload: bytes(0, 255, 10, 13) },
  { stream: 0xfffffffe, type: FrameType.stderr, payload: bytes() },
  { stream: 7, type: FrameType.stdout, payload: new Uint8Array(MAX_DATA).fill(7) },
  { stream: 2, type: FrameType.exit, payload: bytes(0, 0, 0, 0, 7, 0, 0, 0) },
];

function wire(frames: Frame[]): Uint8Array {
  const parts = frames.map((f) => encodeFrame(f.stream, f.type, f.payload));
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

function parse(parser: FrameParser, chunk: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  for (const frame of parser.push(chunk)) frames.push({ ...frame, payload: frame.payload.slice() });
  return frames;
}

Deno.test("the header is what the prose says", () => {
  const frame = encodeFrame(0x04030201, 9, bytes(15));
  deepStrictEqual([...frame], [1, 2, 3, 4, 1, 0, 0, 9, 15]);
});

Deno.test("frames come out whole at every chunk size", () => {
  const all = wire(FRAMES);
  for (const size of [1, 2, 7, HEADER_SIZE, 9, 4096, MAX_DATA, all.byteLength]) {
    const parser = new FrameParser(FROM_GUEST);
    const out: Frame[] = [];
    for (let at = 0; at < all.byteLength; at += size) {
      out.push(...parse(parser, all.slice(at, at + size)));
    }
    deepStrictEqual(out, FRAMES, `chunks of ${size}`);
    ok(!parser.midFrame);
  }
});

Deno.test("many frames in one chunk, the last one cut", () => {
  const all = wire([...FRAMES, ...FRAMES, ...FRAMES]);
  const parser = new FrameParser(FROM_GUEST);
  strictEqual(parse(parser, all.subarray(0, all.byteLength - 1)).length, 14);
  ok(parser.midFrame);
  strictEqual(parse(parser, all.subarray(all.byteLength - 1)).length, 1);
  ok(!parser.midFrame);
});

Deno.test("an unknown or one-way type ends it, also when it comes a byte at a time", () => {
  for (const type of [0, 16, 255, FrameType.exec, FrameType.control]) {
    const header = encodeFrame(1, type);
    throws(() => parse(new FrameParser(FROM_GUEST), header), ProtocolError);
    const parser = new FrameParser(FROM_GUEST);
    throws(() => [...header].forEach((byte) => parse(parser, bytes(byte))), ProtocolError);
  }
});

Deno.test("a length over the type's bound ends it before a byte of payload", () => {
  const header = encodeFrame(1, FrameType.stdout);
  header.set([1, 0, 1], 4);
  throws(() => parse(new FrameParser(FROM_GUEST), header), /65537 bytes, at most 65536/);
  const credit = encodeFrame(1, FrameType.credit, new Uint8Array(6));
  throws(() => parse(new FrameParser(FROM_GUEST), credit), ProtocolError);
});

Deno.test("a payload that no frame can hold is not encoded", () => {
  throws(() => encodeFrame(1, FrameType.exec, new Uint8Array(MAX_PAYLOAD + 1)), RangeError);
});

Deno.test("garbage never hangs the parser nor makes it hold more than one frame", () => {
  // A fixed linear congruential generator: the same garbage on every run.
  let state = 1;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  let rejected = 0;
  for (let round = 0; round < 500; round++) {
    const traffic = wire(FRAMES.filter((f) => f.payload.byteLength < 100));
    for (let i = 0; i < 3; i++) traffic[Math.floor(random() * traffic.length)] = random() * 256;
    const parser = new FrameParser(FROM_GUEST);
    try {
      for (let at = 0; at < traffic.length;) {
        const size = 1 + Math.floor(random() * 20);
        for (const frame of parse(parser, traffic.slice(at, at + size))) {
          ok(frame.payload.byteLength <= FROM_GUEST.get(frame.type)!);
        }
        at += size;
      }
    } catch (error) {
      ok(error instanceof ProtocolError);
      rejected++;
    }
  }
  ok(rejected > 100, `${rejected} of 500 rejected`);
});
