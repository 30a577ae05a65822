/** Deleting a VM for good. */

import { printable, reason, VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { type Instance, instancePaths } from "../paths.ts";
import { unregister } from "./registry.ts";
import { type StopOptions, stopVm } from "./stop.ts";

/**
 * Deletes a VM that does not run, or with `force` one that does. Resolves to false if there is none.
 *
 * @throws {VibeError} `VM_RUNNING`, `VM_REMOVE`, `VM_STUCK`.
 */
export async function removeVm(instance: Instance, options: StopOptions): Promise<boolean> {
  const { dir, lock } = instancePaths(instance);
  if (!await isDirectory(dir)) {
    await unregister(instance);
    return false;
  }
  if (options.force) await stopVm(instance, options);
  using held = await FileLock.tryTake(lock);
  if (!held) {
    throw new VibeError("VM_RUNNING", `Cannot remove the VM of "${instance.title}": it runs`, {
      hint: "`vibe stop` it first; --force pulls its plug.",
    });
  }
  await removeState(instance);
  return true;
}

/**
 * Deletes what belongs to a VM. Call it with the VM's lock held.
 *
 * @throws {VibeError} `VM_REMOVE`.
 */
export async function removeState(instance: Instance): Promise<void> {
  const { dir, record } = instancePaths(instance);
  try {
    // Without its record a disk is no VM: whatever is left when we are killed here is made anew.
    await Deno.remove(record).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    await Deno.remove(dir, { recursive: true });
  } catch (error) {
    throw new VibeError("VM_REMOVE", `Cannot remove "${dir}": ${reason(error)}`, { cause: error });
  }
  await unregister(instance);
}

/** For `--rm`: what was installed before must not be lost to an option of one command. */
export function notNew({ title }: Instance): VibeError {
  return new VibeError("VM_NOT_NEW", `Cannot use --rm: "${printable(title)}" has a VM already`, {
    hint: "`vibe rm` removes it. Or leave --rm out, or use another VM: --name NAME.",
  });
}

/** A link in the directory's place leads to what is not ours. */
async function isDirectory(path: string): Promise<boolean> {
  return await Deno.lstat(path).then((info) => info.isDirectory, () => false);
}
