/** A program's three streams as web streams. */

import type { Exec, Sink } from "./client.ts";

/** What may lie unread before a program that writes is held up, in bytes per output. */
const UNREAD = 256 << 10;

/** An output that somebody reads at his own pace. */
export interface ReadableOutput {
  sink: Sink;
  readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The program has ended: the stream ends, or fails. */
  end(error?: unknown): void;
}

/** A sink that can be read from. A reader that cancels loses the rest; the program goes on. */
export function readableOutput(): ReadableOutput {
  const { readable, writable } = new TransformStream<
    Uint8Array<ArrayBuffer>,
    Uint8Array<ArrayBuffer>
  >(
    undefined,
    undefined,
    new ByteLengthQueuingStrategy({ highWaterMark: UNREAD }),
  );
  const writer = writable.getWriter();
  writer.closed.catch(() => {});
  return {
    sink: (chunk) => writer.write(chunk as Uint8Array<ArrayBuffer>),
    readable,
    end: (error) => {
      (error === undefined ? writer.close() : writer.abort(error)).catch(() => {});
    },
  };
}

/** A sink that writes into a stream and leaves it open. */
export function sinkInto(stream: WritableStream<Uint8Array>): { sink: Sink } & Disposable {
  const writer = stream.getWriter();
  return {
    sink: (chunk) => writer.write(chunk),
    [Symbol.dispose]: () => writer.releaseLock(),
  };
}

/** A program's input. Closing or aborting it is the end of input. */
export function writableInput(exec: Exec): WritableStream<Uint8Array> {
  return new WritableStream({
    write: (chunk) => exec.write(chunk),
    close: () => exec.closeStdin(),
    abort: () => exec.closeStdin(),
  });
}

/** What a program can be given to read. */
export type Input = string | Uint8Array | ReadableStream<Uint8Array>;

/**
 * Gives a program all of its input, as fast as it takes it, and then its end. When the program ends
 * first, the rest of a stream is cancelled.
 *
 * @throws what reading a stream throws; the input then has no end.
 */
export async function feed(exec: Exec, ...parts: Input[]): Promise<void> {
  for (const part of parts) {
    if (part instanceof ReadableStream) await feedStream(exec, part);
    else await exec.write(typeof part === "string" ? new TextEncoder().encode(part) : part);
  }
  exec.closeStdin();
}

async function feedStream(exec: Exec, stream: ReadableStream<Uint8Array>): Promise<void> {
  const reader = stream.getReader();
  const leave = () => reader.cancel().catch(() => {});
  exec.exit.then(leave, leave);
  for (let chunk; (chunk = await reader.read()), !chunk.done;) await exec.write(chunk.value);
}
