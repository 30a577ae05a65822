/** `vibe` and `vibe run`. */

import { isInteractive } from "../console/terminal.ts";
import type { VmOptions } from "./options.ts";
import { formatMounts, printError } from "./output.ts";
import { terminalProgress } from "./progress.ts";
import { runSession } from "./session.ts";
import { startVm } from "./start.ts";

/** A login shell in the VM of the current directory. Resolves to its exit code. */
export async function shell(options: VmOptions): Promise<number> {
  const tty = isInteractive();
  using progress = terminalProgress(options.verbose ?? false);
  using vm = await startVm(options, progress);
  if (tty) printError(formatMounts(vm.info.mounts));
  return await runSession(vm.attachment, { argv: [], cwd: vm.info.workdir ?? undefined, tty });
}

/** One command in it. Resolves to its exit code. */
export async function run(argv: string[], options: VmOptions): Promise<number> {
  using progress = terminalProgress(options.verbose ?? false);
  using vm = await startVm(options, progress);
  const cwd = vm.info.workdir ?? undefined;
  return await runSession(vm.attachment, { argv, cwd, tty: isInteractive() });
}
