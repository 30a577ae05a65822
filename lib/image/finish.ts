/** A directory with a disk becomes a base: what boots it is put beside it, and what it is told. */

import { join } from "node:path";
import { reason, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { compactTime } from "../host/follow.ts";
import type { Base, BaseInfo } from "./base.ts";
import { readBaseIn } from "./base.ts";
import { readSystem } from "./disk/system.ts";
import { unpackKernel, unpackModule } from "./kernel.ts";

/** What the maker of a base knows of it; its disk says the rest. */
export type Made = Pick<
  BaseInfo,
  "source" | "sourceDigest" | "recipe" | "architecture" | "layers" | "inherited"
>;

/**
 * Puts the kernel, the modules for the initrd and `image.json` beside `disk.raw`, and makes sure that
 * all of it is on the disk. The directory then is a base but for its place. No VM may have the disk
 * open. Takes 0.3 s and what the disk of the host takes.
 *
 * @param what names the disk in messages.
 * @throws {VibeError} `DISK_NO_SYSTEM`, `DISK_UNCLEAN`.
 */
export async function finishBase(dir: string, what: string, made: Made): Promise<Base> {
  const disk = join(dir, "disk.raw");
  // A disk that nobody has run yet may have been unmounted or not.
  const requireClean = (made.layers ?? []).length > 0;
  const system = await readSystem(disk, what, { requireClean });
  const kernel = await writeBootFiles(dir, what, system).catch((error) => {
    if (error instanceof VibeError || error instanceof Deno.errors.NotFound) throw error;
    if (/no space left/i.test(reason(error))) throw error;
    throw new VibeError("DISK_NO_SYSTEM", `Cannot boot the disk of ${what}: ${reason(error)}`, {
      cause: error,
    });
  });
  const created = new Date();
  const info: BaseInfo = {
    version: 1,
    // The time alone does not tell two apart: a clock may be set back.
    id: `${system.title}-${compactTime(created)}-${crypto.randomUUID().slice(0, 8)}`,
    source: made.source,
    sourceDigest: made.sourceDigest,
    suite: system.suite,
    architecture: made.architecture,
    recipe: made.recipe,
    layers: made.layers ?? [],
    inherited: made.inherited,
    created: created.toISOString(),
    kernelRelease: system.kernelRelease,
    kernel,
    root: system.root === "/dev/vda" ? undefined : system.root,
    diskBytes: (await Deno.stat(disk)).size,
    packages: system.packages,
  };
  await writeFileWhole(join(dir, "image.json"), JSON.stringify(info, null, 2) + "\n");
  await syncTree(dir);
  return (await readBaseIn(dir))!;
}

/** Resolves to the name of the file to boot. */
async function writeBootFiles(
  dir: string,
  what: string,
  { kernel, modules }: Awaited<ReturnType<typeof readSystem>>,
): Promise<string> {
  const vmlinux = await unpackKernel(kernel);
  const name = vmlinux ? "vmlinux" : "vmlinuz";
  await Deno.writeFile(join(dir, name), vmlinux ?? kernel);
  await Deno.mkdir(join(dir, "modules"));
  const unpacked = await Promise.all(
    modules.map(({ name, content }) => unpackModule(name, content)),
  );
  for (const { name, content } of unpacked) {
    if (content[0] !== 0x7f || content[1] !== 0x45) {
      throw new VibeError(
        "DISK_NO_SYSTEM",
        `Cannot boot the disk of ${what}: ${name} is no module`,
      );
    }
    await Deno.writeFile(join(dir, "modules", name), content);
  }
  const order = unpacked.map(({ name }) => `${name}\n`).join("");
  await Deno.writeTextFile(join(dir, "modules", "order"), order);
  return name;
}

/** Makes sure that a directory and all that is in it is on the disk. */
export async function syncTree(dir: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory) await syncTree(join(dir, name));
    else await syncPath(join(dir, name));
  }
  await syncPath(dir);
}

/** Makes sure that a file, or the names in a directory, are on the disk. */
export async function syncPath(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true });
  await file.sync();
}
