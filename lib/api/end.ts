/** Ending VMs, for the library. */

import { removeVm } from "../instance/remove.ts";
import { stopVm } from "../instance/stop.ts";
import type { Instance } from "../paths.ts";
import { silentProgress } from "../progress.ts";
import { progressTo } from "./open.ts";
import type { VmSettings } from "./options.ts";

/** Stops a VM in good order; one that does not run is fine. @throws {VibeError} `VM_STUCK`. */
export async function endVm(instance: Instance, { onProgress }: VmSettings): Promise<void> {
  await stopVm(instance, { force: false, progress: progressTo(onProgress) });
}

/** Stops a VM and deletes it; false if there is none. @throws {VibeError} */
export async function deleteVm(instance: Instance): Promise<boolean> {
  return await removeVm(instance, { force: true, progress: silentProgress });
}
