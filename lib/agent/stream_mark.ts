/** Bytes by which a stream is known to begin anew, wherever the one before was cut off. */

/** Looks for a mark that nothing follows at once, at the end of what has come of a stream. */
export class StreamMark {
  readonly bytes: Uint8Array;
  /** The last bytes that came, no more than the mark has. */
  #last = new Uint8Array();

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Takes the next chunk; true if the stream ends with the mark now. */
  endsWith(chunk: Uint8Array): boolean {
    const size = this.bytes.byteLength;
    const known = Math.max(0, size - chunk.byteLength);
    const kept = known > 0 ? this.#last.subarray(-known) : [];
    this.#last = new Uint8Array([...kept, ...chunk.subarray(-size)]);
    return this.#last.byteLength === size &&
      this.#last.every((byte, index) => byte === this.bytes[index]);
  }
}
