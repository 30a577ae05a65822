/** A VM's own disk: a qcow2 overlay on a base's disk, made in constant time. */

import { dirname, resolve } from "node:path";
import type { Disk } from "../driver/driver.ts";
import { VibeError } from "../errors.ts";
import { run } from "../process.ts";
import { basesDir } from "./base.ts";

/**
 * Makes sure that the disk an overlay stands on is there.
 *
 * @throws {VibeError} `BASE_MISSING`.
 */
export async function requireBase(id: string, disk: string): Promise<void> {
  if (await Deno.stat(disk).then((info) => info.isFile, () => false)) return;
  throw missingBase(id);
}

/** The error for a VM whose base is not there any more. */
export function missingBase(id: string): VibeError {
  return new VibeError("BASE_MISSING", `Cannot start the VM: its base image "${id}" is gone`, {
    hint: `It was looked for in "${basesDir()}". ` +
      "The VM's disk holds only what changed since, and means nothing without it.\n" +
      "Building an image again does not bring it back. Delete .vibe/ to begin with a fresh VM.",
  });
}

/**
 * Makes a new overlay at `overlay` on the raw disk `base`; whatever was there is replaced.
 *
 * @throws {VibeError} `DISK_FULL`, `OVERLAY_FAILED`.
 */
export async function createOverlay(base: string, overlay: string): Promise<void> {
  // Absolute: a path that begins with a slash is no option, and a colon in it no protocol.
  const aside = `${resolve(overlay)}.${Deno.pid}.partial`;
  const argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", resolve(base), aside];
  try {
    const { success, stderr } = await run(argv);
    if (!success) throw overlayError(overlay, stderr.trim());
    using file = await Deno.open(aside, { read: true });
    await file.sync();
    await Deno.rename(aside, overlay);
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    if (error instanceof Deno.errors.NotFound) throw overlayError(overlay, error.message);
    throw error;
  }
}

/**
 * Copies the raw disk `base` to `disk`, sharing its blocks where the file system can: in constant
 * time on APFS, btrfs and XFS. Whatever was there is replaced.
 *
 * @throws {VibeError} `DISK_FULL`, `OVERLAY_FAILED`.
 */
export async function cloneDisk(base: string, disk: string): Promise<void> {
  const aside = `${resolve(disk)}.${Deno.pid}.partial`;
  try {
    // On macOS Deno copies with clonefile(2); on Linux it would fill the holes.
    if (Deno.build.os === "darwin") await Deno.copyFile(base, aside);
    else {
      const argv = ["cp", "--sparse=always", "--reflink=auto", "--", resolve(base), aside];
      const { success, stderr } = await run(argv);
      if (!success) throw overlayError(disk, stderr.trim());
    }
    await Deno.chmod(aside, 0o600);
    await Deno.rename(aside, disk);
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    throw error;
  }
}

/** Where a qcow2 header says how large the disk is: a 64-bit number, highest byte first. */
const QCOW2_SIZE_AT = 24;
const QCOW2_MAGIC = "QFI\xfb";

/**
 * The size of a disk as a guest sees it, in bytes.
 *
 * @throws {VibeError} `INSTANCE_DAMAGED` if it is no such disk.
 */
export async function virtualSize({ path, format }: Disk): Promise<number> {
  if (format === "raw") return (await Deno.stat(path)).size;
  using file = await Deno.open(path);
  const header = new Uint8Array(QCOW2_SIZE_AT + 8);
  const count = await file.read(header);
  const magic = String.fromCharCode(...header.subarray(0, QCOW2_MAGIC.length));
  if (count === header.length && magic === QCOW2_MAGIC) {
    return Number(new DataView(header.buffer).getBigUint64(QCOW2_SIZE_AT));
  }
  throw new VibeError("INSTANCE_DAMAGED", `Cannot use the VM's disk "${path}": it is no qcow2`, {
    hint: `Your project is untouched. Remove "${dirname(path)}" to begin with a fresh VM.`,
  });
}

/**
 * Makes a disk larger; what is added reads as zeros. Whoever is killed on the way leaves a disk of
 * the old size or of the new one.
 *
 * @throws {VibeError} `DISK_FULL`, `OVERLAY_FAILED`.
 */
export async function growDisk({ path, format, backing }: Disk, bytes: number): Promise<void> {
  if (format === "raw") return await Deno.truncate(path, bytes);
  const file = (filename: string) => ({ driver: "file", filename });
  // Nothing is opened because the overlay's own header says so.
  const node = {
    driver: "qcow2",
    file: file(path),
    backing: backing && { driver: "raw", "read-only": true, file: file(backing) },
  };
  const { success, stderr } = await run(
    ["qemu-img", "resize", "-q", `json:${JSON.stringify(node)}`, `${bytes}`],
  );
  if (!success) throw overlayError(path, stderr.trim());
}

function overlayError(overlay: string, said: string): VibeError {
  if (/no space left|quota exceeded/i.test(said)) {
    return new VibeError("DISK_FULL", `Cannot make "${overlay}": the disk is full`, {
      hint: `Make room in "${dirname(overlay)}" and try again.`,
      cause: new Error(said),
    });
  }
  return new VibeError("OVERLAY_FAILED", `Cannot make "${overlay}": ${said}`);
}
