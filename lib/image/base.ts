/**
 * Base images: directories in the cache that never change once they have their name. Re-making one
 * under a VM's overlay would corrupt the overlay, so a new build is a new base.
 */

import { join } from "node:path";
import { readTextIfPresent } from "../files.ts";
import { cacheDir } from "../paths.ts";

/** `image.json` in a base's directory. */
export interface BaseInfo {
  version: 1;
  id: string;
  /** What it was made from. */
  source: "debian";
  /** Debian's code name for the release. */
  suite: string;
  /** Debian's name for the processor: `amd64`, `arm64`. */
  architecture: string;
  /** SHA-256 of the recipe that made it, in hex. */
  recipe: string;
  /** ISO 8601. */
  created: string;
  kernelRelease: string;
  /** The file that hypervisors boot, in the base's directory. */
  kernel: string;
  /** Size of the disk that the guest sees; most of it is a hole. */
  diskBytes: number;
  /** Name -> version. */
  packages: Record<string, string>;
}

/** A base that is there. */
export interface Base {
  id: string;
  dir: string;
  /** ext4 on the whole disk, raw. Never written to. */
  disk: string;
  kernel: string;
  info: BaseInfo;
}

/** Where bases are. */
export function basesDir(): string {
  return join(cacheDir(), "bases");
}

/** A base by its id, or null if it is not there. */
export async function readBase(id: string): Promise<Base | null> {
  const dir = join(basesDir(), id);
  const text = await readTextIfPresent(join(dir, "image.json"));
  if (text === null) return null;
  const info: BaseInfo = JSON.parse(text);
  return { id, dir, disk: join(dir, "disk.raw"), kernel: join(dir, info.kernel), info };
}
