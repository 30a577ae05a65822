/** `vibe` and `vibe run`. */

import { join } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import type { Sinks } from "../agent/client.ts";
import type { Attachment } from "../instance/attach.ts";
import type { VmInfo } from "../instance/control.ts";
import { type ReadyVm, startVm } from "../instance/start.ts";
import { terminalConfirm } from "../host/ask.ts";
import { type Progress, silentProgress } from "../progress.ts";
import { newRepositories, scanRepositories } from "../share/git_scan.ts";
import { isInteractive } from "../console/terminal.ts";
import type { Action } from "./actions.ts";
import type { CliOptions } from "./options.ts";
import { formatMounts, printError } from "./output.ts";
import type { Planned } from "./plan_command.ts";
import { terminalProgress } from "./progress.ts";
import { stopVm } from "../instance/stop.ts";
import { openTarget } from "./target.ts";
import { exitCodeOf, joinSession, runSession, type SessionOptions } from "./session.ts";
import { completeOptions, configuredTimeout } from "./settings.ts";

/** A login shell in the VM of the current directory. Resolves to its exit code. */
export async function shell(options: CliOptions): Promise<number> {
  if (options.plan) return await plan({ run: null, actions: [] }, options);
  if (!isInteractive()) return await run([], options);
  if (isReported(options)) throw noReport("a shell on a terminal", REPORTED);
  using progress = progressFor(options);
  using vm = await startHere(options, progress);
  if (!options.quiet) {
    await tellRebuilt(vm.info);
    printError(formatMounts(vm.info.mounts));
  }
  const cwd = vm.info.workdir ?? undefined;
  const code = await runSession(vm.attachment, { argv: [], cwd, tty: true });
  if (options.rm) await endEphemeral(vm.attachment, progress);
  if (!options.quiet) await tellWhatIsLeft(vm, options);
  return code;
}

/** What `--send`, `--expect` and `--script` ask for. Resolves to the exit code. */
export async function act(actions: Action[], options: CliOptions): Promise<number> {
  const { loadActions } = await import("./actions.ts");
  const [first, ...more] = await loadActions(actions);
  if (options.plan) return await plan({ run: null, actions }, options);
  const { runActions, runScript } = await import("./action_session.ts");
  const inVm = async <T>(work: (vm: ReadyVm, timeout?: number) => Promise<T>) => {
    using progress = progressFor(options);
    using vm = await startHere(options, progress);
    const result = await work(vm, await configuredTimeout(vm.info.instance, options));
    if (options.rm) await endEphemeral(vm.attachment, progress);
    if (isInteractive() && !options.quiet) await tellWhatIsLeft(vm, options);
    return result;
  };
  if (!isReported(options)) {
    return await inVm((vm, timeout) => runActions(vm, [first, ...more], { timeout }));
  }
  if (first.kind !== "script" || more.length > 0) {
    throw noReport("--send, --expect or several scripts", REPORTED);
  }
  const { script } = first;
  const session: SessionOptions = { argv: [script.name], tty: false };
  const join = (sinks?: Sinks) =>
    inVm((vm, timeout) => runScript(vm, script, { sinks, timeout: session.timeout = timeout }));
  const { reportedRun } = await import("./run_report.ts");
  return await reportedRun(options, join, (end) => exitCodeOf(end, session));
}

/** One command in it; no words are a login shell. Resolves to its exit code. */
export async function run(argv: string[], options: CliOptions): Promise<number> {
  if (options.plan) return await plan({ run: argv, actions: [] }, options);
  const tty = isInteractive() && !options.json;
  const session: SessionOptions = { argv, tty };
  const start = async (sinks?: Sinks) => {
    using progress = progressFor(options);
    using vm = await startHere(options, progress);
    const cwd = vm.info.workdir ?? undefined;
    session.timeout = await configuredTimeout(vm.info.instance, options);
    const end = await joinSession(vm.attachment, { ...session, cwd, sinks });
    if (options.rm) await endEphemeral(vm.attachment, progress);
    return end;
  };
  if (!isReported(options)) return exitCodeOf(await start(), session);
  const { reportedRun } = await import("./run_report.ts");
  return await reportedRun(options, start, (end) => exitCodeOf(end, session));
}

const REPORTED = "--json and --result are for `vibe run -- COMMAND`, and for one --script alone.";

/** Whether the user asks for a report on a program. */
export function isReported({ json, result }: CliOptions): boolean {
  return json === true || result !== undefined;
}

/** The error for what runs no program to report on. */
export function noReport(what: string, hint: string): VibeError {
  return new VibeError("REPORT_NONE", `Cannot report on ${what}`, {
    hint,
    exitCode: ExitCode.usage,
  });
}

/** `--plan`. */
export async function plan(planned: Planned, options: CliOptions): Promise<number> {
  const { printPlan } = await import("./plan_command.ts");
  return await printPlan(planned, options);
}

/** The VM of the current directory, or the one that was named, started if need be. */
export async function startHere(options: CliOptions, progress: Progress): Promise<ReadyVm> {
  const note = options.quiet ? undefined : (text: string) => printError(`vibe: ${text}\n`);
  const instance = await openTarget(options);
  const start = async () => {
    const complete = () => completeOptions(instance, options, note);
    const vm = await startVm(instance, options, { progress, note, complete });
    if (options.diskImage !== undefined) tellOtherProject(vm.info, note);
    return vm;
  };
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof VibeError) || error.code !== "VM_DIFFERS") throw error;
    progress.done();
    const question = `${error.message}.\nRestart it as asked? Its open sessions end. [y/N] `;
    if (!await terminalConfirm()?.(question)) throw error;
    await stopVm(instance, { force: false, progress });
    return await start();
  }
}

/**
 * Ends a VM that is to be removed with its session, and waits until its supervisor has done so. If
 * others use it still, it goes with the last of them.
 */
async function endEphemeral({ link }: Attachment, progress: Progress): Promise<void> {
  if (await link.request("leave", {}).catch(() => null) === "others") return;
  progress.step("Removing the VM");
  await link.request("stop", { force: false }).catch(() => {});
  await link.ended;
  progress.done();
}

/** A disk image that runs already was perhaps started elsewhere. */
function tellOtherProject(info: VmInfo, note?: (text: string) => void): void {
  const project = projectOf(info);
  if (project === undefined || project === Deno.realPathSync(".")) return;
  note?.(`this VM was started in "${printable(project)}"; the current directory is not shared.`);
}

/** Where a command's progress goes. */
export function progressFor({ quiet, verbose }: CliOptions): Progress & Disposable {
  return quiet ? { ...silentProgress, [Symbol.dispose]() {} } : terminalProgress(verbose ?? false);
}

const STAYS = {
  keep: "the VM goes on running",
  tmux: "the VM goes on running, for tmux has sessions in it",
};
/** A guest that does not answer holds nobody up. */
const LEAVE_MS = 10_000;

/** What somebody at a terminal should know when a shell is over. */
async function tellWhatIsLeft({ attachment, info }: ReadyVm, options: CliOptions): Promise<void> {
  if (!options.rm) await tellWhatStays(attachment);
  tellNewRepositories(info);
}

/** What is still there when this terminal leaves, or it would be forgotten. */
async function tellWhatStays({ link }: Attachment): Promise<void> {
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), LEAVE_MS);
  const why = await Promise.race([link.request("leave", {}).catch(() => null), late.promise]);
  clearTimeout(timer);
  if (why && why !== "others") printError(`vibe: ${STAYS[why]}; \`vibe stop\` ends it.\n`);
}

/** Says, once for each new base, that a fresh VM would be another one. */
async function tellRebuilt({ instance, image, base }: VmInfo): Promise<void> {
  const { rebuiltSince } = await import("../instance/rebuilt.ts");
  if (image === null || base === null || !await rebuiltSince(instance, image, base)) return;
  printError(
    `vibe: The image "${image}" was built anew since this VM was made from it. ` +
      "`vibe --reset` throws the VM's disk away and makes it from the new one.\n",
  );
}

/** Their hooks and settings are the guest's; git on this host would run them. */
function tellNewRepositories(info: VmInfo): void {
  const project = projectOf(info);
  if (project === undefined) return;
  const { repositories } = info;
  const found = newRepositories(repositories, scanRepositories(project).repositories);
  if (found.length === 0) return;
  const places = found.map(({ path }) => `"${printable(join(project, path))}"`).join(", ");
  printError(
    `vibe: a Git repository was made in the VM: ${places}. Its hooks and settings would run on ` +
      "this host: look at its .git/hooks and .git/config before you use git there.\n",
  );
}

/** The host directory in which sessions begin. */
function projectOf({ mounts, workdir }: VmInfo): string | undefined {
  return mounts.find(({ guest }) => guest === workdir)?.host;
}
