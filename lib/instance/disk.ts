/** A VM's own disk: made from its base, made anew, grown. Whoever calls this holds the VM's lock. */

import { dirname } from "node:path";
import type { Disk, Driver } from "../driver/driver.ts";
import { reason, VibeError } from "../errors.ts";
import { lockBases } from "../image/base.ts";
import { cloneDisk, createOverlay, growDisk, requireBase, virtualSize } from "../image/clone.ts";
import type { FileLock } from "../lock.ts";
import { type Instance, type InstancePaths, instancePaths } from "../paths.ts";
import type { VmPlan } from "../plan/plan.ts";
import { diskOf } from "../plan/vm_config.ts";
import { noteUser } from "./base_users.ts";
import { readRecord, writeRecord } from "./record.ts";

/**
 * The VM's disk. Made at the first start and at a reset; later, what it stands on must be there.
 * QEMU reads overlays; Virtualization.framework only raw disks, so there it is a clone. The record
 * is written last, and removed first: without it there is no VM.
 *
 * @param log told what goes wrong without harm to this VM.
 * @throws {VibeError} `BASE_MISSING`, `INSTANCE_DAMAGED`, `DISK_FULL`, `OVERLAY_FAILED`.
 */
export async function prepareDisk(
  plan: VmPlan,
  driver: Driver["name"],
  log: (line: string) => void,
): Promise<Disk> {
  if (plan.diskImage) return plan.diskImage;
  const paths = instancePaths(plan.instance);
  const { image, base } = plan;
  if (image === null || base === null) throw new Error("the plan has no disk");
  const disk = diskOf(plan, driver);
  await claimBase(plan.instance, base, log);
  if (plan.reset) await Deno.remove(paths.record).catch(ignoreMissing);
  const isNew = await readRecord(paths) === null;
  if (isNew) await (disk.backing ? createOverlay : cloneDisk)(base.disk, disk.path);
  else await requireRegularFile(disk.path);
  // The disk itself remembers its size; the guest's agent lets the file system fill it.
  if (await virtualSize(disk) < plan.diskBytes) await growDisk(disk, plan.diskBytes);
  if (isNew) {
    await writeRecord(paths, {
      version: 1,
      image,
      base: base.id,
      created: new Date().toISOString(),
    });
  }
  return disk;
}

/** The size of a VM's disk as the guest sees it, in bytes; null if it has none yet. */
export async function diskSize(paths: InstancePaths): Promise<number | null> {
  const disks: Disk[] = [{ path: paths.disk, format: "qcow2" }, {
    path: paths.rawDisk,
    format: "raw",
  }];
  for (const disk of disks) {
    const info = await Deno.lstat(disk.path).catch(() => null);
    if (info?.isFile) return await virtualSize(disk);
  }
  return null;
}

/** Makes sure of the base, and that nobody takes it away from under us. */
async function claimBase(
  instance: Instance,
  base: { id: string; disk: string },
  log: (line: string) => void,
): Promise<void> {
  let lock: FileLock | null = null;
  try {
    lock = await lockBases();
    await requireBase(base.id, base.disk);
    await noteUser(base.id, instance);
  } catch (error) {
    if (error instanceof VibeError) throw error;
    // A cache that we cannot write to cannot be pruned by us, either.
    log(`cannot note that this VM needs its base: ${reason(error)}`);
    await requireBase(base.id, base.disk);
  } finally {
    lock?.[Symbol.dispose]();
  }
}

/** Where a guest could write to .vibe, a link in the disk's place would show it another host file. */
async function requireRegularFile(path: string): Promise<void> {
  const info = await Deno.lstat(path).catch(() => null);
  if (info?.isFile && info.nlink === 1) return;
  throw new VibeError("INSTANCE_DAMAGED", `Cannot use the VM's disk "${path}": it is no file`, {
    hint: `Your project is untouched. Remove "${dirname(path)}" to begin with a fresh VM.`,
  });
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
