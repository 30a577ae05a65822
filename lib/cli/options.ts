/** Options that several commands share, and their values checked. */

import type { VmOptions } from "../plan/options.ts";
import type { GitMode } from "../share/git_guard.ts";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addRunOptions, type RunOptions } from "./run_options.ts";

/** See {@link GitMode}. */
const GIT_MODES: GitMode[] = ["guard", "rw", "ro", "hide"];

/** What is given to every command that needs a VM. */
export interface CliOptions extends VmOptions, RunOptions {
  verbose?: boolean;
}

/** The least memory a Debian guest boots with. */
const MIN_RAM = 256;

/** Adds the options of {@link CliOptions} to a command. */
export function addVmOptions<T extends Command>(command: T): T {
  command
    .addOption(
      new Option("--cpus <number>", "virtual CPUs (default: 2)").argParser(parseCpus),
    )
    .addOption(
      new Option("--ram <megabytes>", "memory in MiB (default: 2048)").argParser(parseRam),
    )
    .addOption(
      new Option(
        "--mount <host:guest[:mode]>",
        "share a host path; mode is read-write (default) or read-only; repeatable",
      ).argParser((spec: string, earlier: string[] | undefined) => [...earlier ?? [], spec]),
    )
    .option("--no-default-mounts", "do not share the project directory")
    .addOption(
      new Option("--git <mode>", "what the guest may do to .git (default: guard)")
        .choices(GIT_MODES),
    )
    .option("--image <image>", "image to make a new VM from (default: default)")
    .option("--keep", "let the VM run when nobody uses it any more")
    .addOption(
      new Option("--disk <gib>", "let the VM's disk grow to this size; it never shrinks")
        .argParser(parseDisk),
    )
    .option("--reset", "throw the VM's disk away and begin with a fresh one of its image")
    .option("-y, --yes", "install what is missing on this host without asking")
    .option("--verbose", "say more, and show where errors come from");
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
  merged.defaultMounts = chain.every((options) => options.defaultMounts !== false);
  return merged;
}

function parseCpus(text: string): number {
  const host = navigator.hardwareConcurrency;
  return parseInteger(text, 1, host, `this host has ${host}`);
}

function parseRam(text: string): number {
  const host = Math.floor(Deno.systemMemoryInfo().total / (1 << 20));
  return parseInteger(text, MIN_RAM, host, `this host has ${host}`);
}

/** ext4 with blocks of 4 KiB holds 16 TiB unless it was made for more. */
const MAX_DISK = 16 * 1024;

/** A number of GiB. */
export function parseDisk(text: string): number {
  return parseInteger(text, 1, MAX_DISK, "a file system holds no more");
}

function parseInteger(text: string, min: number, max: number, why: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  const value = Number(text);
  if (value < min) throw new InvalidArgumentError(`It must be at least ${min}.`);
  if (value > max) throw new InvalidArgumentError(`It must be at most ${max}: ${why}.`);
  return value;
}
