/**
 * Which VMs stand on a base. A VM's disk means nothing without its base, so this is written down
 * beside the bases, where `vibe prune` finds it even if the registry is lost or belongs to another
 * `VIBE_DATA`: `users/<base>/<vm>.json` says which VM, and `users/<base>/<vm>.lock` is a second
 * name (a hard link) of the VM's lock file. With that link we know of a project that was moved: as
 * long as its lock file exists anywhere on the disk, that has two names.
 */

import { join } from "node:path";
import { isThere, readTextIfPresent, writeFileWhole } from "../files.ts";
import { FileLock } from "../lock.ts";
import { basesDir, lockBases } from "../image/base.ts";
import { cacheDir, type Instance, instancePaths } from "../paths.ts";
import { readRecord } from "./record.ts";
import { knownInstances, parseInstance } from "./registry.ts";

/** A VM that needs a base. */
export interface BaseUser {
  instance: Instance;
  /**
   * - `there`: its state directory says so
   * - `moved`: its files are somewhere else on the same file system
   * - `missing`: where it was there is nothing now, as when a disk is not mounted
   */
  state: "there" | "moved" | "missing";
}

/** What is known of the users of a base. */
export interface BaseUsers {
  users: BaseUser[];
  /** Notes of VMs that are gone: their files in {@link usersDir}, without endings. */
  stale: string[];
}

/** Where the users of a base are noted. */
export function usersDir(base: string): string {
  return join(allUsersDir(), base);
}

const allUsersDir = () => join(cacheDir(), "users");

/** Notes that a VM stands on a base. Call it with the VM's lock held, before its disk is made. */
export async function noteUser(base: string, instance: Instance): Promise<void> {
  const dir = usersDir(base);
  await Deno.mkdir(dir, { recursive: true });
  await linkLock(instancePaths(instance).lock, lockLink(base, instance.id));
  const inode = instance.kind === "project" ? (await Deno.lstat(instance.title)).ino : null;
  const text = JSON.stringify({ ...instance, inode }) + "\n";
  const path = notePath(base, instance.id);
  if (await readTextIfPresent(path) !== text) await writeFileWhole(path, text);
}

/** On another file system, or one without hard links, there is no link. */
async function linkLock(lock: string, link: string): Promise<void> {
  const present = await Deno.lstat(link).catch(() => null);
  if (present && present.ino === (await Deno.lstat(lock)).ino) return;
  await Deno.remove(link).catch(() => {});
  await Deno.link(lock, link).catch(() => {});
}

/** Takes the note away, once the VM's disk is gone. */
export async function forgetUser(base: string, id: string): Promise<void> {
  for (const path of [notePath(base, id), lockLink(base, id)]) {
    await Deno.remove(path).catch(() => {});
  }
  // Fails if there are others, as it should.
  await Deno.remove(usersDir(base)).catch(() => {});
}

/** The VMs that need a base, by title. */
export async function baseUsers(base: string): Promise<BaseUsers> {
  const found = new Map<string, BaseUser>();
  const stale: string[] = [];
  for (const id of await notedUsers(base)) {
    const note = parseNote(await readTextIfPresent(notePath(base, id)), id);
    const state = await judge(base, note);
    if (state === "gone") stale.push(id);
    else found.set(id, { instance: note.instance, state });
  }
  stale.push(...await startedElsewhere(base, found));
  // Those that were made before there were notes, or while none could be written.
  for (const instance of await knownInstances()) {
    if (found.has(instance.id)) continue;
    const record = await readRecord(instancePaths(instance)).catch(() => null);
    if (record?.base === base) found.set(instance.id, { instance, state: "there" });
  }
  const users = [...found.values()].sort((a, b) => a.instance.title < b.instance.title ? -1 : 1);
  return { users, stale: stale.filter((id) => !found.has(id)) };
}

/** Takes out, and returns, those that moved and are known by their new place by now. */
async function startedElsewhere(base: string, found: Map<string, BaseUser>): Promise<string[]> {
  const files = await Promise.all([...found.keys()].map(async (id) => ({
    id,
    inode: (await Deno.lstat(lockLink(base, id)).catch(() => null))?.ino,
  })));
  const here = files.filter(({ id }) => found.get(id)!.state === "there");
  const old = files.filter(({ id, inode }) =>
    inode && found.get(id)!.state === "moved" && here.some((file) => file.inode === inode)
  );
  for (const { id } of old) found.delete(id);
  return old.map(({ id }) => id);
}

/** The ids of VMs for which there is a note. */
export async function notedUsers(base: string): Promise<string[]> {
  return (await list(usersDir(base))).filter((name) => name.endsWith(".json"))
    .map((name) => name.slice(0, -".json".length));
}

async function list(dir: string): Promise<string[]> {
  try {
    return await Array.fromAsync(Deno.readDir(dir), ({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

const notePath = (base: string, id: string) => join(usersDir(base), `${id}.json`);
const lockLink = (base: string, id: string) => join(usersDir(base), `${id}.lock`);

/** Removes the notes of VMs that are gone, and all those of bases that are. */
export async function forgetGone(): Promise<void> {
  for (const base of await list(allUsersDir())) {
    using _lock = await lockBases();
    const ids = isThere(join(basesDir(), base))
      ? (await baseUsers(base)).stale
      : await notedUsers(base);
    for (const id of ids) await forgetUser(base, id);
    await Deno.remove(usersDir(base)).catch(() => {});
  }
}

const UNKNOWN: Omit<Instance, "id"> = { kind: "project", title: "/unknown", dir: "/unknown/.vibe" };

interface Note {
  instance: Instance;
  /** The project directory's; null for other VMs. */
  inode: number | null;
}

function parseNote(text: string | null, id: string): Note {
  const instance = parseInstance(text, `${id}.json`);
  // A damaged note still is one.
  if (!instance) return { instance: { ...UNKNOWN, id }, inode: null };
  const { inode } = JSON.parse(text!);
  return { instance, inode: typeof inode === "number" ? inode : null };
}

/** In doubt a VM counts as one that needs the base. */
async function judge(base: string, note: Note): Promise<BaseUser["state"] | "gone"> {
  const paths = instancePaths(note.instance);
  // A disk that is used in place has a record of nothing: it needs the base's kernel.
  if (note.instance.kind === "disk") {
    return await Deno.lstat(note.instance.title).then(() => "there", () => "missing");
  }
  try {
    const record = await readRecord(paths);
    if (record) return record.base === base ? "there" : "gone";
  } catch {
    // Damaged, or not for us to read just now.
    return "there";
  }
  const link = lockLink(base, note.instance.id);
  const info = await Deno.lstat(link).catch(() => null);
  const own = await Deno.lstat(paths.lock).catch(() => null);
  // Its supervisor is about to make the disk.
  if (await isHeld(info ? link : own ? paths.lock : null)) return "there";
  if (info) return await isElsewhere(info, own) ? "moved" : "gone";
  return await wasDeleted(note) ? "gone" : "missing";
}

/** Whether a lock file has a name outside of our notes that is not `own`. */
async function isElsewhere(link: Deno.FileInfo, own: Deno.FileInfo | null): Promise<boolean> {
  let ours = own?.ino === link.ino ? 1 : 0;
  for (const base of await list(allUsersDir())) {
    for (const name of await list(usersDir(base))) {
      const info = await Deno.lstat(join(usersDir(base), name)).catch(() => null);
      if (info?.ino === link.ino) ours++;
    }
  }
  return (link.nlink ?? 1) > ours;
}

async function isHeld(lock: string | null): Promise<boolean> {
  if (lock === null) return false;
  using taken = await FileLock.tryTake(lock);
  return taken === null;
}

/** Whether the directory in which the VM's state was is still there, and the same. */
async function wasDeleted({ instance, inode }: Note): Promise<boolean> {
  const { dir, kind, title } = instance;
  const place = kind === "project" ? title : join(dir, "..");
  const info = await Deno.lstat(place).catch(() => null);
  // A directory on which something was mounted has another inode than what was mounted there.
  return info !== null && info.isDirectory && (inode === null || info.ino === inode);
}
