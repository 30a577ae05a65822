/** Writing disks so that what is zero takes no room: holes stay holes, and new ones come about. */

/** A block that is zero becomes a hole; file systems allocate in blocks of this size. */
const BLOCK = 4096;

/** Written at once. A multiple of {@link BLOCK}. */
const BUFFER = 1 << 20;

/** A new file, written from its beginning to its end. */
export class SparseFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #buffer = new Uint8Array(BUFFER);
  readonly #words = new Uint32Array(this.#buffer.buffer);
  /** Bytes in the buffer; it belongs at `#start`, a multiple of {@link BLOCK}. */
  #filled = 0;
  #start = 0;
  /** Where the file's own position is. */
  #at = 0;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Makes the file, or makes it empty. */
  static async create(path: string): Promise<SparseFile> {
    return new SparseFile(
      await Deno.open(path, { write: true, create: true, truncate: true, mode: 0o600 }),
    );
  }

  /** How long the file is so far. */
  get length(): number {
    return this.#start + this.#filled;
  }

  /** Adds bytes at the end. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + BUFFER - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === BUFFER) this.#flush();
    }
  }

  /** Adds zeros at the end, as a hole but for what shares a block with data. */
  skip(length: number): void {
    const end = this.length + length;
    const inBuffer = Math.min(length, BUFFER - this.#filled);
    this.#buffer.fill(0, this.#filled, this.#filled + inBuffer);
    this.#filled += inBuffer;
    if (this.#filled < BUFFER) return;
    this.#flush();
    this.#start = Math.floor(end / BLOCK) * BLOCK;
    this.#filled = end - this.#start;
    this.#buffer.fill(0, 0, this.#filled);
  }

  /** Writes what is left. Nothing is synced: whoever gives the file its name does that. */
  finish(): void {
    const length = this.length;
    // The rest of the last block is zero, and is cut off again.
    this.#buffer.fill(0, this.#filled);
    this.#flush();
    this.#file.truncateSync(length);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** Writes the runs of blocks in the buffer that are not zero. */
  #flush(): void {
    const end = Math.ceil(this.#filled / BLOCK) * BLOCK;
    for (let from = 0; from < end;) {
      if (this.#isZero(from)) {
        from += BLOCK;
        continue;
      }
      let to = from + BLOCK;
      while (to < end && !this.#isZero(to)) to += BLOCK;
      this.#writeAt(this.#start + from, this.#buffer.subarray(from, to));
      from = to;
    }
    this.#start += this.#filled;
    this.#filled = 0;
  }

  #isZero(block: number): boolean {
    const end = (block + BLOCK) / 4;
    for (let i = block / 4; i < end; i++) if (this.#words[i] !== 0) return false;
    return true;
  }

  #writeAt(position: number, bytes: Uint8Array): void {
    if (this.#at !== position) this.#file.seekSync(position, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    this.#at = position + bytes.length;
  }
}
