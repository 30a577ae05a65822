/** From a target to a VM that runs. Loaded when the first one is opened. */

import { VibeError } from "../errors.ts";
import { openDisk, openNamed, openProject } from "../instance/open.ts";
import { type ReadyVm, startVm } from "../instance/start.ts";
import type { Instance } from "../paths.ts";
import type { VmOptions } from "../plan/options.ts";
import { type Progress, silentProgress } from "../progress.ts";
import { checkTarget, type VmSettings, type VmTarget } from "./options.ts";

/** The VM that is meant, its state directory made. @throws {VibeError} */
export async function openTarget(target: VmTarget): Promise<Instance> {
  checkTarget(target);
  const { project, name, disk } = target;
  if (disk !== undefined) return await openDisk(disk);
  return project === undefined ? await openNamed(name!) : await openProject(project);
}

/** Progress as its listener hears of it. */
export function progressTo(listener: VmSettings["onProgress"]): Progress {
  if (!listener) return silentProgress;
  return { step: listener, detail: listener, done: (text) => text && listener(text) };
}

/** Starts it, or attaches to it. @throws {VibeError} */
export async function openVm(
  instance: Instance,
  options: VmOptions,
  { onProgress, onNote, signal }: VmSettings,
): Promise<ReadyVm> {
  const progress = progressTo(onProgress);
  const vm = await startVm(instance, options, { progress, note: onNote, unattended: { signal } });
  if (vm.info.login === "agent") return vm;
  vm[Symbol.dispose]();
  throw new VibeError("VM_NO_AGENT", `Cannot run programs on "${instance.title}" from here`, {
    hint: "What is on that disk lacks vibe's agent. `vibe --send` and --script use its console.",
  });
}
