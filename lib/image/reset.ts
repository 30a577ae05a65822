/** `vibe image reset`: an image is built anew from what it was built from, as that is now. */

import { isAbsolute } from "node:path";
import { printable, VibeError } from "../errors.ts";
import { checkImageName, DEFAULT_IMAGE, findImage, imageNames, unknownImage } from "./catalog.ts";
import { unlessDamaged } from "./inventory.ts";
import { buildImage, type BuiltImage, type ImageOptions } from "./layered.ts";
import { type BuildRequest, choicesOf, isOnImage, namedRequest, PLAIN } from "./request.ts";

/**
 * Builds the image of a name anew. The name means what it meant until that is done, and VMs stay on
 * what they were made from.
 *
 * @throws {VibeError} `IMAGE_RESET` if it cannot be made again; else as {@link buildImage}.
 */
export async function resetImage(name: string, options: ImageOptions): Promise<BuiltImage> {
  const request = await requestOf(name);
  // Now, while nothing of an unfinished build has been given up.
  await requireParts(name, request);
  return await buildImage(name, request, false, options);
}

async function requestOf(name: string): Promise<BuildRequest> {
  checkImageName(name);
  if (name !== DEFAULT_IMAGE && !(await imageNames()).includes(name)) {
    throw await unknownImage(name);
  }
  const request = await namedRequest(name);
  if (request) return request;
  const image = await unlessDamaged(findImage(name));
  if (image && image !== "damaged") {
    const { source, imported, layers = [] } = image.info;
    if (imported) throw impossible(name, "it was imported");
    if (source !== "debian" || layers.length > 0) throw impossible(name, UNKNOWN);
  }
  if (name === DEFAULT_IMAGE) return PLAIN;
  throw impossible(name, UNKNOWN);
}

const UNKNOWN = "what it was made from is not known";

async function requireParts(name: string, request: BuildRequest): Promise<void> {
  const { base } = request;
  if (isOnImage(request) && !await findImage(base)) {
    throw impossible(name, `the image "${printable(base)}", on which it was built, is gone`);
  }
  const scripts = choicesOf(request).flatMap(({ scripts }) => scripts);
  for (const path of isAbsolute(base) ? [base, ...scripts] : scripts) {
    const there = await Deno.stat(path).then(({ isFile }) => isFile, () => false);
    if (!there) throw impossible(name, `"${printable(path)}", which it was made from, is gone`);
  }
}

function impossible(name: string, why: string): VibeError {
  return new VibeError("IMAGE_RESET", `Cannot build the image "${name}" anew: ${why}`, {
    hint: `It stays as it is. \`vibe image build ${name} …\` lets the name mean another one.`,
  });
}
