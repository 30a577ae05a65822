/** Which base a disk was copied from: a copy has the file system's UUID of the original. */

import { type Base, basesDir, readBase } from "./base.ts";
import { readDiskContent } from "./disk_content.ts";

/** The base whose file system has this UUID, in hex, or null if it is not here. */
export async function baseOfDisk(uuid: string): Promise<Base | null> {
  try {
    for await (const { name, isDirectory } of Deno.readDir(basesDir())) {
      const base = isDirectory ? await readBase(name).catch(() => null) : null;
      if (!base) continue;
      const content = await readDiskContent(base.disk, "raw").catch(() => null);
      if (content?.kind === "ext4" && content.uuid === uuid) return base;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return null;
}
