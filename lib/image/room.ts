/** Free disk space. */

import { VibeError } from "../errors.ts";

const REMEDY = "Make room, or let VIBE_CACHE name a directory on another disk.";

/**
 * Makes sure that there is room for `bytes` more in a directory.
 *
 * @throws {VibeError} `IMAGE_NO_SPACE` with what is there and what is needed.
 */
export async function requireRoom(dir: string, bytes: number): Promise<void> {
  const free = await freeBytes(dir);
  if (free >= bytes) return;
  throw new VibeError(
    "IMAGE_NO_SPACE",
    `Cannot build the image: "${dir}" has ${gigabytes(free)} free, and it takes ${
      gigabytes(bytes)
    }`,
    { hint: REMEDY },
  );
}

/** The bytes that an ordinary user may still write in a directory. */
export async function freeBytes(dir: string): Promise<number> {
  const { statfs } = await import("node:fs/promises");
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

/** The error for a disk that became full on the way. */
export function noSpace(dir: string, bytes: number, log: string): VibeError {
  return noSpaceLeft(dir, log, `It takes about ${gigabytes(bytes)}. `);
}

/** The same where nobody knows how much it takes. */
export function noSpaceLeft(dir: string, log: string, howMuch = ""): VibeError {
  return new VibeError("IMAGE_NO_SPACE", `Cannot build the image: no space is left in "${dir}"`, {
    hint: `${howMuch}${REMEDY}\nThe whole output is in "${log}".`,
  });
}

/** What went wrong while files were written to a directory, or null if it is something else. */
export function fileSystemError(error: unknown, dir: string): VibeError | null {
  const { code, message } = error as { code?: string; message?: string };
  if (code === "ENOSPC" || code === "EDQUOT" || /no space left on device/i.test(message ?? "")) {
    return new VibeError("IMAGE_NO_SPACE", `Cannot make the disk: no space is left in "${dir}"`, {
      hint: REMEDY,
      cause: error,
    });
  }
  if (code === "EROFS" || code === "EACCES") {
    return new VibeError("CACHE_READ_ONLY", `Cannot write in "${dir}": ${message}`, {
      hint: "Let VIBE_CACHE name a directory that you can write to.",
      cause: error,
    });
  }
  return null;
}

/** A number of bytes for people: "0.8 GB". */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
