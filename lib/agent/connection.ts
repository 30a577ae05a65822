/** Frames over a byte stream: one reader, and a writer that never interleaves. */

import type { ByteStream } from "../driver/driver.ts";
import { encodeFrame, type Frame, FrameParser, HEADER_SIZE, writeHeader } from "./frame.ts";
import { StreamMark } from "./stream_mark.ts";

/** Bytes asked of the stream at once: 4 data frames, so that a busy stream costs few wake-ups. */
const READ_SIZE = 256 << 10;

/** A byte stream that carries frames. Closing it closes the stream. */
export class FrameConnection {
  readonly #stream: ByteStream;
  readonly #parser: FrameParser;
  #beginning: StreamMark | null = null;
  #queue: Uint8Array[] = [];
  #flushing: Promise<void> | null = null;
  #closed = false;

  /** `accepts`: the frame types that may come in, with the longest payload of each. */
  constructor(stream: ByteStream, accepts: ReadonlyMap<number, number>) {
    this.#stream = stream;
    this.#parser = new FrameParser(accepts);
  }

  /**
   * Hands every incoming frame to `onFrame`, in order, until the stream ends or is closed. The
   * payload is only good during the call.
   *
   * @throws {ProtocolError} when the other side breaks the protocol, also from `onFrame`.
   */
  async receive(onFrame: (frame: Frame) => void): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    while (!this.#closed) {
      let count: number | null;
      try {
        count = await this.#stream.read(buffer);
      } catch (error) {
        if (this.#closed || isDisconnect(error)) return;
        throw error;
      }
      if (count === null) return;
      for (const frame of this.#frames(buffer.subarray(0, count))) onFrame(frame);
    }
  }

  /**
   * From now on this very frame begins the stream anew, also in the middle of another frame, which
   * is dropped. The other side sends nothing after it until it is answered.
   */
  beginsWith({ stream, type, payload }: Frame): void {
    this.#beginning = new StreamMark(encodeFrame(stream, type, payload));
  }

  /** Queues a frame. The payload is copied. Does nothing once the connection is closed. */
  send(stream: number, type: number, payload?: Uint8Array): void {
    if (this.#closed) return;
    this.#queue.push(encodeFrame(stream, type, payload));
    this.#flushing ??= this.#flush();
  }

  /** Passes a frame on under another stream number, with one copy. */
  forward(frame: Frame, stream: number): void {
    if (this.#closed) return;
    const bytes = new Uint8Array(HEADER_SIZE + frame.payload.byteLength);
    writeHeader(bytes, stream, frame.type, frame.payload.byteLength);
    bytes.set(frame.payload, HEADER_SIZE);
    this.#queue.push(bytes);
    this.#flushing ??= this.#flush();
  }

  /** Resolves when all that was queued so far has been handed to the kernel, or is lost. */
  async flushed(): Promise<void> {
    await this.#flushing;
  }

  /** Closes the stream at once; what is still queued is dropped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    try {
      this.#stream.close();
    } catch {
      // Already closed by the other side's end.
    }
  }

  *#frames(chunk: Uint8Array): Generator<Frame> {
    const beginning = this.#beginning;
    if (!beginning?.endsWith(chunk)) {
      yield* this.#parser.push(chunk);
      return;
    }
    yield* this.#parser.push(chunk.subarray(0, -beginning.bytes.byteLength));
    this.#parser.reset();
    yield* this.#parser.push(beginning.bytes);
  }

  async #flush(): Promise<void> {
    // Frames queued in the same turn of the event loop leave together.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) {
        const batch = this.#queue;
        this.#queue = [];
        for (const bytes of joinSmall(batch)) await this.#writeAll(bytes);
      }
    } catch {
      // The reader of this connection sees its end, too, and cleans up.
      this.close();
    } finally {
      this.#flushing = null;
    }
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      at += await this.#stream.write(bytes.subarray(at));
    }
  }
}

/** Joins runs of small frames, so that each write is worth its system call. */
function joinSmall(batch: Uint8Array[]): Uint8Array[] {
  if (batch.length === 1) return batch;
  const joined: Uint8Array[] = [];
  let run: Uint8Array[] = [];
  let size = 0;
  const flush = () => {
    if (run.length === 1) joined.push(run[0]);
    else if (run.length > 1) {
      const bytes = new Uint8Array(size);
      let at = 0;
      for (const part of run) {
        bytes.set(part, at);
        at += part.byteLength;
      }
      joined.push(bytes);
    }
    run = [];
    size = 0;
  };
  for (const frame of batch) {
    if (size + frame.byteLength > 16 << 10) flush();
    run.push(frame);
    size += frame.byteLength;
  }
  flush();
  return joined;
}

function isDisconnect(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.UnexpectedEof || error instanceof Deno.errors.NotConnected;
}
