/** VMs whose image was built anew since they were made. */

import { readTextIfPresent, writeFileWhole } from "../files.ts";
import { namedBase } from "../image/catalog.ts";
import { type Instance, instancePaths } from "../paths.ts";

/**
 * Whether a VM's image means another base than the VM's by now, and this has not been asked for the
 * same one before. Never fails: it is a courtesy.
 */
export async function rebuiltSince(
  instance: Instance,
  image: string,
  base: string,
): Promise<boolean> {
  try {
    const now = await namedBase(image);
    const { toldBase } = instancePaths(instance);
    if (now === null || now === base || await readTextIfPresent(toldBase) === now) return false;
    await writeFileWhole(toldBase, now);
    return true;
  } catch {
    return false;
  }
}
