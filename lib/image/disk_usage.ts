/** How much room files take. */

import { join } from "node:path";

/** Bytes that a file or a tree takes on its disk: a hole takes none. 0 for what is not there. */
export async function diskUsage(path: string): Promise<number> {
  const info = await Deno.lstat(path).catch(() => null);
  if (!info) return 0;
  let bytes = (info.blocks ?? 0) * 512;
  if (!info.isDirectory) return bytes;
  try {
    for await (const { name } of Deno.readDir(path)) bytes += await diskUsage(join(path, name));
  } catch {
    // It is being removed, or not ours to look into.
  }
  return bytes;
}
