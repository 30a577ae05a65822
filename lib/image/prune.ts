/**
 * What nothing uses any more, found and removed. All of it can be made again, but for bases: those
 * go only if no name and no VM needs them (see `base_users.ts`).
 */

import { basename, dirname, join } from "node:path";
import { LogFile } from "../host/follow.ts";
import { removeTree } from "../host/root_namespace.ts";
import { type BaseUser, baseUsers, forgetGone } from "../instance/base_users.ts";
import { knownInstances } from "../instance/registry.ts";
import { FileLock } from "../lock.ts";
import { cacheDir, instancePaths, runtimeDir } from "../paths.ts";
import type { Progress } from "../progress.ts";
import { DAY, isOlder } from "./age.ts";
import { readAgent } from "./agent_build.ts";
import { baseIds, basesDir } from "./base.ts";
import { catalogFiles, catalogPath, imageNames, namedBase } from "./catalog.ts";
import { diskUsage } from "./disk_usage.ts";
import { initrdName } from "./initrd.ts";
import { unlessDamaged } from "./inventory.ts";
import { leftPartials, lockPartials, sweepPartial } from "./partial.ts";
import { freeBase } from "./remove.ts";
import { buildsDir } from "./workshop.ts";
import { fileSystemError } from "./room.ts";

const MONTH = 30 * DAY;

/** Something that nothing uses. */
export interface Garbage {
  kind:
    | "base"
    | "partial image"
    | "build"
    | "initrd"
    | "agent"
    | "download"
    | "leftover"
    | "runtime"
    | "log";
  path: string;
  /** What it takes on the disk. */
  bytes: number;
}

/** A base without a name that stays. */
export interface KeptBase {
  id: string;
  bytes: number;
  /** The VMs that need it; none if an image is being built or a name is damaged. */
  users: BaseUser[];
}

/** What a look around found. */
export interface Findings {
  garbage: Garbage[];
  kept: KeptBase[];
}

/** How {@link findGarbage} looks. */
export interface PruneOptions {
  /** VMs whose directories are not there now do not count. */
  missing?: boolean;
}

/** Looks for what nothing uses. Removes nothing. */
export async function findGarbage(options: PruneOptions = {}): Promise<Findings> {
  const { garbage, kept } = await unusedBases(options);
  const agent = await readAgent();
  const lists = await Promise.all([
    oldPartials(),
    oldBuilds(),
    oldInitrds(agent.digest, garbage.map(({ path }) => basename(path))),
    oldAgents(agent.digest),
    oldDownloads(),
    leftovers(),
    deadRuntimes(),
    oldLogs(),
  ]);
  return { garbage: [...garbage, ...lists.flat()], kept };
}

/** Removes what was found, if it is still not used. Resolves to what was really removed. */
export async function removeGarbage(
  { garbage }: Findings,
  options: PruneOptions,
  progress: Progress,
): Promise<Garbage[]> {
  const removed: Garbage[] = [];
  await forgetGone();
  if (garbage.length > 0) progress.step("Removing what nothing uses");
  for (const item of garbage) {
    progress.detail(basename(item.path));
    try {
      if (await remove(item, options)) removed.push(item);
    } catch (error) {
      throw fileSystemError(error, dirname(item.path)) ?? error;
    }
  }
  progress.done();
  return removed;
}

async function remove({ kind, path }: Garbage, options: PruneOptions): Promise<boolean> {
  if (kind === "base") {
    const id = basename(path);
    const { users, stale } = await baseUsers(id);
    const counted = users.filter((user) => counts(user, options));
    const rest = users.filter((user) => !counted.includes(user)).map(({ instance }) => instance.id);
    return counted.length === 0 && await freeBase(id, [...stale, ...rest]) !== null;
  }
  if (kind === "partial image" || kind === "build") {
    using log = await LogFile.create(join(cacheDir(), "logs"), "prune");
    if (kind === "build") await removeTree(path, { log });
    else {
      using _partials = await lockPartials();
      await sweepPartial(path, log);
    }
    return true;
  }
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  return true;
}

function counts(user: BaseUser, { missing }: PruneOptions): boolean {
  return user.state !== "missing" || !missing;
}

async function unusedBases(options: PruneOptions): Promise<Findings> {
  const garbage: Garbage[] = [];
  const kept: KeptBase[] = [];
  const names = await imageNames();
  const named = await Promise.all(names.map((name) => unlessDamaged(namedBase(name))));
  // What a damaged name meant, and what a build is about to name, cannot be known.
  const unsure = named.includes("damaged") || await isBuilding();
  for (const id of await baseIds()) {
    if (named.includes(id)) continue;
    const { users } = await baseUsers(id);
    const path = join(basesDir(), id);
    const bytes = await diskUsage(path);
    if (unsure || users.some((user) => counts(user, options))) kept.push({ id, bytes, users });
    else garbage.push({ kind: "base", path, bytes });
  }
  return { garbage, kept };
}

async function isBuilding(): Promise<boolean> {
  for (const name of await catalogFiles(".lock")) {
    if (!await isFree(catalogPath(name, "lock"))) return true;
  }
  return false;
}

async function oldPartials(): Promise<Garbage[]> {
  const some = await collect("partial image", (name) => name.endsWith(".partial"), basesDir());
  if (some.length === 0) return [];
  using _partials = await lockPartials();
  const dirs = await leftPartials();
  return await Promise.all(dirs.map((path) => garbageAt("partial image", path)));
}

/** Builds that failed, and nobody went on with. */
async function oldBuilds(): Promise<Garbage[]> {
  const found = await collect("build", (_, age) => isOlder(age, MONTH), buildsDir());
  const free = found.map(({ path }) => isFree(catalogPath(basename(path), "lock")));
  const isUnused = await Promise.all(free);
  return found.filter((_, i) => isUnused[i]);
}

/** Those of other bases than there are, and of agents of other versions of vibe. */
async function oldInitrds(agent: string, doomed: string[]): Promise<Garbage[]> {
  const current = (await baseIds()).filter((id) => !doomed.includes(id)).map((id) =>
    initrdName(id, agent)
  );
  return await collect("initrd", (name) => name.endsWith(".cpio") && !current.includes(name));
}

async function oldAgents(digest: string): Promise<Garbage[]> {
  return await collect(
    "agent",
    (name, age) =>
      /^[0-9a-f]{64}$/.test(name)
        ? name !== digest
        : name.endsWith(".partial") && isOlder(age, DAY),
  );
}

/** An image was made of what is whole, and nobody went on with what is not. */
async function oldDownloads(): Promise<Garbage[]> {
  const found = await collect("download", (_, age) => isOlder(age, DAY), "downloads");
  const free: Garbage[] = [];
  for (const item of found) {
    const lock = item.path.replace(/(\.partial|\.rejected|\.lock)?(\.json)?$/, ".lock");
    if (!await Deno.lstat(lock).catch(() => null) || await isFree(lock)) free.push(item);
  }
  return free;
}

/** What `writeFileWhole` leaves if it is killed. */
async function leftovers(): Promise<Garbage[]> {
  const aside = (name: string, age: number) => /\.\d+\.partial$/.test(name) && isOlder(age, DAY);
  const lists = ["images", "initrd"].map((dir) => collect("leftover", aside, dir));
  return (await Promise.all(lists)).flat();
}

/** Of supervisors that were killed: a living one holds its VM's lock. */
async function deadRuntimes(): Promise<Garbage[]> {
  const locks = new Map((await knownInstances()).map((vm) => [vm.id, instancePaths(vm).lock]));
  const found: Garbage[] = [];
  for (
    const item of await collect("runtime", (name) => /^[0-9a-f]{12}$/.test(name), runtimeDir())
  ) {
    const lock = locks.get(basename(item.path));
    const age = Date.now() - ((await Deno.lstat(item.path)).mtime?.getTime() ?? 0);
    // Another VIBE_DATA may know it.
    if (lock ? await isFree(lock) : isOlder(age, MONTH)) found.push(item);
  }
  return found;
}

async function isFree(path: string): Promise<boolean> {
  using taken = await FileLock.tryTake(path);
  return taken !== null;
}

async function oldLogs(): Promise<Garbage[]> {
  return await collect("log", (name, age) => name.endsWith(".log") && isOlder(age, MONTH), "logs");
}

/** The entries of a directory of the cache for which `isGarbage` holds; `age` in milliseconds. */
async function collect(
  kind: Garbage["kind"],
  isGarbage: (name: string, age: number) => boolean,
  dir: string = kind,
): Promise<Garbage[]> {
  const found: Garbage[] = [];
  const path = dir.startsWith("/") ? dir : join(cacheDir(), dir);
  const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name).catch(ignoreMissing);
  for (const name of names) {
    const info = await Deno.lstat(join(path, name)).catch(() => null);
    if (!info) continue;
    const age = Date.now() - (info.mtime?.getTime() ?? 0);
    if (isGarbage(name, age)) found.push(await garbageAt(kind, join(path, name)));
  }
  return found;
}

async function garbageAt(kind: Garbage["kind"], path: string): Promise<Garbage> {
  return { kind, path, bytes: await diskUsage(path) };
}

function ignoreMissing(error: unknown): string[] {
  if (error instanceof Deno.errors.NotFound) return [];
  throw error;
}
