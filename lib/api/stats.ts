/** A VM seen from outside. */

import { checkVmName } from "../instance/open.ts";
import { observe } from "../instance/observe.ts";
import {
  diskInstance,
  type Instance,
  instancePaths,
  namedInstance,
  projectInstance,
} from "../paths.ts";
import { checkTarget, type VmTarget } from "./options.ts";

/** What there is of a VM, and what it takes. */
export interface VmStats {
  /** Whether it has been made. */
  exists: boolean;
  /** Whether it runs; null while it is being started or stopped, or if it does not answer. */
  running: boolean | null;
  /** When it was started; null if it does not run. */
  since: Date | null;
  /** The image that it was made from; null for a disk image, or if it does not exist. */
  image: string | null;
  /** When it was made, or reset. */
  created: Date | null;
  /** When its disk was last written to. */
  modified: Date | null;
  /** What its own disk takes on this host, in bytes. */
  diskBytes: number;
  /** Virtual CPUs; null if it does not run. */
  cpus: number | null;
  /** Memory in MiB; null if it does not run. */
  ram: number | null;
}

/** The VM that is meant, whether it exists or not; nothing is made. @throws {VibeError} */
export async function findVm(target: VmTarget): Promise<Instance> {
  checkTarget(target);
  const { project, name, disk } = target;
  if (disk !== undefined) return await diskInstance(await Deno.realPath(disk));
  if (project !== undefined) return await projectInstance(await Deno.realPath(project));
  checkVmName(name!);
  return await namedInstance(name!);
}

/** Looks at a VM; starts nothing. */
export async function vmStats(instance: Instance): Promise<VmStats> {
  const { state, status, image, created, diskBytes } = await observe(instance);
  const paths = instancePaths(instance);
  const own = instance.kind === "disk";
  const disks = own ? [instance.title] : [paths.disk, paths.rawDisk];
  const infos = await Promise.all(disks.map((path) => Deno.lstat(path).catch(() => null)));
  const info = infos.find((found) => found !== null);
  return {
    exists: own ? info !== undefined : created !== null,
    running: status ? true : state === "stopped" ? false : null,
    since: status && new Date(status.since),
    image,
    created: created === null ? null : new Date(created),
    modified: info?.mtime ?? null,
    diskBytes: own ? (info?.blocks ?? 0) * 512 : diskBytes,
    cpus: status?.vm.cpus ?? null,
    ram: status?.vm.memoryMiB ?? null,
  };
}
