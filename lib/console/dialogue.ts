/** Typing at a console and waiting, never without end, for what it answers. */

import { VibeError, type VibeErrorOptions } from "../errors.ts";
import { Expect } from "./expect.ts";

/** How a wait that came to nothing is told. */
export interface WaitFailure extends Pick<VibeErrorOptions, "exitCode"> {
  /** Code of the error. */
  code: string;
  /** `the guest's login prompt`: completes "waited 30 seconds for". */
  what: string;
  /** What to do, before the last lines that were seen. */
  hint?: string;
}

/** One side of a conversation: what is written goes to `write`, what is heard to {@link hear}. */
export class Dialogue {
  readonly #expect = new Expect();
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #ended = Promise.withResolvers<never>();

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
    this.#ended.promise.catch(() => {});
  }

  /** Output of the other side. */
  hear(chunk: Uint8Array): void {
    this.#expect.push(chunk);
  }

  /** The other side is gone: whoever waits gets `error`. */
  end(error: Error): void {
    this.#ended.reject(error);
  }

  /** Types a line and Enter, which is a carriage return: programs in raw mode know no other. */
  async send(line: string): Promise<void> {
    await this.type(new TextEncoder().encode(`${line}\r`));
  }

  /** Types bytes. */
  async type(bytes: Uint8Array): Promise<void> {
    await this.whileThere(this.#write(bytes));
  }

  /**
   * Resolves to the index of the first of `texts` that is seen, or null when the time is over.
   * See {@link Expect.find}.
   */
  async wait(texts: string[], milliseconds: number): Promise<number | null> {
    return await this.within(this.#expect.find(texts), milliseconds);
  }

  /** Searches without a limit of time; see {@link Expect.find}. */
  find(texts: string[]): Promise<number> {
    return this.#expect.find(texts);
  }

  /** The value of a promise, or null when the time is over. @throws if the other side is gone. */
  async within<T>(promise: Promise<T>, milliseconds: number): Promise<T | null> {
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(() => late.resolve(null), milliseconds);
    try {
      return await Promise.race([promise, late.promise, this.#ended.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The value of a promise. @throws if the other side is gone first. */
  async whileThere<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#ended.promise]);
  }

  /** {@link wait}, where nothing seen in time is an error. @throws {VibeError} see {@link late}. */
  async expect(texts: string[], milliseconds: number, failure: WaitFailure): Promise<number> {
    const index = await this.wait(texts, milliseconds);
    if (index === null) throw this.late(milliseconds, failure);
    return index;
  }

  /** The error for a wait that came to nothing, with the last lines that were seen. */
  late(milliseconds: number, { code, what, hint, exitCode }: WaitFailure): VibeError {
    const message = `Waited ${milliseconds / 1000} seconds for ${what} in vain`;
    return new VibeError(code, message, {
      hint: [...hint ? [hint] : [], this.lastSeen()].join("\n"),
      exitCode,
    });
  }

  /** The last lines that were seen, for a message. */
  lastSeen(): string {
    const lines = this.#expect.lastLines();
    return lines ? `The last that was seen:\n${lines}` : "Nothing at all was seen.";
  }
}
