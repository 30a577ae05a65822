/** Free disk space. */

import { VibeError } from "../errors.ts";

const REMEDY = "Make room, or let VIBE_CACHE name a directory on another disk.";

/**
 * Makes sure that there is room for `bytes` more in a directory.
 *
 * @throws {VibeError} `IMAGE_NO_SPACE` with what is there and what is needed.
 */
export async function requireRoom(dir: string, bytes: number): Promise<void> {
  const { statfs } = await import("node:fs/promises");
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new VibeError(
    "IMAGE_NO_SPACE",
    `Cannot build the image: "${dir}" has ${gigabytes(free)} free, and it takes ${
      gigabytes(bytes)
    }`,
    { hint: REMEDY },
  );
}

/** The error for a disk that became full on the way. */
export function noSpace(dir: string, bytes: number, log: string): VibeError {
  return new VibeError("IMAGE_NO_SPACE", `Cannot build the image: no space is left in "${dir}"`, {
    hint: `It takes about ${gigabytes(bytes)}. ${REMEDY}\nThe whole output is in "${log}".`,
  });
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
