/** What processes take from a Linux host, out of /proc (proc(5)). */

import { readTextIfPresent } from "../files.ts";
import type { VmUsage } from "./driver.ts";

/** Ticks in a second: USER_HZ, 100 wherever Linux runs. */
const TICKS = 100;

/** The usage of this process, of `pids` and of all that these started; those gone count nothing. */
export async function processUsage(pids: number[]): Promise<VmUsage> {
  const all = new Set([Deno.pid, ...(await Promise.all(pids.map(withDescendants))).flat()]);
  const each = await Promise.all([...all].map(usageOf));
  return {
    cpuSeconds: each.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    memoryBytes: each.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
  };
}

/** Whether a process was suspended, by SIGSTOP or a debugger. */
export async function isSuspended(pid: number): Promise<boolean> {
  return /^[Tt]$/.test(statFields(await read(`/proc/${pid}/stat`))[0]);
}

async function withDescendants(pid: number): Promise<number[]> {
  const children = await read(`/proc/${pid}/task/${pid}/children`);
  const below = await Promise.all(
    children.split(" ").filter(Boolean).map(Number).map(
      withDescendants,
    ),
  );
  return [pid, ...below.flat()];
}

async function usageOf(pid: number): Promise<VmUsage> {
  const [stat, memory] = await Promise.all([
    read(`/proc/${pid}/stat`),
    // QEMU and virtiofsd both map the guest's memory: shared out, it is counted once.
    read(`/proc/${pid}/smaps_rollup`),
  ]);
  // utime and stime.
  const fields = statFields(stat);
  return {
    cpuSeconds: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS,
    memoryBytes: Number(memory.match(/^Pss: +(\d+) kB$/m)?.[1] ?? 0) * 1024,
  };
}

/** What follows the name, which is in parentheses and may hold anything: the state, and numbers. */
function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Empty for a process that is gone, or whose file this user may not read. */
async function read(path: string): Promise<string> {
  return await readTextIfPresent(path).catch(() => null) ?? "";
}
