/**
 * What an image was asked to be: source and layers. It is kept while the image is built, for
 * `--resume`, and beside the image's name, for `vibe image reset`.
 */

import { isAbsolute } from "node:path";
import * as v from "valibot";
import { readTextIfPresent } from "../files.ts";
import { catalogPath } from "./catalog.ts";
import { isUrl } from "./disk_url.ts";
import { AGENTS, type Layer, type LayerChoice, LAYERS, readLayers } from "./layers.ts";

/** What was asked for. */
export interface BuildRequest extends LayerChoice {
  /** A value of `--base`; a path is absolute. */
  base: string;
  /** What was added later to an image that was built on itself, in order. */
  then?: LayerChoice[];
}

/** Debian without any layer: what `default` is unless somebody builds it otherwise. */
export const PLAIN: BuildRequest = {
  base: "debian",
  layers: [],
  agents: [],
  packages: [],
  scripts: [],
};

const CHOICE = {
  layers: v.array(v.picklist(LAYERS)),
  agents: v.array(v.picklist(AGENTS)),
  packages: v.array(v.string()),
  scripts: v.array(v.pipe(v.string(), v.check(isAbsolute))),
};
const REQUEST = v.object({
  base: v.string(),
  ...CHOICE,
  then: v.optional(v.array(v.object(CHOICE))),
});

/** A request that was kept as JSON; null if it is not what was written. */
export function parseRequest(value: unknown): BuildRequest | null {
  const result = v.safeParse(REQUEST, value);
  return result.success ? result.output : null;
}

/** What the image of a name was asked to be; null if that is not known. */
export async function namedRequest(name: string): Promise<BuildRequest | null> {
  const text = await readTextIfPresent(catalogPath(name, "json"));
  try {
    return parseRequest(JSON.parse(text ?? "null")?.request);
  } catch {
    return null;
  }
}

/** All that is to be added to the source, in order. */
export function choicesOf({ base: _, then = [], ...first }: BuildRequest): LayerChoice[] {
  return [first, ...then];
}

/** Whether anything is to be added. */
export function hasLayers(request: BuildRequest): boolean {
  return choicesOf(request).some(({ layers, packages, scripts }) =>
    layers.length + packages.length + scripts.length > 0
  );
}

/** The layers of a request. @throws {VibeError} `SCRIPT_MISSING`. */
export async function requestLayers(request: BuildRequest): Promise<Layer[]> {
  const [first, ...then] = choicesOf(request);
  // Debian's recipe installs packages itself, on the host: under emulation ten times as fast.
  const packages = request.base === "debian" ? [] : first.packages;
  const layers = await Promise.all([{ ...first, packages }, ...then].map(readLayers));
  return layers.flat();
}

/** Whether the base of a request is an image, which may be there or not. */
export function isOnImage({ base }: BuildRequest): boolean {
  return base !== "debian" && base !== "nocloud" && !isUrl(base) && !isAbsolute(base);
}

/**
 * What makes the image of a name again, after a request was done. Of one that was built on itself
 * only its own request tells what that was; undefined if none does.
 *
 * @param finished false: the request's last layers are missing.
 */
export async function requestToKeep(
  name: string,
  request: BuildRequest,
  { finished }: { finished: boolean },
): Promise<BuildRequest | undefined> {
  if (!isOnImage(request) || request.base !== name) return request;
  const before = await namedRequest(name);
  if (!before) return undefined;
  return finished ? { ...before, then: [...before.then ?? [], ...choicesOf(request)] } : before;
}
