/** Options that several commands share, and their values checked. */

import type { VmOptions } from "../plan/options.ts";
import { isDebugging } from "../config/places.ts";
import { limitProblem, type NumberName } from "../plan/limits.ts";
import { parseNetwork } from "../plan/network.ts";
import { GIT_MODES } from "../share/git_mode.ts";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addRunOptions, type RunOptions } from "./run_options.ts";

/** What is given to every command that needs a VM. */
export interface CliOptions extends VmOptions, RunOptions {
  /** Path of a disk image, to be used instead of the project's VM. */
  diskImage?: string;
  /** Print the plan only. */
  plan?: boolean;
}

/** For commands about one VM that do not start it. */
export const NAME_OPTION = [
  "--name <name>",
  "the VM of that name instead of the directory's",
] as const;

/** Adds the options of {@link CliOptions} to a command. */
export function addVmOptions<T extends Command>(command: T): T {
  command
    .addOption(
      new Option("--cpus <number>", "virtual CPUs (default: 2)").argParser(number("cpus")),
    )
    .addOption(
      new Option("--ram <megabytes>", "memory in MiB (default: 2048)").argParser(number("ram")),
    )
    .addOption(
      new Option(
        "--mount <host:guest[:mode]>",
        "share a host path; mode is read-write (default) or read-only; repeatable",
      ).argParser((spec: string, earlier: string[] | undefined) => [...earlier ?? [], spec]),
    )
    .option(
      "--no-default-mounts",
      "share neither the project nor caches, settings and logins of yours",
    )
    .option("--home-mounts", "share caches, settings and logins of yours all the same")
    .addOption(
      new Option("--git <mode>", "what the guest may do to .git (default: guard)")
        .choices(GIT_MODES),
    )
    .addOption(
      new Option("--network <name>", "nat, none or an interface to bridge to (default: nat)")
        .argParser(checkedNetwork),
    )
    .option("--image <image>", "image to make a new VM from (default: default)")
    .option("--keep", "let the VM run when nobody uses it any more")
    .addOption(
      new Option("--idle <minutes>", "stop a VM that is kept when nobody has used it for so long")
        .argParser(number("idle")),
    )
    .addOption(
      new Option("--disk <gib>", "let the VM's disk grow to this size; it never shrinks")
        .argParser(number("disk")),
    )
    .option("--reset", "throw the VM's disk away and begin with a fresh one of its image")
    .option("--rm", "make a new VM, and remove it after the command")
    .option("--plan", "print what would be started, and start nothing; --json for programs")
    .option("-y, --yes", "install what is missing on this host without asking")
    .option("--verbose", "say more, and show where errors come from (also VIBE_DEBUG)");
  return addRunOptions(command);
}

/**
 * The options of a command and of the commands above it, the nearest one winning. commander sets
 * `defaultMounts` to true where it was not given, so only a false counts.
 */
export function mergedOptions(command: Command): CliOptions {
  const chain: CliOptions[] = [];
  for (let at: Command | null = command; at; at = at.parent) chain.unshift(at.opts());
  const merged: CliOptions = Object.assign({}, ...chain);
  merged.mount = chain.flatMap((options) => options.mount ?? []);
  if (isDebugging()) merged.verbose = true;
  merged.defaultMounts = chain.every((options) => options.defaultMounts !== false);
  return merged;
}

function checkedNetwork(name: string): string {
  parseNetwork(name);
  return name;
}

/** A reader of the values of a numeric option or argument. */
export function number(name: NumberName): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    const problem = limitProblem(name, value);
    if (problem) throw new InvalidArgumentError(problem);
    return value;
  };
}
