/** Reading a stream of chunks in pieces of the reader's choice. */

/** What comes in chunks of any size, read in other sizes. */
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
