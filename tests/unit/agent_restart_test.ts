/** An agent that was killed in the middle of a frame, and the one that comes after it. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { FrameConnection } from "../../lib/agent/connection.ts";
import { encodeFrame, type Frame, FrameType } from "../../lib/agent/frame.ts";
import { encodeHello, FROM_GUEST } from "../../lib/agent/messages.ts";
import { StreamMark } from "../../lib/agent/stream_mark.ts";
import { streamPair } from "../support/memory_stream.ts";

const KEY = "0123456789abcdef".repeat(2);
const HELLO = encodeFrame(0, FrameType.hello, encodeHello(`vibe-agent test key ${KEY}`));
const OTHER_HELLO = encodeFrame(0, FrameType.hello, encodeHello("vibe-agent test"));
const OUTPUT = encodeFrame(1, FrameType.stdout, new Uint8Array(5000).fill(7));

/** What is received of these chunks: type and length of each frame. The first HELLO is the mark. */
async function received(...chunks: Uint8Array[]): Promise<[number, number][]> {
  const [host, guest] = streamPair();
  const connection = new FrameConnection(host, FROM_GUEST);
  const frames: [number, number][] = [];
  const ended = connection.receive((frame: Frame) => {
    frames.push([frame.type, frame.payload.byteLength]);
    if (frame.type === FrameType.hello) connection.beginsWith(frame);
  });
  for (const chunk of chunks) await guest.write(chunk);
  guest.close();
  await ended;
  return frames;
}

const hello: [number, number] = [FrameType.hello, HELLO.byteLength - 8];
const output: [number, number] = [FrameType.stdout, 5000];

Deno.test("a HELLO that comes inside a frame begins anew, wherever that was cut off", async () => {
  for (const cut of [1, 7, 8, 9, 4000, OUTPUT.byteLength - 1]) {
    const begun = new Uint8Array([...OUTPUT, ...OUTPUT.subarray(0, cut), ...HELLO]);
    deepStrictEqual(await received(HELLO, begun, OUTPUT), [hello, output, hello, output], `${cut}`);
    const apart = [HELLO, OUTPUT.subarray(0, cut), HELLO, OUTPUT];
    deepStrictEqual(await received(...apart), [hello, hello, output], `${cut}`);
  }
});

Deno.test("it may come in two parts", async () => {
  for (let at = 1; at < HELLO.byteLength; at++) {
    const parts = [OUTPUT.subarray(0, 100), HELLO.subarray(0, at), HELLO.subarray(at)];
    deepStrictEqual(await received(HELLO, ...parts, OUTPUT), [hello, hello, output], `${at}`);
  }
});

Deno.test("what a program prints begins nothing", async () => {
  // The key is another one, or more comes after it.
  const forged = OUTPUT.slice();
  forged.set(OTHER_HELLO, 3000 - OTHER_HELLO.byteLength);
  const parts = [forged.subarray(0, 3000), forged.subarray(3000)];
  deepStrictEqual(await received(HELLO, ...parts, OUTPUT), [hello, output, output]);
});

Deno.test("a mark is found across chunks of any size", () => {
  const text = new TextEncoder().encode("xxmamarkmark");
  const wanted = [8, 12];
  for (let size = 1; size <= text.byteLength; size++) {
    const mark = new StreamMark(new TextEncoder().encode("mark"));
    for (let at = 0; at < text.byteLength; at += size) {
      const end = Math.min(at + size, text.byteLength);
      strictEqual(mark.endsWith(text.subarray(at, end)), wanted.includes(end), `${size}: ${end}`);
    }
  }
});
