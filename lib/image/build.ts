/** Building Debian base images: one at a time for each name, and whole or not at all. */

import { dirname, join } from "node:path";
import { reason, VibeError } from "../errors.ts";
import { LogFile } from "../host/follow.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { FileLock } from "../lock.ts";
import { cacheDir } from "../paths.ts";
import { type Base, basesDir } from "./base.ts";
import {
  catalogPath,
  checkImageName,
  DEFAULT_IMAGE,
  findImage,
  nameImage,
  unknownImage,
} from "./catalog.ts";
import { debianMade, makeDebianDisk } from "./debian.ts";
import { finishBase } from "./finish.ts";
import { interrupted } from "./interrupted.ts";
import { PartialBase } from "./partial.ts";
import { type Contents, debianRecipe } from "./recipe.ts";
import { fileSystemError, noSpace, requireRoom } from "./room.ts";

/** How an image is built. */
export interface BuildOptions extends PrepareOptions {
  /** A Debian mirror, `http://host/debian`; `VIBE_MIRROR` or Debian's own unless given. */
  mirror?: string;
  /** What to install instead of the usual. */
  contents?: Contents;
}

/**
 * The base that a name means. {@link DEFAULT_IMAGE} is built if it is not there.
 *
 * @throws {VibeError} `IMAGE_UNKNOWN`; else see {@link buildDebianBase}.
 */
export async function ensureImage(name: string, options: BuildOptions): Promise<Base> {
  const found = await findImage(name);
  if (found) return found;
  if (name !== DEFAULT_IMAGE) throw await unknownImage(name);
  return await withImageLock(name, options, async () => {
    // Whoever held the lock before us may have built it.
    return await findImage(name) ?? await build(name, options);
  });
}

/**
 * Builds a new base from Debian's packages and lets `name` mean it. VMs stay on the base they were
 * made from.
 *
 * @throws {VibeError} `IMAGE_NO_SPACE`, `IMAGE_DOWNLOAD_FAILED`, `IMAGE_BUILD_FAILED`,
 * `INTERRUPTED`, or what {@link prepareHost} throws. Nothing is left behind but a log.
 */
export async function buildDebianBase(name: string, options: BuildOptions): Promise<Base> {
  checkImageName(name);
  return await withImageLock(name, options, () => build(name, options));
}

/** Does some work on the image of a name, one process at a time. */
export async function withImageLock<T>(
  name: string,
  { progress, signal }: Pick<BuildOptions, "progress" | "signal">,
  work: () => Promise<T>,
): Promise<T> {
  const path = catalogPath(name, "lock");
  let lock: FileLock | null;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    lock = await FileLock.tryTake(path);
  } catch (error) {
    throw fileSystemError(error, dirname(path)) ?? error;
  }
  if (!lock) {
    progress.step(`Waiting for another vibe, which builds the image "${name}"`);
    lock = await FileLock.takeUnlessAborted(path, signal).catch((error) => {
      throw signal?.aborted ? interrupted() : error;
    });
    progress.done();
  }
  using _lock = lock;
  return await work();
}

async function build(name: string, options: BuildOptions): Promise<Base> {
  const started = performance.now();
  // The agent's compiler, too, so that the user is asked once.
  await prepareHost(["image", "agent"], options);
  const recipe = await debianRecipe(options.contents);
  await Deno.mkdir(basesDir(), { recursive: true });
  await requireRoom(basesDir(), recipe.contents.roomBytes);
  using log = await LogFile.create(join(cacheDir(), "logs"), "build");
  options.progress.step(`Building the image "${name}", about a minute`);
  await using partial = await PartialBase.create(recipe.digest.slice(0, 8), log);
  let base: Base;
  try {
    await makeDebianDisk(partial.dir, recipe, log, options);
    base = await finishBase(partial.dir, `the image "${name}"`, debianMade(recipe));
    if (options.signal?.aborted) throw interrupted();
    base = await partial.complete(base.id);
  } catch (error) {
    options.progress.done();
    if (error instanceof VibeError) throw error;
    if (/no space left|ENOSPC/i.test(reason(error))) {
      throw noSpace(basesDir(), recipe.contents.roomBytes, log.path);
    }
    throw error;
  }
  await nameImage(name, base);
  const seconds = Math.round((performance.now() - started) / 1000);
  options.progress.done(`Built the image "${name}" in ${seconds} s`);
  return base;
}
