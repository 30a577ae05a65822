/** What files and the environment add to the command line, and what they say of themselves. */

import { hasSettings } from "../config/places.ts";
import type { Merged } from "../config/merge.ts";
import type { Settings } from "../config/settings.ts";
import { printable } from "../errors.ts";
import { readRecord } from "../instance/record.ts";
import { projectOf } from "../instance/open.ts";
import { type Instance, instancePaths } from "../paths.ts";
import type { CliOptions } from "./options.ts";

/** The part of what was typed that files and the environment can give as well. */
export function flagsOf(options: CliOptions): Settings {
  const { image, cpus, ram, git, network, mount, timeout, idle } = options;
  const defaultMounts = options.defaultMounts === false ? false : undefined;
  return { image, cpus, ram, git, network, mount, timeout, idle, defaultMounts };
}

/** The settings that hold for an instance; null if only the command line says anything. */
export async function settingsFor(
  instance: Instance,
  options: CliOptions,
): Promise<Merged | null> {
  const project = await projectOf(instance);
  if (!hasSettings(project)) return null;
  // Loaded only now: most starts need none of it.
  const { loadSettings } = await import("../config/load.ts");
  return await loadSettings(project, flagsOf(options));
}

/**
 * Options completed for the start of a VM.
 *
 * @param note told, one line each, what of the project's file was ignored.
 */
export async function completeOptions(
  instance: Instance,
  options: CliOptions,
  note?: (text: string) => void,
): Promise<CliOptions> {
  const settings = await settingsFor(instance, options);
  if (!settings) return options;
  for (const line of describeIgnored(settings)) note?.(line);
  const completed = { ...options, ...settings.values };
  // A VM keeps its image; only who names another one on the command line is told so by an error.
  // So does a disk image, which is none.
  const made = instance.kind === "disk" || await readRecord(instancePaths(instance));
  if (made) completed.image = options.image;
  return completed;
}

/** The limit for one command, in seconds, which is no matter of how the VM was started. */
export async function configuredTimeout(
  instance: Instance,
  options: CliOptions,
): Promise<number | undefined> {
  return options.timeout ?? (await settingsFor(instance, options))?.values.timeout;
}

/** What was ignored, one line each, and what to do about it. */
export function describeIgnored({ ignored, project }: Merged): string[] {
  if (ignored.length === 0) return [];
  const { path, trust } = project!;
  const what = trust === "changed" ? "has changed since you trusted it" : "is not trusted";
  return [
    `"${printable(path)}" ${what}, and so cannot do all that it says:`,
    ...ignored.map(({ line, what, why }) => `  line ${line}: ${what}: ${why}`),
    "If you have read it and agree: `vibe trust`, and start again.",
  ];
}
