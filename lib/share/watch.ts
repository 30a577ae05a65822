/** Looking again whenever something happened in some directories. */

import type { VibeError } from "../errors.ts";
import { type DirectoryEvent, Inotify } from "../../ffi/inotify.ts";

/** How often a system without inotify is looked at. */
const INTERVAL_MS = 250;

/** The directories that tell of these absolute paths, each with the names in it that matter. */
function watched(paths: Iterable<string>): Map<string, Set<string>> {
  const directories = new Map<string, Set<string>>();
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
  readonly #paths: () => Iterable<string>;
  readonly #look: () => Promise<void> | void;
  readonly #done: Promise<void>;
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;

  /**
   * @param paths absolute; asked again after every look.
   * @param look must not throw.
   * @param failed told if the system grants no watch.
   */
  constructor(
    paths: () => Iterable<string>,
    look: () => Promise<void> | void,
    failed: (error: VibeError) => void,
  ) {
    this.#paths = paths;
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
      const paths = new Set(this.#paths());
      const directories = watched(paths);
      for (const directory of directories.keys()) inotify.add(directory);
      await this.#look();
      while (sameSet(paths, new Set(this.#paths()))) {
        const events = await inotify.next();
        if (events === null) return;
        const told = events.filter(({ directory, name }) =>
          directory === null || name === "" || directories.get(directory)!.has(name)
        );
        if (told.length === 0) continue;
        await this.#look();
        // What is watched is a directory, not its name: if it is another one now, begin anew.
        const replaced = ({ directory, name }: DirectoryEvent) =>
          directory === null || name === "" || directories.has(`${directory}/${name}`);
        if (told.some(replaced)) break;
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

function sameSet(a: Set<string>, b: Set<string>): boolean {
  return a.size === b.size && a.isSubsetOf(b);
}
