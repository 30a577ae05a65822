/** Looking at VMs from outside, without starting, keeping or waiting for any. */

import { readTextIfPresent } from "../files.ts";
import { diskUsage } from "../image/disk_usage.ts";
import { type Instance, instancePaths, runtimeDir } from "../paths.ts";
import type { VmStatus } from "./control.ts";
import { isLocked } from "./holder.ts";
import { connect } from "./link.ts";
import { readRecord } from "./record.ts";
import { knownInstances } from "./registry.ts";

/** A supervisor answers in milliseconds; one that takes longer is stopped, or gone wrong. */
const ANSWER_MS = 3000;

/** What a look at a VM found. */
export interface Observed {
  instance: Instance;
  /**
   * Beside what a supervisor says of itself:
   * - `stopped`: nothing runs
   * - `changing`: it is being started or stopped at the moment
   * - `silent`: its supervisor is there, but does not answer
   * - `other-version`: it runs under another build of vibe
   */
  state: VmStatus["state"] | "stopped" | "changing" | "silent" | "other-version";
  /** If the supervisor answered. */
  status: VmStatus | null;
  /** The image it was made from; null if that cannot be read. */
  image: string | null;
  /** ISO 8601. */
  created: string | null;
  /** What its own disk takes on the host's. */
  diskBytes: number;
}

/** Looks at one VM. Resolves within seconds, and never rejects. */
export async function observe(instance: Instance): Promise<Observed> {
  const paths = instancePaths(instance);
  const [running, record, ...disks] = await Promise.all([
    ask(instance),
    readRecord(paths).catch(() => null),
    ...[paths.disk, paths.rawDisk].map(diskUsage),
  ]);
  return {
    instance,
    ...running,
    image: record?.image ?? null,
    created: record?.created ?? null,
    diskBytes: disks.reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** Looks at every VM that is known or runs, all at once. `here` is among them if it exists. */
export async function observeAll(here: Instance): Promise<Observed[]> {
  const known = await knownInstances();
  // A registry that was lost forgets VMs; those that run can still be asked who they are.
  const ids = new Set([...known, here].map(({ id }) => id));
  const strays = (await runningIds()).filter((id) => !ids.has(id)).map(whoIs);
  const isKnown = known.some(({ id }) => id === here.id);
  const own = !isKnown && await isMade(here) ? [here] : [];
  const found = (await Promise.all(strays)).filter((instance) => instance !== null);
  return await Promise.all([...known, ...own, ...found].map(observe));
}

async function ask(instance: Instance): Promise<Pick<Observed, "state" | "status">> {
  using link = await connect(instance, { onEvent() {} });
  if (!link) {
    const { lock } = instancePaths(instance);
    return { state: await isLocked(lock) ? "changing" : "stopped", status: null };
  }
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), ANSWER_MS);
  try {
    const status = await Promise.race([link.request("status", {}), late.promise]);
    return status ? { state: status.state, status } : { state: "silent", status };
  } catch (error) {
    const other = (error as { code?: string }).code === "VM_OTHER_VERSION";
    return { state: other ? "other-version" : "changing", status: null };
  } finally {
    clearTimeout(timer);
  }
}

/** The VM behind a runtime directory, if it answers and belongs in a list. */
async function whoIs(id: string): Promise<Instance | null> {
  const { status } = await ask({ kind: "project", title: id, id, dir: `/nonexistent/${id}` });
  const instance = status?.vm.instance;
  return instance?.id === id && instance.kind !== "work" ? instance : null;
}

async function runningIds(): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name } of Deno.readDir(runtimeDir())) {
      if (/^[0-9a-f]{12}$/.test(name)) found.push(name);
    }
  } catch {
    // No VM has run yet.
  }
  return found;
}

async function isMade(instance: Instance): Promise<boolean> {
  return await readTextIfPresent(instancePaths(instance).record).catch(() => null) !== null;
}
