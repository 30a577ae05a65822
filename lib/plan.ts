/** One VM, wholly resolved: what the supervisor is given. Plain data, it travels as JSON. */

import type { Share, VmConfig } from "./driver/driver.ts";
import type { VmInfo } from "./instance/control.ts";

/** A share and where the guest sees it. */
export interface PlannedMount extends Share {
  /** Absolute path in the guest. */
  guestPath: string;
}

/** Everything a VM is started from. */
export interface VmPlan {
  /** The project directory, absolute and without symlinks. */
  project: string;
  /** Name of the image. */
  image: string;
  /** The base it resolved to. */
  base: { id: string; disk: string };
  kernel: string;
  initrd: string;
  cpus: number;
  memoryMiB: number;
  network: VmConfig["network"];
  /** How Git's own files in the project are shared: `guard`, `rw`, `ro`, `hide`. */
  git: string;
  mounts: PlannedMount[];
  /** What the mounts came from: `--mount` values, and whether there are default ones. */
  mountSpecs: string[];
  defaultMounts: boolean;
  /** Working directory of sessions in the guest; null is the user's home. */
  workdir: string | null;
  /** Git directories on the host in which names that redirect git must not appear. */
  watchedGitDirs: string[];
}

/** The part of a plan that users see. */
export function planInfo(plan: VmPlan): VmInfo {
  return {
    project: plan.project,
    image: plan.image,
    base: plan.base.id,
    cpus: plan.cpus,
    memoryMiB: plan.memoryMiB,
    git: plan.git,
    mounts: plan.mounts.map(({ source, guestPath, readOnly }) => ({
      host: source,
      guest: guestPath,
      readOnly,
    })),
    mountSpecs: plan.mountSpecs,
    defaultMounts: plan.defaultMounts,
    workdir: plan.workdir,
  };
}
