/** Reading streams: into one buffer again and again, and in pieces of the reader's choice. */

/** How much is read at once, if it is there. */
export const READ_BYTES = 1 << 18;

/**
 * Reads a stream of bytes into one buffer: half the processor time and half the memory of taking
 * the stream's own chunks (0.9 instead of 1.5 s and 55 instead of 100 MB for 209 MB).
 */
export class BufferReader {
  readonly #reader: ReadableStreamBYOBReader;
  #buffer = new Uint8Array(READ_BYTES);

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader({ mode: "byob" });
  }

  /** What has come, valid until the next read; null at the end. */
  async read(): Promise<Uint8Array | null> {
    const { done, value } = await this.#reader.read(this.#buffer);
    if (done) return null;
    this.#buffer = new Uint8Array(value.buffer);
    return value;
  }

  /** Reads no more. */
  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let bytes; (bytes = await this.read());) yield bytes;
  }
}

/** What comes in chunks of any size, valid until the next one, read in other sizes. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one byte and at most `max`, valid until the next read; null at the end. */
  async some(max: number): Promise<Uint8Array | null> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return null;
      this.#rest = value;
    }
    const bytes = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes;
  }

  /** A copy of the next `length` bytes, fewer only at the end. */
  async upTo(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const more = await this.some(length - at);
      if (!more) return bytes.subarray(0, at);
      bytes.set(more, at);
      at += more.length;
    }
    return bytes;
  }

  /** Puts back what was read last, to be read again. */
  unread(bytes: Uint8Array): void {
    const joined = new Uint8Array(bytes.length + this.#rest.length);
    joined.set(bytes);
    joined.set(this.#rest, bytes.length);
    this.#rest = joined;
  }
}
