/** Finding a supervisor that does not answer, or that listens nowhere. */

import { readTextIfPresent } from "../files.ts";
import { run } from "../process.ts";
import { SUPERVISE } from "./attach.ts";

/** True if some process holds the lock; false also if there is no such file. */
export async function isLocked(path: string): Promise<boolean> {
  try {
    // Not made where it is missing: whoever only looks leaves nothing behind.
    using file = await Deno.open(path, { read: true, write: true });
    return !await file.tryLock(false);
  } catch {
    return false;
  }
}

/** The supervisors that hold the lock of a VM, by process id; those of other users are not seen. */
export async function lockHolders(path: string): Promise<number[]> {
  const info = await Deno.stat(path).catch(() => null);
  if (!info) return [];
  const pids = Deno.build.os === "linux"
    ? flockHolders(await readTextIfPresent("/proc/locks") ?? "", info.ino!)
    : await openers(path);
  const commands = await Promise.all(pids.map(commandOf));
  // An inode's number is unique on one file system only, and a process id may be another's by now.
  return pids.filter((_, index) => commands[index].includes(SUPERVISE));
}

/** The processes that hold a flock(2) on an inode, from /proc/locks (proc_locks(5)). */
export function flockHolders(locks: string, inode: number): number[] {
  const pattern = /^\d+: FLOCK +ADVISORY +WRITE (\d+) \S+:(\d+) /gm;
  return [...locks.matchAll(pattern)].filter(([, , number]) => Number(number) === inode)
    .map(([, pid]) => Number(pid));
}

/** macOS does not tell who holds a lock, but who has the file open. */
async function openers(path: string): Promise<number[]> {
  const { stdout } = await run(["lsof", "-t", "--", path]);
  return stdout.split("\n").filter(Boolean).map(Number);
}

async function commandOf(pid: number): Promise<string> {
  if (Deno.build.os === "linux") {
    const words = await readTextIfPresent(`/proc/${pid}/cmdline`).catch(() => null);
    return words?.replaceAll("\0", " ") ?? "";
  }
  return (await run(["ps", "-o", "command=", "-p", `${pid}`])).stdout;
}
