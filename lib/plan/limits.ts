/** What a VM gets unless something is said, and what may be said. */

/** What holds where nobody gives a value. */
export const DEFAULTS = {
  cpus: Math.min(2, navigator.hardwareConcurrency),
  ram: 2048,
  defaultMounts: true,
  git: "guard",
  network: "nat",
} as const;

/** The least memory a Debian guest boots with, in MiB. */
export const MIN_RAM = 256;

/** What a timer of the runtime can wait for, in seconds: 23 days. */
export const MAX_TIMEOUT = 2_000_000;

/** The same in minutes. */
const MAX_IDLE = Math.floor(MAX_TIMEOUT / 60);

/** In GiB: the bookkeeping of an ext4 file system that was made small has room for so much. */
const MAX_DISK = 2048;

/** A setting that is a number: CPUs, MiB, GiB, seconds, minutes. */
export type NumberName = "cpus" | "ram" | "disk" | "timeout" | "idle";

/** What this host has: CPUs, and memory in MiB. */
export function hostLimits(): { cpus: number; ram: number } {
  const ram = Math.floor(Deno.systemMemoryInfo().total / (1 << 20));
  return { cpus: navigator.hardwareConcurrency, ram };
}

/** What is wrong with a numeric setting on any host, as a sentence; null if nothing. */
export function leastProblem(name: NumberName, value: number): string | null {
  if (name === "timeout") {
    const possible = value >= 0 && value <= MAX_TIMEOUT;
    return possible ? null : `It must be at most ${MAX_TIMEOUT} seconds; 0 is no limit.`;
  }
  if (name === "idle") {
    const possible = value >= 0 && value <= MAX_IDLE;
    return possible ? null : `It must be at most ${MAX_IDLE} minutes; 0 is no limit.`;
  }
  const least = name === "ram" ? MIN_RAM : 1;
  if (!Number.isInteger(value)) return "It must be a whole number.";
  if (value < least) return `It must be at least ${least}.`;
  const tooMuch = name === "disk" && value > MAX_DISK;
  return tooMuch
    ? `It must be at most ${MAX_DISK}: a small file system does not grow further.`
    : null;
}

/** What is wrong with it on this host. */
export function limitProblem(name: NumberName, value: number): string | null {
  const problem = leastProblem(name, value);
  if (problem || name !== "cpus" && name !== "ram") return problem;
  const most = hostLimits()[name];
  return value > most ? `It must be at most ${most}: this host has ${most}.` : null;
}
