/** `--plan`: what would be started, and nothing is. */

import { driverName } from "../driver/driver.ts";
import { printable } from "../errors.ts";
import { outlinePlan } from "../plan/make_plan.ts";
import { looking } from "../plan/means.ts";
import { type PlanReport, reportPlan } from "../plan/report.ts";
import { absoluteScript, type Action } from "./actions.ts";
import type { CliOptions } from "./options.ts";
import { printError, printOut } from "./output.ts";
import { completeOptions } from "./settings.ts";
import { shownWord } from "./shell_words.ts";
import { locateTarget } from "./target.ts";

/** What is to be done in the VM. */
export interface Planned {
  /** The words after `run`; null for a shell. */
  run: string[] | null;
  actions: Action[];
  /** Nothing: the VM is only started. */
  startOnly?: boolean;
}

/** Prints the plan for a command line, and starts nothing. */
export async function printPlan(planned: Planned, options: CliOptions): Promise<number> {
  const report = await planFor(planned, options, (text) => printError(`vibe: ${text}\n`));
  printOut(options.json ? JSON.stringify(report, null, 2) + "\n" : describe(report));
  return 0;
}

/**
 * The plan for a command line. Nothing is installed, built or made for it.
 *
 * @param note told, one line each, what a start would say as well.
 * @throws {VibeError} what a start would throw for this command line.
 */
export async function planFor(
  { actions, ...planned }: Planned,
  options: CliOptions,
  note: (text: string) => void,
): Promise<PlanReport> {
  const instance = await locateTarget(options);
  const completed = await completeOptions(instance, options, note);
  const missing = new Set<string>();
  const outline = await outlinePlan(instance, completed, looking(missing), note);
  const diskImage = instance.kind === "disk" ? instance.title : undefined;
  const invocation = { ...planned, options: completed, diskImage, actions: actions.map(wordsOf) };
  return reportPlan(outline, invocation, driverName(), [...missing]);
}

/** An action as it is typed. */
function wordsOf(action: Action): string[] {
  switch (action.kind) {
    case "send":
      return ["--send", action.text];
    case "expect":
      return ["--expect", action.text, `${action.seconds}`];
    case "script":
      return ["--script", absoluteScript(action.path)];
  }
}

/** For people, one thing a line. */
function describe(plan: PlanReport): string {
  const { vm, image, disk, boot } = plan;
  const size = disk.bytes === null ? "" : `, ${+(disk.bytes / 2 ** 30).toFixed(2)} GiB`;
  const row = (name: string, value: string) => [name, value] as const;
  const rows = [
    row("VM", `${vm.kind} ${shown(vm.title)}, kept in ${shown(vm.dir)}`),
    row("driver", plan.driver),
    ...image ? [row("image", `${image.name} (${image.base ?? "not built yet"})`)] : [],
    row("disk", `${shown(disk.path)} (${disk.format}${size})${disk.reset ? ", made anew" : ""}`),
    row("boot", boot?.kind === "kernel" ? shown(boot.kernel) : boot?.kind ?? "not built yet"),
    row("processors", `${plan.cpus}`),
    row("memory", `${plan.memoryMiB} MiB`),
    row("network", plan.network),
    ...plan.shares.flatMap(({ host, guest, readOnly, copy, guards }) => [
      row("share", `${shown(host)} at ${shown(guest)}, ${modeOf(readOnly, copy)}`),
      ...guards.map(({ path, rule }) => row("", `  ${rule} ${shown(path)}`)),
    ]),
    ...plan.devices.map((device) => row("device", describeDevice(device))),
    row("login", plan.login.via === "agent" ? "over vibe's agent" : "at the console, as root"),
    ...plan.hooks.map((path) => row("first", shown(path))),
    ...plan.login.actions.map((action) => row("then", words(action))),
    ...plan.startOnly ? [] : [
      row("directory", plan.workdir === null ? "the user's home" : shown(plan.workdir)),
      row("run", plan.run ? words(plan.run) : "a login shell"),
    ],
    ...plan.timeoutSeconds ? [row("timeout", `${plan.timeoutSeconds} s`)] : [],
    ...plan.ephemeral ? [row("removed", "after that")] : [],
    ...plan.keep ? [row("keep", "it runs on when nobody uses it")] : [],
    ...plan.missing.map((what) => row("missing", what)),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const text = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd() + "\n");
  return `${text.join("")}\nThe same, said explicitly:\n  ${words(plan.command)}\n`;
}

function modeOf(readOnly: boolean, copy: boolean): string {
  return copy ? "as a copy" : readOnly ? "read-only" : "read-write";
}

function describeDevice(device: PlanReport["devices"][0]): string {
  return Object.values(device).filter((value) => value !== null).map(shown).join(" ");
}

function words(argv: string[]): string {
  return argv.map(shownWord).join(" ");
}

function shown(text: string): string {
  return printable(text, Infinity);
}
