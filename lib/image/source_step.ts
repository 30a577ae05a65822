/** The first step of an image: the disk that layers are added to. */

import type { Base } from "./base.ts";
import { findImage, unknownImage } from "./catalog.ts";
import { debianMade } from "./debian.ts";
import { makeDebianAnywhere } from "./debian_vm.ts";
import { digestOf } from "./digest.ts";
import { finishBase } from "./finish.ts";
import type { StepOptions } from "./layered.ts";
import { debianRecipe, DISK_BYTES, type Recipe } from "./recipe.ts";
import { type BuildRequest, isOnImage } from "./request.ts";
import { type DiskSource, ensureSourceDisk, parseBase } from "./sources.ts";
import { requireRoom } from "./room.ts";
import { buildsDir, type Workshop } from "./workshop.ts";

/** Whether a value of `--base` is the name of an image that there is. */
export async function isImageName(base: string): Promise<boolean> {
  if (base === "debian" || base === "nocloud" || !/^[a-z0-9][a-z0-9._-]{0,63}$/.test(base)) {
    return false;
  }
  return await findImage(base) !== null;
}

/**
 * What the request begins with: a new first step, or an image that there is.
 *
 * @throws {VibeError} `BASE_INVALID`, and what making it throws.
 */
export async function addSource(
  workshop: Workshop,
  name: string,
  request: BuildRequest,
  options: StepOptions,
): Promise<Base> {
  const { base } = request;
  const what = `the image "${name}"`;
  if (isOnImage(request)) {
    const image = await findImage(base);
    if (!image) throw await unknownImage(base);
    const { info } = image;
    // Its layers are its own.
    const inherited = [...info.inherited ?? [], ...info.layers ?? []];
    return {
      ...image,
      info: { ...info, source: base, inherited, layers: [], unfinished: undefined },
    };
  }
  const source = await parseBase(base);
  if (source.kind !== "debian") return await addDisk(workshop, what, base, source, options);
  const recipe = await debianRecipe(options.contents, request.packages);
  await requireRoom(buildsDir(), recipe.contents.roomBytes);
  options.progress.step(`Building the image "${name}", about a minute`);
  return await addDebian(workshop, what, recipe, options);
}

async function addDisk(
  workshop: Workshop,
  what: string,
  base: string,
  source: DiskSource,
  { progress, signal }: StepOptions,
): Promise<Base> {
  const recipe = await digestOf([["source", new TextEncoder().encode(source.id)]]);
  return await workshop.step(async (dir) => {
    const { disk, digest } = await ensureSourceDisk(source, { dir, progress, signal });
    // Published disks are as small as they can be. The layer base, or the first start, fills it.
    if ((await Deno.stat(disk)).size < DISK_BYTES) await Deno.truncate(disk, DISK_BYTES);
    await finishBase(dir, what, {
      source: base,
      sourceDigest: digest ?? undefined,
      recipe,
      architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
    });
  });
}

async function addDebian(
  workshop: Workshop,
  what: string,
  recipe: Recipe,
  options: StepOptions,
): Promise<Base> {
  return await workshop.step(async (dir) => {
    await makeDebianAnywhere(dir, recipe, options.log, options);
    await finishBase(dir, what, debianMade(recipe));
  });
}
