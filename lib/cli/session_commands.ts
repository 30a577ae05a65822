/** `vibe` and `vibe run`. */

import { join } from "node:path";
import { printable } from "../errors.ts";
import type { VmInfo } from "../instance/control.ts";
import { openProject } from "../instance/open.ts";
import { type ReadyVm, startVm } from "../instance/start.ts";
import type { Progress } from "../progress.ts";
import { newRepositories, scanRepositories } from "../share/git_scan.ts";
import { isInteractive } from "../console/terminal.ts";
import type { CliOptions } from "./options.ts";
import { formatMounts, printError } from "./output.ts";
import { terminalProgress } from "./progress.ts";
import { runSession } from "./session.ts";

/** A login shell in the VM of the current directory. Resolves to its exit code. */
export async function shell(options: CliOptions): Promise<number> {
  const tty = isInteractive();
  using progress = terminalProgress(options.verbose ?? false);
  using vm = await startHere(options, progress);
  if (tty) printError(formatMounts(vm.info.mounts));
  const cwd = vm.info.workdir ?? undefined;
  const code = await runSession(vm.attachment, { argv: [], cwd, tty });
  if (tty && cwd) tellNewRepositories(vm.info);
  return code;
}

/** One command in it. Resolves to its exit code. */
export async function run(argv: string[], options: CliOptions): Promise<number> {
  using progress = terminalProgress(options.verbose ?? false);
  using vm = await startHere(options, progress);
  const cwd = vm.info.workdir ?? undefined;
  return await runSession(vm.attachment, { argv, cwd, tty: isInteractive() });
}

/** The VM of the current directory, started if need be. */
async function startHere(options: CliOptions, progress: Progress): Promise<ReadyVm> {
  const note = (text: string) => printError(`vibe: ${text}\n`);
  return await startVm(await openProject(Deno.cwd()), options, { progress, note });
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
