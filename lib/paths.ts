/** Where vibe keeps things, and path arithmetic. Pure, but for reading the environment. */

import { isAbsolute, join } from "node:path";

/** What a path depends on; the process's own environment unless a test says otherwise. */
export type Env = { get(name: string): string | undefined };

function fromHome(env: Env, variable: string, ...fallback: string[]): string {
  const set = env.get(variable);
  // The XDG specification: a relative value is invalid and must be ignored.
  if (set && isAbsolute(set)) return join(set, "vibe");
  return join(env.get("HOME") ?? "/", ...fallback, "vibe");
}

/** Images, downloads and built agents: all of it can be made again. `VIBE_CACHE` overrides it. */
export function cacheDir(env: Env = Deno.env): string {
  const own = env.get("VIBE_CACHE");
  return own && isAbsolute(own) ? own : fromHome(env, "XDG_CACHE_HOME", ".cache");
}

/** The user's own settings. */
export function configDir(env: Env = Deno.env): string {
  return fromHome(env, "XDG_CONFIG_HOME", ".config");
}

/**
 * Sockets of running VMs. Short, for sun_path holds 104 bytes on macOS and 108 on Linux.
 * `VIBE_RUNTIME` overrides it.
 */
export function runtimeDir(env: Env = Deno.env, uid: number | null = Deno.uid()): string {
  const own = env.get("VIBE_RUNTIME");
  if (own && isAbsolute(own)) return own;
  const xdg = env.get("XDG_RUNTIME_DIR");
  if (xdg && isAbsolute(xdg) && xdg.length < 40) return join(xdg, "vibe");
  return `/tmp/vibe-${uid ?? "user"}`;
}

/** The files of one project's VM. */
export interface InstancePaths {
  /** The project directory, symlinks resolved. */
  project: string;
  /** `.vibe/` in it: deleting this deletes the VM. */
  dir: string;
  /** qcow2 overlay over the base image's disk (QEMU). */
  disk: string;
  /** Clone of the base image's disk (Virtualization.framework). */
  rawDisk: string;
  /** What the VM was made from. */
  record: string;
  /** Held by the supervisor while the VM exists. */
  lock: string;
  /** Held by a command while it looks for or starts a supervisor. */
  startLock: string;
  /** The system console, hvc0. */
  consoleLog: string;
  /** What the supervisor did and why. */
  supervisorLog: string;
  /** What a supervisor had to say when nobody was attached; the next command shows it. */
  notices: string;
  /** What a guest made that would have redirected git on the host. */
  quarantine: string;
}

/** The layout of `.vibe/` in `project`, an absolute path. */
export function instancePaths(project: string): InstancePaths {
  const dir = join(project, ".vibe");
  return {
    project,
    dir,
    disk: join(dir, "disk.qcow2"),
    rawDisk: join(dir, "disk.raw"),
    record: join(dir, "instance.json"),
    lock: join(dir, "lock"),
    startLock: join(dir, "start.lock"),
    consoleLog: join(dir, "console.log"),
    supervisorLog: join(dir, "supervisor.log"),
    notices: join(dir, "notices"),
    quarantine: join(dir, "quarantine"),
  };
}
