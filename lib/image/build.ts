/** The base of a name, built where it may be; and the lock that everyone holds who changes one. */

import { dirname } from "node:path";
import type { PrepareOptions } from "../host/prepare.ts";
import { FileLock } from "../lock.ts";
import type { Base } from "./base.ts";
import { catalogPath, DEFAULT_IMAGE, findImage, unknownImage } from "./catalog.ts";
import { interrupted } from "./interrupted.ts";
import type { Contents } from "./recipe.ts";
import { fileSystemError } from "./room.ts";

/** How an image is built. */
export interface BuildOptions extends PrepareOptions {
  /** A Debian mirror, `http://host/debian`; `VIBE_MIRROR` or Debian's own unless given. */
  mirror?: string;
  /** What to install instead of the usual. */
  contents?: Contents;
}

/**
 * The base that a name means. {@link DEFAULT_IMAGE} is built if it is not there, without layers.
 *
 * @throws {VibeError} `IMAGE_UNKNOWN`; else see `buildImage`.
 */
export async function ensureImage(name: string, options: BuildOptions): Promise<Base> {
  const found = await findImage(name);
  if (found) return found;
  if (name !== DEFAULT_IMAGE) throw await unknownImage(name);
  return await withImageLock(name, options, async () => {
    // Whoever held the lock before us may have built it.
    const meanwhile = await findImage(name);
    if (meanwhile) return meanwhile;
    // Loaded only now: most starts of vibe need none of it.
    const { buildPlainImage } = await import("./layered.ts");
    return await buildPlainImage(name, options);
  });
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
