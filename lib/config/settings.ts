/** The settings that files, the environment and the command line have in common. Pure. */

import type { GitMode } from "../share/git_mode.ts";

/** Values as one source gives them; what it does not give is absent. */
export interface Settings {
  /** Name of the image that a new VM is made from. */
  image?: string;
  cpus?: number;
  /** MiB. */
  ram?: number;
  /** Seconds that `vibe run` gives its command. */
  timeout?: number;
  /** Minutes that a VM which is kept runs without anyone in it. */
  idle?: number;
  /** `--mount` values; host paths are absolute. */
  mount?: string[];
  /** False: the project directory is not shared. */
  defaultMounts?: boolean;
  git?: GitMode;
  /** See `parseNetwork`. */
  network?: string;
  /** `URL#sha512=…` of the disk that `--base nocloud` means. */
  nocloud?: string;
}

/** The name of a setting in the program. */
export type SettingName = keyof Settings;

/** Each setting's key in a file; the flag, if there is one, has the same name. */
export const KEYS: Record<SettingName, string> = {
  image: "image",
  cpus: "cpus",
  ram: "ram",
  timeout: "timeout",
  idle: "idle",
  mount: "mount",
  defaultMounts: "default-mounts",
  git: "git",
  network: "network",
  nocloud: "nocloud",
};

/** All settings, in the order in which they are shown. */
export const SETTING_NAMES = Object.keys(KEYS) as SettingName[];

/** Where a value came from. */
export type Origin =
  | { from: "flag" }
  | { from: "environment"; variable: string }
  | { from: "project" | "user"; path: string; line: number }
  | { from: "default" };

/** A file's settings, and on which line each of its keys is. */
export interface FileSettings {
  path: string;
  values: Settings;
  lines: Partial<Record<SettingName, number>>;
}

/** The project's file, which somebody else may have written. */
export interface ProjectFile extends FileSettings {
  /** SHA-256 of its bytes, in hex. */
  digest: string;
  /** Whether the user trusts these bytes at this path; `changed`: they trusted others. */
  trust: "trusted" | "changed" | "none";
}
