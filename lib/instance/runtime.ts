/** Private directories for the sockets of running VMs. */

import { VibeError } from "../errors.ts";
import { type Instance, runtimeDir } from "../paths.ts";

/** The sockets of one VM live here; `id` names it in process lists and logs. */
export interface VmRuntime {
  id: string;
  dir: string;
  /** Where commands reach the supervisor. */
  socket: string;
}

/** The runtime of a VM. */
export function vmRuntime({ id }: Pick<Instance, "id">): VmRuntime {
  const dir = `${runtimeDir()}/${id}`;
  return { id, dir, socket: `${dir}/vibe.sock` };
}

/**
 * Makes the VM's runtime directory, empty. Call it with the VM's lock held: what lies there is
 * left over from a supervisor that was killed.
 *
 * @throws {VibeError} `RUNTIME_UNSAFE` if another user could have made the directory above it.
 */
export async function makeRuntime(runtime: VmRuntime): Promise<void> {
  await requireRuntimeParent();
  await removeRuntime(runtime);
  await Deno.mkdir(runtime.dir, { mode: 0o700 });
}

/**
 * Makes the directory that holds those of all VMs, unless it is there.
 *
 * @throws {VibeError} `RUNTIME_UNSAFE` if another user could have made it.
 */
export async function requireRuntimeParent(): Promise<void> {
  const parent = runtimeDir();
  await Deno.mkdir(parent, { mode: 0o700 }).catch(async (error) => {
    if (error instanceof Deno.errors.NotFound) {
      await Deno.mkdir(parent, { recursive: true, mode: 0o700 });
    } else if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  });
  const info = await Deno.lstat(parent);
  const mode = (info.mode ?? 0) & 0o777;
  if (!info.isDirectory || info.uid !== Deno.uid() || (mode & 0o077) !== 0) {
    throw new VibeError(
      "RUNTIME_UNSAFE",
      `Cannot use the runtime directory "${parent}": it is not a directory that only you can enter`,
      { hint: `Remove it, or point VIBE_RUNTIME at a directory of yours with mode 700.` },
    );
  }
}

/** Removes the VM's runtime directory, if it is there. */
export async function removeRuntime(runtime: VmRuntime): Promise<void> {
  await Deno.remove(runtime.dir, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
