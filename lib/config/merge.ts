/**
 * One value for each setting: flag, else environment, else the project's file, else the user's, else
 * none. Pure.
 *
 * A project's file may come from a stranger. Unless the user trusts it, it can tighten what holds
 * without it, not widen; the rule for each setting is told in docs/config.md.
 */

import { DEFAULT_IMAGE } from "../image/catalog.ts";
import { DEFAULTS, MIN_RAM } from "../plan/limits.ts";
import { networkReach } from "../plan/network.ts";
import { printable } from "../errors.ts";
import { GIT_MODES } from "../share/git_mode.ts";
import { parseMount } from "../share/mount_spec.ts";
import {
  type FileSettings,
  KEYS,
  type Origin,
  type ProjectFile,
  SETTING_NAMES,
  type SettingName,
  type Settings,
} from "./settings.ts";

/** All that settings can come from. */
export interface Sources {
  flags: Settings;
  environment: Settings;
  project: ProjectFile | null;
  user: FileSettings | null;
}

/** What the rules for a stranger's file depend on. */
export interface Bounds {
  /** CPUs and MiB of this host. */
  host: { cpus: number; ram: number };
  /** True if a path, with its links resolved, is within the project. */
  isInProject(host: string): boolean;
}

/** Something in the project's file that was not done as it says. */
export interface Ignored {
  path: string;
  line: number | undefined;
  /** `key = value`, safe to print. */
  what: string;
  /** Why not, and what holds instead. */
  why: string;
}

/** The settings that hold. */
export interface Merged {
  values: Settings;
  /** For every setting, a default's too; a list has the origin of its last entry. */
  origins: Record<SettingName, Origin>;
  /** Where each of `values.mount` came from. */
  mountOrigins: Origin[];
  ignored: Ignored[];
  /** The project's file, if there is one. */
  project: { path: string; trust: ProjectFile["trust"] } | null;
}

/** Merges all sources. */
export function mergeSettings(sources: Sources, bounds: Bounds): Merged {
  const { flags, environment, user } = sources;
  const ignored: Ignored[] = [];
  const project = sources.project && sources.project.trust !== "trusted"
    ? tightened(sources, sources.project, bounds, ignored)
    : sources.project && withinHost(sources.project, bounds.host);
  const layers: [Settings, (name: SettingName) => Origin][] = [
    [user?.values ?? {}, fileOrigin("user", user)],
    [project?.values ?? {}, fileOrigin("project", project)],
    [environment, (name) => ({ from: "environment", variable: `VIBE_${name.toUpperCase()}` })],
    [flags, () => ({ from: "flag" })],
  ];
  const values: Settings = {};
  const origins = Object.fromEntries(
    SETTING_NAMES.map((name) => [name, { from: "default" }]),
  ) as Merged["origins"];
  for (const [layer, origin] of layers) {
    for (const name of SETTING_NAMES) {
      if (name === "mount" || layer[name] === undefined) continue;
      Object.assign(values, { [name]: layer[name] });
      origins[name] = origin(name);
    }
  }
  const mounts = mergeMounts(layers, flags.defaultMounts === false);
  if (mounts.length > 0) {
    values.mount = mounts.map(({ spec }) => spec);
    origins.mount = mounts.at(-1)!.origin;
  }
  return {
    values,
    origins,
    mountOrigins: mounts.map(({ origin }) => origin),
    ignored,
    project: sources.project && { path: sources.project.path, trust: sources.project.trust },
  };
}

function fileOrigin(from: "project" | "user", file: FileSettings | null) {
  return (name: SettingName): Origin => ({ from, path: file!.path, line: file!.lines[name] ?? 0 });
}

/**
 * Shares add up; of two at one guest path the later layer's holds. With `--no-default-mounts` on the
 * command line only its own count.
 */
function mergeMounts(
  layers: [Settings, (name: SettingName) => Origin][],
  flagsOnly: boolean,
): { spec: string; origin: Origin }[] {
  let merged: { spec: string; guest: string; origin: Origin }[] = [];
  for (const [layer, origin] of flagsOnly ? layers.slice(-1) : layers) {
    const own = (layer.mount ?? []).map((spec) => ({
      spec,
      // Where it is on the host makes no difference here.
      guest: parseMount(spec, "/").guest,
      origin: origin("mount"),
    }));
    const taken = new Set(own.map(({ guest }) => guest));
    merged = [...merged.filter(({ guest }) => !taken.has(guest)), ...own];
  }
  return merged;
}

/** A trusted file, too, may have been written for a bigger computer. */
function withinHost(file: ProjectFile, host: Bounds["host"]): ProjectFile {
  const values = { ...file.values };
  for (const name of ["cpus", "ram"] as const) {
    if (values[name] !== undefined) values[name] = Math.min(values[name], host[name]);
  }
  return { ...file, values };
}

/** What of a stranger's file is no wider than what holds without it. */
function tightened(
  { flags, environment, user }: Sources,
  file: ProjectFile,
  bounds: Bounds,
  ignored: Ignored[],
): ProjectFile {
  const own = { ...user?.values, ...environment };
  const values: Settings = {};
  const ignore = (name: SettingName, value: unknown, why: string) =>
    ignored.push({
      path: file.path,
      line: file.lines[name],
      what: `${KEYS[name]} = ${printable(JSON.stringify(value), 100)}`,
      why,
    });
  const { image, cpus, ram, mount, defaultMounts, git, network, nocloud } = file.values;

  if (image !== undefined) {
    if (image === DEFAULT_IMAGE || image === own.image) values.image = image;
    else ignore("image", image, "an image of yours may hold what is not for this project");
  }
  for (const [name, value] of [["cpus", cpus], ["ram", ram]] as const) {
    if (value === undefined) continue;
    const half = Math.max(Math.floor(bounds.host[name] / 2), name === "ram" ? MIN_RAM : 1);
    const most = own[name] ?? Math.max(half, Math.min(DEFAULTS[name], bounds.host[name]));
    values[name] = Math.min(value, most);
    if (value <= most) continue;
    const why = own[name] === undefined ? "more than half of this host" : "more than you give";
    ignore(name, value, `that is ${why}; it is ${most}`);
  }
  for (const name of ["timeout", "idle"] as const) {
    const value = file.values[name];
    if (value === undefined) continue;
    // Zero is no limit.
    if ((value || Infinity) <= (own[name] || Infinity)) values[name] = value;
    else ignore(name, value, `that is longer than yours, ${own[name]}`);
  }
  if (git !== undefined) {
    const holds = own.git ?? DEFAULTS.git;
    if (GIT_MODES.indexOf(git) <= GIT_MODES.indexOf(holds)) values.git = git;
    else ignore("git", git, `that is laxer than "${holds}"`);
  }
  if (network !== undefined) {
    const holds = own.network ?? DEFAULTS.network;
    if (network === holds || networkReach(network) < networkReach(holds)) values.network = network;
    else ignore("network", network, `that opens more than "${holds}"`);
  }
  if (nocloud !== undefined) {
    if (nocloud === own.nocloud) values.nocloud = nocloud;
    else ignore("nocloud", nocloud, "other projects' VMs are made of the same images");
  }
  if (defaultMounts !== undefined) {
    if (!defaultMounts || own.defaultMounts !== false) values.defaultMounts = defaultMounts;
    else ignore("defaultMounts", defaultMounts, "you do not share projects");
  }
  const shared = own.defaultMounts !== false && (flags.git ?? values.git ?? own.git) !== "hide";
  for (const spec of mount ?? []) {
    const { host, readOnly } = parseMount(spec, "/");
    const why = !bounds.isInProject(host)
      ? "it is outside of the project"
      : !readOnly
      ? "it is not read-only, and so would be without the guards of the project"
      : !shared
      ? "you do not share projects, or not their .git"
      : null;
    if (why) ignore("mount", [spec], why);
    else values.mount = [...values.mount ?? [], spec];
  }
  return { ...file, values };
}
