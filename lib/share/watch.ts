/** Looking again whenever something happened in some directories. */

import type { VibeError } from "../errors.ts";
import { Inotify } from "./inotify.ts";

/** How often a system without inotify is looked at. */
const INTERVAL_MS = 250;

/** Directories, each with the names of the entries in it that matter. */
export type Watched = Map<string, Set<string>>;

/** The {@link Watched} that tells of every one of these absolute paths. */
export function watched(paths: Iterable<string>): Watched {
  const directories: Watched = new Map();
  for (const path of paths) {
    const slash = path.lastIndexOf("/");
    const directory = path.slice(0, slash) || "/";
    const names = directories.get(directory) ?? new Set();
    directories.set(directory, names.add(path.slice(slash + 1)));
  }
  return directories;
}

/**
 * Calls `look` now, and again after any of the paths came, went or was replaced; never twice at
 * once. Many events make one look.
 */
export class PathWatch implements AsyncDisposable {
  readonly #watched: Watched;
  readonly #look: () => Promise<void> | void;
  readonly #done: Promise<void>;
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;

  /**
   * @param look must not throw.
   * @param failed told if the system grants no watch.
   */
  constructor(
    paths: Iterable<string>,
    look: () => Promise<void> | void,
    failed: (error: VibeError) => void,
  ) {
    this.#watched = watched(paths);
    this.#look = look;
    this.#done = (Deno.build.os === "linux" ? this.#listen() : this.#poll()).catch(failed);
  }

  /** Resolves when no look is under way any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#closed.resolve();
    await this.#done;
  }

  async #listen(): Promise<void> {
    while (!this.#isClosed) {
      using inotify = new Inotify();
      this.#closed.promise.then(() => inotify[Symbol.dispose]());
      for (const directory of this.#watched.keys()) inotify.add(directory);
      await this.#look();
      let replaced = false;
      while (!replaced) {
        const events = await inotify.next();
        if (events === null) return;
        const told = events.filter(({ directory, name }) =>
          directory === null || name === "" || this.#watched.get(directory)!.has(name)
        );
        if (told.length === 0) continue;
        await this.#look();
        // What is watched is the directory, not its name: if it is another one now, begin anew.
        replaced = told.some(({ directory, name }) =>
          directory === null || name === "" || this.#watched.has(`${directory}/${name}`)
        );
      }
    }
  }

  /** See inotify.ts for why this is not Deno.watchFs. */
  async #poll(): Promise<void> {
    while (!this.#isClosed) {
      await this.#look();
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, INTERVAL_MS);
      await Promise.race([promise, this.#closed.promise]);
      clearTimeout(timer);
    }
  }
}
