/** Finding the processes of a VM. */

import type { Project } from "./vibe.ts";

/** Supervisors name no project on their command line; the lock file tells whose they are. */
export async function supervisorsOf(project: Project): Promise<{ pid: number; command: string }[]> {
  const lock = await Deno.stat(project.state("lock"));
  const found = [];
  for (const process of await project.processes("__supervise")) {
    for await (const fd of Deno.readDir(`/proc/${process.pid}/fd`)) {
      const info = await Deno.stat(`/proc/${process.pid}/fd/${fd.name}`).catch(() => null);
      if (info?.ino === lock.ino && info.dev === lock.dev) found.push(process);
    }
  }
  return found;
}
