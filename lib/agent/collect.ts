/** Output kept in memory, up to a bound: it is the guest that decides how much there is. */

import type { Sink } from "./client.ts";

/** Takes all of an output and keeps the beginning. */
export class Collector {
  readonly #limit: number;
  readonly #chunks: Uint8Array[] = [];
  #kept = 0;
  #total = 0;

  /** `limit`: the most bytes that are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  readonly sink: Sink = (chunk) => {
    const part = chunk.subarray(0, this.#limit - this.#kept);
    if (part.byteLength > 0) this.#chunks.push(part);
    this.#kept += part.byteLength;
    this.#total += chunk.byteLength;
    return Promise.resolve();
  };

  /** Bytes that came. */
  get total(): number {
    return this.#total;
  }

  /** Whether there was more than is kept. */
  get truncated(): boolean {
    return this.#total > this.#kept;
  }

  /** What is kept. */
  bytes(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#kept);
    let at = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, at);
      at += chunk.byteLength;
    }
    return whole;
  }
}
