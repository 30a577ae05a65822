/** A base in the making: `bases/….partial/`, which is removed unless it is completed. */

import { join } from "node:path";
import type { LogFile } from "../host/follow.ts";
import { removeTree } from "../host/root_namespace.ts";
import { FileLock } from "../lock.ts";
import { cacheDir } from "../paths.ts";
import { type Base, basesDir, readBase } from "./base.ts";
import { syncPath, syncTree } from "./finish.ts";

const SUFFIX = ".partial";

/**
 * Held while partial directories are made, looked at or removed: a look makes a file in them, which
 * whoever removes one would stumble over.
 */
export async function lockPartials(): Promise<FileLock> {
  await Deno.mkdir(cacheDir(), { recursive: true });
  return await FileLock.take(join(cacheDir(), "sweep.lock"));
}

/** Its builder holds the lock in it; one whose lock is free was left by a builder that died. */
export class PartialBase implements AsyncDisposable {
  readonly dir: string;
  readonly #lock: FileLock;
  readonly #log: LogFile;
  #completed = false;

  private constructor(dir: string, lock: FileLock, log: LogFile) {
    this.dir = dir;
    this.#lock = lock;
    this.#log = log;
  }

  /** Makes a directory whose name begins with `prefix`, and removes those that dead builders left. */
  static async create(prefix: string, log: LogFile): Promise<PartialBase> {
    using _partials = await lockPartials();
    for (const left of await leftPartials()) await sweepPartial(left, log);
    const dir = await Deno.makeTempDir({
      dir: basesDir(),
      prefix: `${prefix}-`,
      suffix: SUFFIX,
    });
    // Programs in the build that gave up root's rights work in it, too.
    await Deno.chmod(dir, 0o755);
    return new PartialBase(dir, await FileLock.take(join(dir, "lock")), log);
  }

  /** Syncs all that is in the directory and makes it the base of an id. */
  async complete(id: string): Promise<Base> {
    await syncTree(this.dir);
    const done = join(basesDir(), id);
    await Deno.rename(this.dir, done);
    this.#completed = true;
    await Deno.remove(join(done, "lock"));
    await syncPath(basesDir());
    return (await readBase(id))!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#completed) {
      using _partials = await lockPartials();
      await removeTree(this.dir, { log: this.#log });
    }
    this.#lock[Symbol.dispose]();
  }
}

/** The directories that builders left unfinished. Under {@link lockPartials}. */
export async function leftPartials(): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(basesDir())) {
    if (!isDirectory || !name.endsWith(SUFFIX)) continue;
    const dir = join(basesDir(), name);
    // One that is not there any more has just become a base.
    using lock = await FileLock.tryTake(join(dir, "lock")).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    });
    if (lock) found.push(dir);
  }
  return found;
}

/** Removes such a directory, unless somebody works in it. Under {@link lockPartials}. */
export async function sweepPartial(dir: string, log: LogFile): Promise<void> {
  using lock = await FileLock.tryTake(join(dir, "lock"));
  if (!lock) return;
  log.write(`removing ${dir}, which its builder left unfinished\n`);
  await removeTree(dir, { log });
}
