/** Which VM a command is about: the one of the current directory, or the one it names. */

import { checkVmName, openNamed, openProject } from "../instance/open.ts";
import { type Instance, namedInstance, projectInstance } from "../paths.ts";

/** What says which VM is meant. */
export interface Target {
  name?: string;
}

/** The VM to start, its state directory made. @throws {VibeError} if that cannot be. */
export async function openTarget({ name }: Target): Promise<Instance> {
  return name === undefined ? await openProject(Deno.cwd()) : await openNamed(name);
}

/** The VM that may be there. @throws {VibeError} `VM_NAME`. */
export async function findTarget({ name }: Target): Promise<Instance> {
  if (name === undefined) return await projectInstance(await Deno.realPath("."));
  checkVmName(name);
  return await namedInstance(name);
}
