/** `vibe image resize`: a new base with a larger disk, and the name means that. */

import { join } from "node:path";
import { ExitCode, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { compactTime, LogFile } from "../host/follow.ts";
import { cacheDir } from "../paths.ts";
import { type Base, type BaseInfo, basesDir } from "./base.ts";
import { withImageLock } from "./build.ts";
import { findImage, nameImage, unknownImage } from "./catalog.ts";
import { cloneDisk } from "./clone.ts";
import { diskUsage } from "./disk_usage.ts";
import type { TransferOptions } from "./export.ts";
import { PartialBase } from "./partial.ts";
import { namedRequest } from "./request.ts";
import { fileSystemError, requireRoom } from "./room.ts";

const GIB = 2 ** 30;

/**
 * Lets new VMs of an image have a disk of `gib` GiB. Their file systems fill it at their first
 * start; VMs that are there keep the base and the size they have.
 *
 * @throws {VibeError} `IMAGE_UNKNOWN`, `IMAGE_SHRINK`, `IMAGE_NO_SPACE`.
 */
export async function resizeImage(
  name: string,
  gib: number,
  options: TransferOptions,
): Promise<Base> {
  if (!await findImage(name)) throw await unknownImage(name);
  return await withImageLock(name, options, async () => {
    const base = await findImage(name);
    if (!base) throw await unknownImage(name);
    const { size } = await Deno.stat(base.disk);
    if (gib * GIB <= size) throw shrink(name, size / GIB, gib);
    try {
      options.progress.step(`Making a larger disk for the image "${name}"`);
      const resized = await copyBase(base, gib * GIB);
      await nameImage(name, resized, await namedRequest(name) ?? undefined);
      return resized;
    } catch (error) {
      throw fileSystemError(error, basesDir()) ?? error;
    } finally {
      options.progress.done();
    }
  });
}

/** The host never touches the file system: an image from elsewhere may be made to harm it. */
async function copyBase(base: Base, diskBytes: number): Promise<Base> {
  await requireRoom(basesDir(), await diskUsage(base.dir));
  using log = await LogFile.create(join(cacheDir(), "logs"), "resize");
  const now = new Date();
  const id = `resize-${compactTime(now)}-${crypto.randomUUID().slice(0, 8)}`;
  await using partial = await PartialBase.create(id, log);
  await copyFiles(base.dir, partial.dir);
  const disk = join(partial.dir, "disk.raw");
  await cloneDisk(base.disk, disk);
  await Deno.truncate(disk, diskBytes);
  const info: BaseInfo = { ...base.info, id, diskBytes };
  await writeFileWhole(join(partial.dir, "image.json"), JSON.stringify(info, null, 2) + "\n");
  return await partial.complete(id);
}

/** All but the disk and what says which base it is. */
async function copyFiles(from: string, to: string): Promise<void> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(from)) {
    if (name === "disk.raw" || name === "image.json") continue;
    if (isFile) await Deno.copyFile(join(from, name), join(to, name));
    if (!isDirectory) continue;
    await Deno.mkdir(join(to, name));
    await copyFiles(join(from, name), join(to, name));
  }
}

function shrink(name: string, present: number, asked: number): VibeError {
  return new VibeError(
    "IMAGE_SHRINK",
    `Cannot make the image "${name}" smaller: its disk has ${+present.toFixed(2)} GiB, ` +
      `and ${asked} was asked for`,
    { hint: "A disk only grows.", exitCode: ExitCode.usage },
  );
}
