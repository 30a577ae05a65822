/** Which VM a command is about: the one of the current directory, or the one it names. */

import { ExitCode, printable, VibeError } from "../errors.ts";
import { isThere } from "../files.ts";
import { checkVmName, findDisk, openDisk, openNamed, openProject } from "../instance/open.ts";
import { knownInstances } from "../instance/registry.ts";
import { type Instance, namedInstance, projectInstance } from "../paths.ts";

/** What says which VM is meant. */
export interface Target {
  name?: string;
  /** Path of a disk image. */
  diskImage?: string;
}

/** The VM to start, its state directory made. @throws {VibeError} if that cannot be. */
export async function openTarget({ name, diskImage }: Target): Promise<Instance> {
  if (diskImage !== undefined) {
    refuseBoth(name);
    return await openDisk(diskImage);
  }
  return name === undefined ? await openProject(Deno.cwd()) : await openNamed(name);
}

/** The VM that {@link openTarget} would start; makes nothing. */
export async function locateTarget(target: Target): Promise<Instance> {
  if (target.diskImage === undefined) return await findTarget(target);
  refuseBoth(target.name);
  return await findDisk(target.diskImage);
}

function refuseBoth(name: string | undefined): void {
  if (name === undefined) return;
  throw new VibeError("TARGET_MANY", "Cannot use --name together with a disk image", {
    exitCode: ExitCode.usage,
    hint: "A disk image is a VM of its own.",
  });
}

/** The VM that may be there. @throws {VibeError} `VM_NAME`. */
export async function findTarget({ name }: Target): Promise<Instance> {
  if (name === undefined) return await projectInstance(await Deno.realPath("."));
  checkVmName(name);
  return await namedInstance(name);
}

/** A name or id that `vibe ls` shows, or a directory. @throws {VibeError} `VM_NONE`. */
export async function namedTarget(word: string): Promise<Instance> {
  const known = await knownInstances();
  const path = await Deno.realPath(word).catch(() => null);
  const match = known.find(({ title, id }) => title === word || title === path || id === word);
  if (match) return match;
  const here = path === null ? null : await projectInstance(path);
  if (here && isThere(here.dir)) return here;
  throw new VibeError("VM_NONE", `There is no VM of "${printable(word)}"`, {
    hint: "`vibe ls` lists those there are.",
  });
}
