/** A base in the making: `bases/<id>.partial/`, which is removed unless it is completed. */

import { join } from "node:path";
import type { LogFile } from "../host/follow.ts";
import { removeTree } from "../host/root_namespace.ts";
import { FileLock } from "../lock.ts";
import { basesDir } from "./base.ts";

const SUFFIX = ".partial";

/** Held while a partial directory is made or one that somebody left is removed. */
const SWEEP_LOCK = "sweep.lock";

/** Its builder holds the lock in it; one whose lock is free was left by a builder that died. */
export class PartialBase implements AsyncDisposable {
  readonly dir: string;
  readonly #done: string;
  readonly #lock: FileLock;
  readonly #log: LogFile;
  #completed = false;

  private constructor(dir: string, lock: FileLock, log: LogFile) {
    this.dir = dir;
    this.#done = dir.slice(0, -SUFFIX.length);
    this.#lock = lock;
    this.#log = log;
  }

  /** Makes the directory for a new id, and removes those that dead builders left. */
  static async create(id: string, log: LogFile): Promise<PartialBase> {
    using _sweep = await FileLock.take(join(basesDir(), SWEEP_LOCK));
    await sweep(log);
    const dir = join(basesDir(), id + SUFFIX);
    await Deno.mkdir(dir);
    // Programs in the build that gave up root's rights work in it, too.
    await Deno.chmod(dir, 0o755);
    return new PartialBase(dir, await FileLock.take(join(dir, "lock")), log);
  }

  /** Syncs all that is in the directory and gives it its final name. */
  async complete(): Promise<void> {
    await syncTree(this.dir);
    await Deno.rename(this.dir, this.#done);
    this.#completed = true;
    await Deno.remove(join(this.#done, "lock"));
    await sync(basesDir());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#completed) await removeTree(this.dir, { log: this.#log });
    this.#lock[Symbol.dispose]();
  }
}

async function sweep(log: LogFile): Promise<void> {
  for (const dir of await leftPartials()) await sweepPartial(dir, log);
}

/** The directories that builders left unfinished. */
export async function leftPartials(): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(basesDir())) {
    if (!isDirectory || !name.endsWith(SUFFIX)) continue;
    const dir = join(basesDir(), name);
    using lock = await FileLock.tryTake(join(dir, "lock"));
    if (lock) found.push(dir);
  }
  return found;
}

/** Removes such a directory, unless somebody works in it. */
export async function sweepPartial(dir: string, log: LogFile): Promise<void> {
  using lock = await FileLock.tryTake(join(dir, "lock"));
  if (!lock) return;
  log.write(`removing ${dir}, which its builder left unfinished\n`);
  await removeTree(dir, { log });
}

async function syncTree(dir: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory) await syncTree(join(dir, name));
    else await sync(join(dir, name));
  }
  await sync(dir);
}

async function sync(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true });
  await file.sync();
}
