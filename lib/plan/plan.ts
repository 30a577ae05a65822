/** One VM, wholly resolved: what the supervisor is given. Plain data, it travels as JSON. */

import type { Boot, Disk, VmConfig } from "../driver/driver.ts";
import type { Instance } from "../paths.ts";
import type { Login, VmInfo } from "../instance/control.ts";
import type { Hook } from "../instance/hooks.ts";
import { networkName } from "./network.ts";
import type { GitWatch, PlacedShare } from "../share/git_guard.ts";
import type { GitMode } from "../share/git_mode.ts";
import type { Repository } from "../share/git_scan.ts";

/** A share and where the guest sees it. */
export type PlannedMount = PlacedShare;

/** A disk that belongs to the user: its path and what it is, never what it claims to stand on. */
export type DiskImage = Pick<Disk, "path" | "format">;

/** Everything a VM is started from. */
export interface VmPlan {
  /** Which VM. */
  instance: Instance;
  /** Name of the image; null for a disk that is used in place. */
  image: string | null;
  /** The base it resolved to. */
  base: { id: string; disk: string } | null;
  /** The disk that is used in place; null for one that the VM has of its own. */
  diskImage: DiskImage | null;
  /** Size of the VM's own disk, which grows to it if it is smaller. */
  diskBytes: number;
  /** Set if the VM's disk is to be made anew; unique, so that a command knows its own. */
  reset: string | null;
  boot: Boot;
  /** How commands reach the guest: over its agent, or by logging in at its console. */
  login: Login;
  cpus: number;
  memoryMiB: number;
  network: VmConfig["network"];
  /** How Git's own files in the project are shared. */
  git: GitMode;
  /** What no mount can guard, and so is watched; null if the project is not shared. */
  gitWatch: GitWatch | null;
  /** The repositories in the project before the VM started. */
  repositories: Repository[];
  mounts: PlannedMount[];
  /** What the mounts came from: `--mount` values, and whether there are default ones. */
  mountSpecs: string[];
  defaultMounts: boolean;
  /** Whether the user's own directories are shared. */
  homeMounts: boolean;
  /** What runs in the guest before sessions may, and whether what it says is told in any case. */
  hooks: Hook[];
  verbose: boolean;
  /** Working directory of sessions in the guest; null is the user's home. */
  workdir: string | null;
  /** Whether it stays when nobody uses it, and for how many minutes then; null is for ever. */
  keep: boolean;
  idleMinutes: number | null;
  /** Remove the VM when it ends. */
  ephemeral: boolean;
}

/**
 * A plan before anything was prepared for it. Null is what is known only when its image has been
 * built.
 */
export interface VmOutline extends Omit<VmPlan, "boot" | "diskBytes"> {
  boot: Boot | null;
  diskBytes: number | null;
  /** What is shared as `--mount` values, the project too, but for the user's own directories. */
  explicit: string[];
  /** For `makeDirectories`. */
  directories: string[];
}

/** The part of a plan that users see. */
export function planInfo(plan: VmPlan): VmInfo {
  return {
    instance: plan.instance,
    image: plan.image,
    base: plan.base?.id ?? null,
    login: plan.login,
    diskBytes: plan.diskBytes,
    reset: plan.reset,
    cpus: plan.cpus,
    memoryMiB: plan.memoryMiB,
    git: plan.git,
    network: networkName(plan.network),
    repositories: plan.repositories,
    mounts: plan.mounts.map((mount) => ({
      host: mount.source,
      guest: mount.guestPath,
      readOnly: mount.readOnly,
      copy: mount.copy,
    })),
    mountSpecs: plan.mountSpecs,
    defaultMounts: plan.defaultMounts,
    homeMounts: plan.homeMounts,
    workdir: plan.workdir,
  };
}
