/** Two byte streams joined in memory, for tests of what speaks over one. */

import type { ByteStream } from "../../lib/driver/driver.ts";

/** A pair: what is written to one end is read at the other. */
export function streamPair(): [ByteStream, ByteStream] {
  const there = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 64 });
  const back = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 64 });
  return [end(back.readable, there.writable), end(there.readable, back.writable)];
}

function end(
  readable: ReadableStream<Uint8Array>,
  writable: WritableStream<Uint8Array>,
): ByteStream {
  const reader = readable.getReader();
  const writer = writable.getWriter();
  let rest = new Uint8Array();
  return {
    async read(p) {
      if (rest.byteLength === 0) {
        const { value, done } = await reader.read();
        if (done) return null;
        rest = value.slice();
      }
      const count = Math.min(p.byteLength, rest.byteLength);
      p.set(rest.subarray(0, count));
      rest = rest.slice(count);
      return count;
    },
    async write(p) {
      await writer.write(p.slice());
      return p.byteLength;
    },
    close() {
      writer.close().catch(() => {});
      reader.cancel().catch(() => {});
    },
  };
}
