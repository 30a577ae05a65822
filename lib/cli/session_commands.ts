/** `vibe` and `vibe run`. */

import { join } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import type { VmInfo } from "../instance/control.ts";
import { openNamed, openProject } from "../instance/open.ts";
import { type ReadyVm, startVm } from "../instance/start.ts";
import { type Progress, silentProgress } from "../progress.ts";
import { newRepositories, scanRepositories } from "../share/git_scan.ts";
import { isInteractive } from "../console/terminal.ts";
import type { CliOptions } from "./options.ts";
import { formatMounts, printError } from "./output.ts";
import { terminalProgress } from "./progress.ts";
import { exitCodeOf, joinSession, runSession, type SessionOptions } from "./session.ts";

/** A login shell in the VM of the current directory. Resolves to its exit code. */
export async function shell(options: CliOptions): Promise<number> {
  if (!isInteractive()) return await run([], options);
  if (options.json || options.result !== undefined) {
    throw new VibeError("SHELL_REPORT", "Cannot report on a shell on a terminal", {
      hint: "--json and --result are for `vibe run -- COMMAND`.",
      exitCode: ExitCode.usage,
    });
  }
  using progress = progressFor(options);
  using vm = await startHere(options, progress);
  if (!options.quiet) printError(formatMounts(vm.info.mounts));
  const cwd = vm.info.workdir ?? undefined;
  const code = await runSession(vm.attachment, { argv: [], cwd, tty: true });
  if (cwd && !options.quiet) tellNewRepositories(vm.info);
  return code;
}

/** One command in it; no words are a login shell. Resolves to its exit code. */
export async function run(argv: string[], options: CliOptions): Promise<number> {
  const reported = options.json || options.result !== undefined;
  const tty = isInteractive() && !options.json;
  const session: SessionOptions = { argv, tty, timeout: options.timeout };
  const start = async (sinks?: SessionOptions["sinks"]) => {
    using progress = progressFor(options);
    using vm = await startHere(options, progress);
    const cwd = vm.info.workdir ?? undefined;
    return await joinSession(vm.attachment, { ...session, cwd, sinks });
  };
  if (!reported) return exitCodeOf(await start(), session);
  const { reportedRun } = await import("./run_report.ts");
  return await reportedRun(options, start, (end) => exitCodeOf(end, session));
}

/** The VM of the current directory, or the one that was named, started if need be. */
async function startHere(options: CliOptions, progress: Progress): Promise<ReadyVm> {
  const instance = options.name === undefined
    ? await openProject(Deno.cwd())
    : await openNamed(options.name);
  const note = options.quiet ? undefined : (text: string) => printError(`vibe: ${text}\n`);
  return await startVm(instance, options, { progress, note });
}

function progressFor({ quiet, verbose }: CliOptions): Progress & Disposable {
  return quiet ? { ...silentProgress, [Symbol.dispose]() {} } : terminalProgress(verbose ?? false);
}

/** Their hooks and settings are the guest's; git on this host would run them. */
function tellNewRepositories({ instance, repositories }: VmInfo): void {
  const project = instance.title;
  const found = newRepositories(repositories, scanRepositories(project).repositories);
  if (found.length === 0) return;
  const places = found.map(({ path }) => `"${printable(join(project, path))}"`).join(", ");
  printError(
    `vibe: a Git repository was made in the VM: ${places}. Its hooks and settings would run on ` +
      "this host: look at its .git/hooks and .git/config before you use git there.\n",
  );
}
