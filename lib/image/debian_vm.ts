/**
 * The recipe run in a VM of any Debian image: on a Mac, and on Linux where mmdebstrap is missing or
 * namespaces are forbidden.
 */

import { join } from "node:path";
import { readAsset } from "../assets.ts";
import { ExitCode, VibeError } from "../errors.ts";
import type { LogFile } from "../host/follow.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { removeTree } from "../host/root_namespace.ts";
import type { Base } from "./base.ts";
import { BuildVm } from "./build_vm.ts";
import { DEFAULT_IMAGE, findImage, imageNames } from "./catalog.ts";
import { buildError, type DebianOptions, makeDebianDisk } from "./debian.ts";
import { type HostSettings, lend } from "./host_settings.ts";
import { buildArguments, DISK_BYTES, mirrorSources, type Recipe, writeRecipe } from "./recipe.ts";

/** Where a disk is made: on this host if it can, on this host, or in a VM. */
export type Builder = "auto" | "host" | "vm";

/** How a disk is made where it may be in a VM. */
export interface BuilderOptions extends DebianOptions {
  builder: Builder;
  settings: () => Promise<HostSettings>;
  timeoutMs: number;
  /** Makes an image to boot where there is none. */
  firstImage?: () => Promise<Base>;
  note(text: string): void;
}

/**
 * Makes `disk.raw` in `dir` by a recipe, on this host or in a VM.
 *
 * @throws {VibeError} `BUILDER_NONE`, and what {@link makeDebianDisk} and VMs throw.
 */
export async function makeDebianAnywhere(
  dir: string,
  recipe: Recipe,
  log: LogFile,
  options: BuilderOptions,
): Promise<void> {
  const base = await chooseBuilder(options);
  if (base) await makeInVm(dir, base, recipe, log, options);
  else await makeDebianDisk(dir, recipe, log, options);
}

/** The base to boot; null for this host. @throws {VibeError} as {@link makeDebianAnywhere}. */
export async function chooseBuilder(
  options: Pick<BuilderOptions, "builder" | "firstImage" | "note" | keyof PrepareOptions>,
): Promise<Base | null> {
  const { builder } = options;
  if (builder === "vm" || Deno.build.os !== "linux") return await anyImage(options.firstImage);
  try {
    // The agent's compiler, too, so that the user is asked once.
    await prepareHost(["image", "agent"], options);
    return null;
  } catch (error) {
    const missing = error instanceof VibeError && error.code === "HOST_TOOLS_MISSING";
    const base = missing && builder === "auto" ? await anyImage().catch(() => null) : null;
    if (!base) throw error;
    options.note("This host lacks what builds images, so it is done in a VM, which takes longer.");
    return base;
  }
}

async function anyImage(firstImage?: () => Promise<Base>): Promise<Base> {
  for (const name of new Set([DEFAULT_IMAGE, ...await imageNames()])) {
    const base = await findImage(name).catch(() => null);
    if (base?.info.packages.apt) return base;
  }
  if (firstImage) return await firstImage();
  throw new VibeError("BUILDER_NONE", "Cannot build an image in a VM: there is none to boot", {
    hint: "`vibe image build builder --base nocloud --layers none` gets one.",
    exitCode: ExitCode.failure,
  });
}

async function makeInVm(
  dir: string,
  base: Base,
  recipe: Recipe,
  log: LogFile,
  options: BuilderOptions,
): Promise<void> {
  const [vmDir, source, out] = ["vm", "recipe", "out"].map((name) => join(dir, name));
  await writeRecipe(recipe, source);
  await Deno.mkdir(out);
  const sources = await mirrorSources(options.mirror ?? Deno.env.get("VIBE_MIRROR"));
  {
    options.progress.detail("booting a VM to build in");
    await using vm = await BuildVm.start(vmDir, base, {
      ...options,
      log,
      mounts: [
        { name: "recipe", source, guestPath: "/mnt/recipe", readOnly: true, guards: [] },
        { name: "out", source: out, guestPath: "/mnt/out", readOnly: false, guards: [] },
      ],
    });
    const { failure, output } = await vm.run({
      name: "in_vm.sh",
      content: await readAsset("provision/debian/in_vm.sh"),
      args: buildArguments(recipe, "", sources).slice(1),
      env: { LC_ALL: "C", ...await lend(vm, await options.settings()) },
    });
    if (failure) throw buildError(output.apt, `${output.tail}\n(${failure})`, dir, recipe, log);
  }
  await takeDisk(join(out, "disk.raw"), join(dir, "disk.raw"));
  for (const path of [vmDir, source, out]) await removeTree(path, { log });
}

/** The VM is gone, so what it left no longer changes; but it may be anything. */
async function takeDisk(from: string, to: string): Promise<void> {
  const info = await Deno.lstat(from).catch(() => null);
  if (!info?.isFile || info.nlink !== 1 || info.size !== DISK_BYTES) {
    throw new VibeError("IMAGE_BUILD_FAILED", "Cannot build the image: the VM left no disk");
  }
  await Deno.rename(from, to);
  await Deno.chmod(to, 0o644);
}
