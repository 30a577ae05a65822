/** Taking in a file: its hash and its sink see the same bytes, in one pass. */

import { createHash, type Hash } from "node:crypto";
import { READ_BYTES } from "./byte_source.ts";
import type { Digest } from "./downloads.ts";

/** Sees all bytes of a file, from the first one on, before they are known to be the right ones. */
export interface Sink extends AsyncDisposable {
  /** `bytes` are the sink's own until it resolves. */
  write(bytes: Uint8Array): Promise<void>;
}

/** Begins empty; {@link Intake.renew} must be called first. */
export class Intake<S extends Sink> implements AsyncDisposable {
  readonly #digest: Digest;
  readonly #openSink: () => Promise<S>;
  #hash!: Hash;
  #sink: S | null = null;
  #received = 0;

  /** @param openSink called at each new beginning; the sink before it is disposed of first. */
  constructor(digest: Digest, openSink: () => Promise<S>) {
    this.#digest = digest;
    this.#openSink = openSink;
  }

  /** Bytes taken in since the beginning. */
  get received(): number {
    return this.#received;
  }

  /** Back to the beginning. */
  async renew(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#sink = await this.#openSink();
    this.#hash = createHash(this.#digest.algorithm);
    this.#received = 0;
  }

  /** Takes in the next bytes. */
  async feed(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#received += bytes.length;
    await this.#sink!.write(bytes);
  }

  /** Takes in a file from its position to its end. */
  async feedFile(file: Deno.FsFile, signal?: AbortSignal): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    for (let count; (count = await file.read(buffer)) !== null;) {
      signal?.throwIfAborted();
      await this.feed(buffer.subarray(0, count));
    }
  }

  /** The digest so far, in hex. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  /** True if what was taken in is what was wanted. */
  isRight(): boolean {
    return this.digest() === this.#digest.hex;
  }

  /** Hands the sink over; disposing of it is the caller's now. */
  takeSink(): S {
    const sink = this.#sink!;
    this.#sink = null;
    return sink;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sink = this.#sink;
    this.#sink = null;
    await sink?.[Symbol.asyncDispose]();
  }
}
