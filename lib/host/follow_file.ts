/** Reading a file that others write, as they write it. */

import { basename, dirname } from "node:path";
import { Inotify } from "../../ffi/inotify.ts";

/** Bytes read at once. */
const CHUNK = 64 << 10;

/**
 * Hands over what is in a file, and with `follow` what is added to it until `signal` aborts. It
 * begins anew when the file is replaced or starts over; one that is missing may still come.
 */
export async function readFollowing(
  path: string,
  onChunk: (chunk: Uint8Array) => void,
  options: { follow: boolean; signal?: AbortSignal },
): Promise<void> {
  using reader = new Reader(path, onChunk);
  if (!options.follow) {
    await reader.read();
    return;
  }
  for await (const _ of changes(path, options.signal)) await reader.read();
}

class Reader implements Disposable {
  readonly #path: string;
  readonly #onChunk: (chunk: Uint8Array) => void;
  #file: Deno.FsFile | null = null;
  #offset = 0;

  constructor(path: string, onChunk: (chunk: Uint8Array) => void) {
    this.#path = path;
    this.#onChunk = onChunk;
  }

  /** All that is new. */
  async read(): Promise<void> {
    await this.#reopen();
    const buffer = new Uint8Array(CHUNK);
    for (let count; (count = await this.#file?.read(buffer) ?? null) !== null;) {
      this.#offset += count!;
      this.#onChunk(buffer.subarray(0, count!));
    }
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }

  async #reopen(): Promise<void> {
    const there = await Deno.stat(this.#path).catch(() => null);
    const own = await this.#file?.stat();
    if (there && own && there.ino === own.ino && there.dev === own.dev) {
      if (own.size >= this.#offset) return;
      await this.#file!.seek(0, Deno.SeekMode.Start);
    } else if (there?.isFile) {
      this.#file?.close();
      this.#file = await Deno.open(this.#path);
    } else return;
    this.#offset = 0;
  }
}

/** Yields at once, and whenever the file may have changed. */
async function* changes(path: string, signal?: AbortSignal): AsyncGenerator<void> {
  if (Deno.build.os === "linux") {
    using inotify = new Inotify();
    signal?.addEventListener("abort", () => inotify[Symbol.dispose]());
    inotify.add(dirname(path), { writes: true });
    yield;
    for (let events; (events = await inotify.next()) !== null;) {
      if (events.some(({ directory, name }) => directory === null || name === basename(path))) {
        yield;
      }
    }
  } else {
    using watcher = Deno.watchFs(dirname(path));
    signal?.addEventListener("abort", () => watcher.close());
    yield;
    for await (const _ of watcher) yield;
  }
}
