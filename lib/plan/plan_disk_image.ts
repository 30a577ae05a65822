/** How a disk image that the user names is booted, and how its guest is reached. */

import type { Boot, EfiFirmware } from "../driver/driver.ts";
import { findEfiFirmware } from "../host/efi.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { baseOfDisk } from "../image/base_of_disk.ts";
import { type DiskContent, readDiskContent } from "../image/disk_content.ts";
import { requireDisk } from "../image/disk_format.ts";
import { virtualSize } from "../image/clone.ts";
import { type Instance, instancePaths } from "../paths.ts";
import type { VmOptions } from "./options.ts";
import type { Means } from "./means.ts";
import type { VmOutline } from "./plan.ts";

/** The part of a {@link VmOutline} that is about what is booted. */
export type PlannedSource = Pick<
  VmOutline,
  "image" | "base" | "diskImage" | "diskBytes" | "reset" | "boot" | "login"
>;

/**
 * What a disk image is booted by: a copy of one of vibe's own images by that image's kernel, with
 * our agent; any other by its own boot loader, and then its console is all that there is.
 *
 * @throws {VibeError} `DISK_*`, or what the means throw.
 */
export async function planDiskImage(
  instance: Instance,
  options: VmOptions,
  means: Means,
): Promise<PlannedSource> {
  refuseOptions(options);
  await means.host(["run"]);
  const path = instance.title;
  const format = await requireDisk(path, path);
  const content = await readDiskContent(path, format);
  const diskImage = { path, format };
  const rest = { image: null, base: null, diskImage, reset: null };
  const diskBytes = await virtualSize(diskImage);
  if (content.kind === "ext4") {
    const base = await baseOfDisk(content.uuid);
    if (!base) throw noKernel(path);
    // Or `vibe prune` would take its kernel away.
    await means.claim(base, instance);
    const files = await means.boot(base);
    return {
      ...rest,
      diskBytes,
      login: "agent",
      boot: files && { kind: "kernel", ...files },
    };
  }
  const boot = await firmware(path, content, instancePaths(instance).efiVariables, means);
  return { ...rest, diskBytes, login: "console", boot };
}

/** A disk image is used as it is. @throws {VibeError} `DISK_OPTION`. */
function refuseOptions({ image, disk, reset, rm }: VmOptions): void {
  const given = Object.entries({ "--image": image, "--disk": disk, "--reset": reset, "--rm": rm })
    .find(([, value]) => value !== undefined);
  if (!given) return;
  throw new VibeError("DISK_OPTION", `Cannot use ${given[0]} together with a disk image`, {
    exitCode: ExitCode.usage,
    hint: "A disk image is used as it is. The option is for VMs that have a disk of their own.",
  });
}

async function firmware(
  path: string,
  content: DiskContent,
  variables: string,
  means: Means,
): Promise<Boot> {
  if (content.kind !== "partitions" || !(content.bios || content.efi)) {
    throw new VibeError(
      "DISK_NO_LOADER",
      `Cannot boot "${printable(path)}": no boot loader is on it`,
      {
        hint:
          "A disk needs a partition table and a boot loader for BIOS or UEFI, or must be a copy of " +
          "an image of vibe's.",
      },
    );
  }
  const pc = Deno.build.os === "linux" && Deno.build.arch === "x86_64";
  if (pc && content.bios) return { kind: "bios" };
  return { kind: "efi", variables, firmware: await efiFirmware(path, means) };
}

/** Null on macOS, whose framework brings its own. */
async function efiFirmware(path: string, means: Means): Promise<EfiFirmware | null> {
  if (Deno.build.os !== "linux") return null;
  await means.host(["efi"]);
  const found = await findEfiFirmware(Deno.build.arch);
  if (found) return found;
  throw new VibeError("EFI_MISSING", `Cannot boot "${printable(path)}": it needs UEFI firmware`, {
    hint: "Install the package ovmf (x86) or qemu-efi-aarch64 (arm64).",
  });
}

function noKernel(path: string): VibeError {
  return new VibeError(
    "DISK_NO_LOADER",
    `Cannot boot "${printable(path)}": no boot loader is on it, and it is no copy of an image here`,
    {
      hint:
        "It is an ext4 file system on a whole disk. vibe boots those of its own images, by kernel.",
    },
  );
}
