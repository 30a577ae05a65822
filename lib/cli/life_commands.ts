/** `vibe start`, `vibe stop` and `vibe restart`. */

import { reason, VibeError } from "../errors.ts";
import { knownInstances } from "../instance/registry.ts";
import { stopVm } from "../instance/stop.ts";
import type { Instance } from "../paths.ts";
import type { Progress } from "../progress.ts";
import type { CliOptions } from "./options.ts";
import { printError } from "./output.ts";
import { terminalProgress } from "./progress.ts";
import { isReported, noReport, plan, progressFor, startHere } from "./session_commands.ts";
import { findTarget, namedTarget, type Target } from "./target.ts";

/** Starts the VM of this directory, or lets the one that runs stay. */
export async function start(asked: CliOptions): Promise<number> {
  const options = { ...asked, keep: true };
  if (options.plan) return await plan({ run: null, actions: [], startOnly: true }, options);
  if (isReported(options)) throw noReport("a start", "`vibe info --json` tells of a VM that runs.");
  using progress = progressFor(options);
  using vm = await startHere(options, progress);
  if (!options.quiet) say(`the VM of "${vm.info.instance.title}" runs until \`vibe stop\`.`);
  return 0;
}

/** What `vibe stop` takes. */
export interface StopOptions extends Target {
  force?: boolean;
  all?: boolean;
}

/** Stops the VMs that the words mean, this directory's, or every VM. It is no error if there is none to stop. */
export async function stop(words: string[], options: StopOptions): Promise<number> {
  const how = { force: options.force ?? false };
  if (options.all) return await stopAll(how);
  using progress = terminalProgress(false);
  const instances = words.length > 0
    ? await Promise.all(words.map(namedTarget))
    : [await findTarget(options)];
  for (const instance of instances) {
    const ran = await stopVm(instance, { ...how, progress });
    if (!ran) say(`the VM of "${instance.title}" does not run.`);
  }
  return 0;
}

/** Stops it, then starts it. */
export async function restart(options: CliOptions, force: boolean): Promise<number> {
  if (!options.plan) {
    using progress = progressFor(options);
    await stopVm(await findTarget(options), { force, progress });
  }
  return await start(options);
}

/** All at once; one that cannot be stopped does not keep the others from it. */
async function stopAll(how: { force: boolean }): Promise<number> {
  using progress = terminalProgress(false);
  let stopped = 0;
  const failures: unknown[] = [];
  await Promise.all((await knownInstances()).map(async (instance: Instance) => {
    try {
      if (await stopVm(instance, { ...how, progress: quiet(progress) })) stopped++;
    } catch (error) {
      failures.push(error);
    }
  }));
  progress.done();
  say(stopped === 0 ? "no VM runs." : `stopped ${stopped} VM${stopped === 1 ? "" : "s"}.`);
  if (failures.length === 0) return 0;
  if (failures.length === 1) throw failures[0];
  throw new VibeError("VM_STUCK", `Cannot stop ${failures.length} of the VMs`, {
    hint: failures.map(reason).join("\n"),
  });
}

/** Steps of several VMs at once are one step. */
function quiet(progress: Progress): Progress {
  return { step: () => progress.step("Stopping the VMs"), detail() {}, done() {} };
}

/** For whoever sits there; a program has the exit code. */
function say(text: string): void {
  if (Deno.stderr.isTerminal()) printError(`vibe: ${text}\n`);
}
