/** Where vibe keeps things, and path arithmetic. Pure, but for reading the environment. */

import { isAbsolute, join } from "node:path";

/** What a path depends on; the process's own environment unless a test says otherwise. */
export type Env = { get(name: string): string | undefined };

/** A directory of the XDG specification: the variable's value, or a place in the user's home. */
export function xdgDir(env: Env, variable: string, ...fallback: string[]): string {
  const set = env.get(variable);
  // A relative value is invalid and must be ignored.
  return set && isAbsolute(set) ? set : join(env.get("HOME") ?? "/", ...fallback);
}

function fromHome(env: Env, variable: string, ...fallback: string[]): string {
  return join(xdgDir(env, variable, ...fallback), "vibe");
}

/** Images, downloads and built agents: all of it can be made again. `VIBE_CACHE` overrides it. */
export function cacheDir(env: Env = Deno.env): string {
  const own = env.get("VIBE_CACHE");
  return own && isAbsolute(own) ? own : fromHome(env, "XDG_CACHE_HOME", ".cache");
}

/** What mise has downloaded in VMs, for the next VM; nothing on the host uses it. */
export function miseCacheDir(): string {
  return join(cacheDir(), "mise");
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

/**
 * What cannot be made again and belongs to no project: named VMs, and on macOS all VMs. `VIBE_DATA`
 * overrides it.
 */
export function dataDir(env: Env = Deno.env): string {
  const own = env.get("VIBE_DATA");
  return own && isAbsolute(own) ? own : fromHome(env, "XDG_DATA_HOME", ".local", "share");
}

/** Which VM. Plain data, it travels in plans. */
export interface Instance {
  /**
   * - `project`: the VM of a directory
   * - `named`: one that a program keeps under a name, without a project
   * - `disk`: one that runs a disk image of the user's, in place
   * - `work`: one in which an image is made; no list of VMs shows it
   */
  kind: "project" | "named" | "disk" | "work";
  /** How messages call it: the project directory, the name, the disk's path. */
  title: string;
  /** 12 hex digits that name it in process lists, in logs and below the runtime directory. */
  id: string;
  /** Where its state is; absolute. */
  dir: string;
}

/**
 * The VM of a directory, an absolute path without symbolic links. Its state is in `.vibe/` there; on
 * macOS, where the framework shares whole directories and the guest would reach it, below
 * {@link dataDir}.
 */
export async function projectInstance(project: string): Promise<Instance> {
  const id = await shortDigest(project);
  const dir = sharesWhole() ? join(dataDir(), "projects", id) : join(project, ".vibe");
  return { kind: "project", title: project, id, dir };
}

/** The VM that a program keeps under `name`, which was checked before. */
export async function namedInstance(name: string): Promise<Instance> {
  const id = await shortDigest(`name:${name}`);
  return { kind: "named", title: name, id, dir: join(dataDir(), "vms", name) };
}

/** The VM of a disk image, an absolute path without symbolic links. */
export async function diskInstance(disk: string): Promise<Instance> {
  const id = await shortDigest(`disk:${disk}`);
  return { kind: "disk", title: disk, id, dir: join(dataDir(), "disks", id) };
}

/** The VM that makes an image in `dir`. */
export async function workInstance(dir: string): Promise<Instance> {
  return { kind: "work", title: dir, id: await shortDigest(`work:${dir}`), dir };
}

/**
 * Whether the driver of this host shares directories as a whole: no single files, and nothing in
 * them, such as `.vibe/`, can be kept from the guest.
 */
export function sharesWhole(): boolean {
  return (Deno.env.get("VIBE_DRIVER") ?? Deno.build.os) !== "linux";
}

async function shortDigest(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The files of one VM. */
export interface InstancePaths {
  /** {@link Instance.dir}: deleting it deletes the VM. */
  dir: string;
  /** qcow2 overlay over the base image's disk (QEMU). */
  disk: string;
  /** Clone of the base image's disk (Virtualization.framework). */
  rawDisk: string;
  /** What the VM was made from. */
  record: string;
  /** Variables of UEFI, for a disk that boots by it. */
  efiVariables: string;
  /** Held by the supervisor while the VM exists. */
  lock: string;
  /** Held by a command while it looks for or starts a supervisor. */
  startLock: string;
  /** The system console, hvc0. */
  consoleLog: string;
  /** What the supervisor did and why. */
  supervisorLog: string;
  /** What scripts said that were run in the guest at its last start. */
  hooksLog: string;
  /** What a supervisor had to say when nobody was attached; the next command shows it. */
  notices: string;
  /** The newest base of its image that the user was told of. */
  toldBase: string;
  /** What a guest made that would have redirected git on the host. */
  quarantine: string;
}

/** The layout of a VM's state directory. */
export function instancePaths({ dir }: Pick<Instance, "dir">): InstancePaths {
  return {
    dir,
    disk: join(dir, "disk.qcow2"),
    rawDisk: join(dir, "disk.raw"),
    efiVariables: join(dir, "efi-variables.fd"),
    record: join(dir, "instance.json"),
    lock: join(dir, "lock"),
    startLock: join(dir, "start.lock"),
    consoleLog: join(dir, "console.log"),
    supervisorLog: join(dir, "supervisor.log"),
    hooksLog: join(dir, "hooks.log"),
    notices: join(dir, "notices"),
    toldBase: join(dir, "told-base"),
    quarantine: join(dir, "quarantine"),
  };
}
