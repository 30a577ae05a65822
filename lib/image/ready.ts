/** All that stands between the name of an image and a VM that boots it. */

import { prepareHost } from "../host/prepare.ts";
import type { Base } from "./base.ts";
import { type BuildOptions, ensureImage } from "./build.ts";
import { DEFAULT_IMAGE, findImage, unknownImage } from "./catalog.ts";
import { type BootFiles, ensureBootFiles } from "./initrd.ts";

/** An image that can be booted. */
export interface ReadyImage extends BootFiles {
  base: Base;
}

/**
 * Installs what the host lacks, builds the default image if there is none, compiles the agent and
 * packs the initrd. About 10 ms when all of that has been done before.
 *
 * @throws {VibeError} what the parts throw.
 */
export async function readyImage(name: string, options: BuildOptions): Promise<ReadyImage> {
  const found = await findImage(name);
  if (!found && name !== DEFAULT_IMAGE) throw await unknownImage(name);
  // So that the user is asked once for everything.
  await prepareHost(found ? ["run"] : ["run", "image", "agent"], options);
  const base = found ?? await ensureImage(name, options);
  return { base, ...await ensureBootFiles(base, options) };
}
