/** What a program may ask of {@link Vm.open} and of the programs it runs. */

import { VibeError } from "../errors.ts";
import { limitProblem, type NumberName } from "../plan/limits.ts";
import type { VmOptions } from "../plan/options.ts";
import type { GitMode } from "../share/git_mode.ts";
import type { Input } from "../agent/web_streams.ts";

/** A host directory or file that the guest sees. */
export interface VmMount {
  /** A path on the host; relative to the working directory of this process. */
  host: string;
  /** Where the guest sees it; below `/root` if it is not absolute. */
  guest: string;
  /** Whether the guest may not write there; false if left out. The host enforces it. */
  readOnly?: boolean;
}

/** Which VM. Exactly one of these says it. */
export interface VmTarget {
  /** A directory on the host. Its VM is the one that `vibe` starts there. */
  project?: string;
  /**
   * A name: lower-case letters, digits, dots, dashes and underscores, at most 64. The VM is kept below
   * `~/.local/share/vibe/vms`, and nothing is shared with it but {@link VmSettings.mounts}.
   */
  name?: string;
  /** A raw or qcow2 disk image, used in place. What is on it must have vibe's agent. */
  disk?: string;
}

/** How a VM is made and started. What is left out is as on the command line. */
export interface VmSettings {
  /** The name of the image that a new VM is made from; `default`, which is built if it is missing. */
  image?: string;
  /** Virtual CPUs, at most those of the host; 2. */
  cpus?: number;
  /** Memory in MiB, at least 256; 2048. */
  ram?: number;
  /** What is shared beside the project. */
  mounts?: VmMount[];
  /** Whether the project is shared; true. */
  defaultMounts?: boolean;
  /** What the guest may do to the project's `.git`; `"guard"`. */
  git?: GitMode;
  /** `"nat"`, `"none"` or an interface of this host to bridge to; `"nat"`. */
  network?: string;
  /** The least size of its disk in GiB: a smaller one grows. */
  diskSize?: number;
  /** Seconds that a program may run, where it is not told otherwise; 0, which is no limit. */
  timeout?: number;
  /** Install what this host lacks, as root or by sudo; false, which is an error that says what. */
  install?: boolean;
  /** Told what is being done while that takes time: a first start builds an image for a minute. */
  onProgress?: (text: string) => void;
  /** Told what the user should know, one line each. */
  onNote?: (text: string) => void;
  /** Gives up starting it. */
  signal?: AbortSignal;
}

/** What {@link Vm.open} takes. */
export type VmOpenOptions = VmTarget & VmSettings;

/** How a program is run in the guest. */
export interface SpawnOptions {
  /** Absolute, or below the user's home; the project's directory, or the home if there is none. */
  cwd?: string;
  /** Beside what a login sets: HOME, USER, PATH and the like. */
  env?: Record<string, string>;
  /** Name or number of a user of the guest; root. */
  user?: string;
  /** Seconds until it is ended with all that it started; 0 for no limit. The VM's, if left out. */
  timeout?: number;
  /** Ends it with all that it started; what was waited for then fails with the signal's reason. */
  signal?: AbortSignal;
  /** Give it a terminal of that size. All of its output is then stdout. */
  tty?: { rows: number; columns: number };
}

/** How a program is run whose output is waited for. */
export interface ExecOptions extends SpawnOptions {
  /** What it reads; nothing if left out. */
  stdin?: Input;
  /** Where its stdout goes instead of the result. Is not closed. */
  stdout?: WritableStream<Uint8Array>;
  /** Where its stderr goes instead of the result. Is not closed. */
  stderr?: WritableStream<Uint8Array>;
  /** The most bytes of each output that are kept for the result; 16 MiB. */
  maxOutput?: number;
}

/** @throws {VibeError} `VM_TARGET` unless it says one thing. */
export function checkTarget({ project, name, disk }: VmTarget): void {
  if ([project, name, disk].filter((given) => given !== undefined).length === 1) return;
  throw new VibeError("VM_TARGET", "Cannot tell which VM: give one of project, name and disk");
}

/**
 * The same in the words of the command line.
 *
 * @throws {VibeError} `SETTING_INVALID` for a number that cannot be.
 */
export function vmOptions(settings: VmSettings): VmOptions {
  const { image, cpus, ram, mounts, defaultMounts, git, network, diskSize, install } = settings;
  check({ cpus, ram, disk: diskSize, timeout: settings.timeout });
  const mount = mounts?.map(mountSpec);
  return { image, cpus, ram, mount, defaultMounts, git, network, disk: diskSize, yes: install };
}

function check(numbers: Partial<Record<NumberName, number>>): void {
  for (const [name, value] of Object.entries(numbers) as [NumberName, number | undefined][]) {
    const problem = value === undefined ? null : limitProblem(name, value);
    if (problem) {
      throw new VibeError("SETTING_INVALID", `Cannot use ${value} for "${name}": ${problem}`);
    }
  }
}

function mountSpec({ host, guest, readOnly }: VmMount): string {
  const escaped = [host, guest].map((path) => path.replace(/[\\:]/g, "\\$&"));
  return [...escaped, ...(readOnly ? ["read-only"] : [])].join(":");
}
