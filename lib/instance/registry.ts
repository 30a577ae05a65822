/**
 * The VMs that this user has made: a cache for commands that are about all of them. One file each;
 * one that is lost comes back when its VM is started again.
 */

import { join } from "node:path";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import {
  dataDir,
  diskInstance,
  type Instance,
  instancePaths,
  namedInstance,
  projectInstance,
  workInstance,
} from "../paths.ts";

const registryDir = () => join(dataDir(), "registry");

/** Notes that a VM exists. */
export async function register(instance: Instance): Promise<void> {
  await Deno.mkdir(registryDir(), { recursive: true, mode: 0o700 });
  const path = join(registryDir(), `${instance.id}.json`);
  await writeFileWhole(path, JSON.stringify(instance) + "\n");
}

/** Forgets a VM, whether it was known or not. */
export async function unregister({ id }: Pick<Instance, "id">): Promise<void> {
  await Deno.remove(join(registryDir(), `${id}.json`)).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/**
 * The VMs that still exist, sorted by title. Entries of those that were deleted are removed on the
 * way, and so are files that are not what was written. One whose project is out of reach, on a disk
 * that is not mounted, is left out but not forgotten.
 */
export async function knownInstances(): Promise<Instance[]> {
  const found: Instance[] = [];
  for (const name of await names()) {
    const path = join(registryDir(), name);
    const instance = parseInstance(await readTextIfPresent(path), name);
    const genuine = instance && await isGenuine(instance);
    if (genuine && await exists(instance)) found.push(instance);
    else if (!genuine || !await outOfReach(instance)) await Deno.remove(path).catch(() => {});
  }
  return found.sort((a, b) => a.title < b.title ? -1 : 1);
}

async function names(): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name } of Deno.readDir(registryDir())) {
      if (name.endsWith(".json")) found.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}

async function exists(instance: Instance): Promise<boolean> {
  // A disk that is used in place is the VM itself.
  const record = instance.kind === "disk" ? instance.title : instancePaths(instance).record;
  return await Deno.lstat(record).then((info) => info.isFile, () => false);
}

async function outOfReach({ kind, title }: Instance): Promise<boolean> {
  return kind === "project" && await Deno.lstat(title).then(() => false, () => true);
}

/** `vibe rm` removes `dir`: it must be what follows from the title, not what a file says. */
async function isGenuine({ kind, title, id, dir }: Instance): Promise<boolean> {
  const genuine = await {
    project: projectInstance,
    named: namedInstance,
    disk: diskInstance,
    work: workInstance,
  }[kind](title);
  return genuine.id === id && genuine.dir === dir;
}

/** An instance as it was written to the file of that name; null if it is not that. */
export function parseInstance(text: string | null, name: string): Instance | null {
  try {
    const { kind, title, id, dir } = JSON.parse(text ?? "");
    const texts = [title, id, dir].every((value) => typeof value === "string");
    if (!texts || !["project", "named", "disk", "work"].includes(kind) || name !== `${id}.json`) {
      return null;
    }
    return { kind, title, id, dir };
  } catch {
    return null;
  }
}
