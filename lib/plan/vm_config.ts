/** A plan as what a driver is given. Pure. */

import type { Disk, Driver, VmConfig } from "../driver/driver.ts";
import { instancePaths } from "../paths.ts";
import type { VmOutline, VmPlan } from "./plan.ts";

/** Where the disk of a VM is, or will be, and what it is. */
export function diskOf(
  plan: Pick<VmOutline, "instance" | "diskImage" | "base">,
  driver: Driver["name"],
): Disk {
  if (plan.diskImage) return plan.diskImage;
  const paths = instancePaths(plan.instance);
  return driver === "vz"
    ? { path: paths.rawDisk, format: "raw" }
    : { path: paths.disk, format: "qcow2", backing: plan.base?.disk };
}

/** All that a driver needs to start the VM of a plan. */
export function vmConfig(
  plan: VmPlan,
  disk: Disk,
  runtime: { id: string; dir: string },
): VmConfig {
  return {
    name: runtime.id,
    runtimeDir: runtime.dir,
    boot: plan.boot,
    cpus: plan.cpus,
    memoryMiB: plan.memoryMiB,
    disks: [disk],
    ...attached(plan),
  };
}

/** What of it depends on no image. */
export function attached(
  { mounts, network }: Pick<VmPlan, "mounts" | "network">,
): Pick<VmConfig, "shares" | "network"> {
  return { shares: mounts.map(({ guestPath: _, copy: __, ...share }) => share), network };
}
