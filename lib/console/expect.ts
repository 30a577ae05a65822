/**
 * Waiting for text in the output of a console or terminal. Pure: it is pushed chunks, and knows no
 * clock. A text is found wherever the chunks are cut, inside UTF-8 characters and control sequences,
 * too, and whatever control sequences stand between its characters (see {@link PlainText}); a line
 * end in it is LF, sent as LF or CR LF. Memory is bounded: {@link WINDOW} bytes of output that
 * nobody waited for yet, then the oldest are forgotten.
 */

import { printableLines } from "../errors.ts";
import { PlainText } from "./plain_text.ts";

/** Bytes of output that are kept for texts that will be waited for. */
export const WINDOW = 64 << 10;
/** Bytes of output that are kept for messages. */
const TAIL = 4 << 10;

/** Finds texts, one after the other: each search goes on behind the text that was found before. */
export class Expect {
  readonly #plain = new PlainText();
  #window = new ByteTail(WINDOW);
  readonly #tail = new ByteTail(TAIL);
  #search: { matchers: Matcher[]; found: PromiseWithResolvers<number> } | null = null;

  /** The next output. */
  push(chunk: Uint8Array): void {
    const text = this.#plain.push(chunk);
    this.#tail.push(text);
    if (!this.#scan(text)) this.#window.push(text);
  }

  /**
   * Resolves to the index of the text that is found first, in what has come and will come since the
   * last match; of texts that end together, the one listed first. A search that is under way is
   * given up: it never resolves, and what it has looked at is not looked at again.
   *
   * @throws {RangeError} if a text has nothing that could be seen.
   */
  find(texts: string[]): Promise<number> {
    const matchers = texts.map((text) => new Matcher(plainBytes(text)));
    this.#search = { matchers, found: Promise.withResolvers() };
    const { promise } = this.#search.found;
    const seen = this.#window.take();
    if (!this.#scan(seen)) this.#window.push(seen);
    return promise;
  }

  /** The last lines of output, safe to print. */
  lastLines(count = 12): string {
    const text = new TextDecoder().decode(this.#tail.bytes);
    return printableLines(text).split("\n").slice(-count).join("\n");
  }

  /** Looks for what is searched; false if nothing is, and the text must be kept. */
  #scan(text: Uint8Array): boolean {
    if (!this.#search) return false;
    const { matchers, found } = this.#search;
    let [first, end] = [-1, Infinity];
    for (const [index, matcher] of matchers.entries()) {
      const at = matcher.scan(text);
      if (at !== -1 && at < end) [first, end] = [index, at];
    }
    if (first !== -1) {
      this.#search = null;
      this.#window.push(text.subarray(end));
      found.resolve(first);
    }
    return true;
  }
}

/** The bytes of a text as {@link Expect} compares them. @throws {RangeError} if none are left. */
export function plainBytes(text: string): Uint8Array {
  const bytes = new PlainText().push(new TextEncoder().encode(text));
  if (bytes.byteLength === 0) throw new RangeError("there is nothing to wait for");
  return bytes;
}

/** Finds one text in a stream (Knuth, Morris and Pratt): it keeps a number, not the stream. */
class Matcher {
  readonly #text: Uint8Array;
  /** For each length of a match that breaks off, the longest shorter one that may go on. */
  readonly #shorter: Uint32Array;
  #matched = 0;

  constructor(text: Uint8Array) {
    this.#text = text;
    this.#shorter = new Uint32Array(text.byteLength);
    for (let at = 1, length = 0; at < text.byteLength; at++) {
      while (length > 0 && text[at] !== text[length]) length = this.#shorter[length - 1];
      if (text[at] === text[length]) length++;
      this.#shorter[at] = length;
    }
  }

  /** The index behind the text's end in the next chunk, or -1 if it does not end there. */
  scan(chunk: Uint8Array): number {
    const text = this.#text;
    for (let at = 0; at < chunk.byteLength; at++) {
      while (this.#matched > 0 && chunk[at] !== text[this.#matched]) {
        this.#matched = this.#shorter[this.#matched - 1];
      }
      if (chunk[at] === text[this.#matched]) this.#matched++;
      if (this.#matched === text.byteLength) return at + 1;
    }
    return -1;
  }
}

/** The last bytes of a stream. */
class ByteTail {
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk.slice(-this.#limit));
    this.#length += Math.min(chunk.byteLength, this.#limit);
    // Joined now and then: a stream may come a byte at a time.
    if (this.#length > 2 * this.#limit || this.#chunks.length > 64) this.bytes;
  }

  get bytes(): Uint8Array {
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk, at);
      at += chunk.byteLength;
    }
    const kept = joined.slice(-this.#limit);
    [this.#chunks, this.#length] = [[kept], kept.byteLength];
    return kept;
  }

  /** All of it; none is left. */
  take(): Uint8Array {
    const { bytes } = this;
    [this.#chunks, this.#length] = [[], 0];
    return bytes;
  }
}
