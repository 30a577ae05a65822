/** Image names: each is a small file that names the base it means at the moment. */

import { join } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import { cacheDir } from "../paths.ts";
import { type Base, damaged, isBaseId, lockBases, readBase } from "./base.ts";
import { missingBase } from "./clone.ts";
import type { BuildRequest } from "./request.ts";

/** The image of a project that names none; it is built when it is missing. */
export const DEFAULT_IMAGE = "default";

/** A file of the catalog: `images/<name>.json` or `images/<name>.lock`. */
export function catalogPath(name: string, kind: "json" | "lock"): string {
  return join(cacheDir(), "images", `${name}.${kind}`);
}

function isImageName(name: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,63}$/.test(name);
}

/** @throws {VibeError} `IMAGE_NAME` for what cannot be a name, and so no path either. */
export function checkImageName(name: string): void {
  if (isImageName(name)) return;
  throw new VibeError("IMAGE_NAME", `Cannot use "${printable(name)}" as the name of an image`, {
    hint: "Names are lower-case letters, digits, dots, dashes and underscores.",
    exitCode: ExitCode.usage,
  });
}

/**
 * The id of the base that a name means, whether that is there or not; null if nothing has that
 * name.
 *
 * @throws {VibeError} `IMAGE_NAME`; `IMAGE_DAMAGED` if the name's file is not what was written.
 */
export async function namedBase(name: string): Promise<string | null> {
  checkImageName(name);
  const path = catalogPath(name, "json");
  const text = await readTextIfPresent(path);
  if (text === null) return null;
  try {
    const { base } = JSON.parse(text);
    if (isBaseId(base)) return base;
  } catch {
    // Falls through to the error.
  }
  throw damaged(path);
}

/**
 * The base that a name means, or null if nothing has that name or its base is gone.
 *
 * @throws {VibeError} as {@link namedBase} and {@link readBase}.
 */
export async function findImage(name: string): Promise<Base | null> {
  const id = await namedBase(name);
  return id === null ? null : await readBase(id);
}

/**
 * Lets a name mean another base, from one moment to the next.
 *
 * @param request what makes such a base again, if that is known.
 * @throws {VibeError} `BASE_MISSING` if that was removed meanwhile.
 */
export async function nameImage(name: string, base: Base, request?: BuildRequest): Promise<void> {
  checkImageName(name);
  await Deno.mkdir(join(cacheDir(), "images"), { recursive: true });
  using _lock = await lockBases();
  if (!await readBase(base.id)) throw missingBase(base.id);
  const text = JSON.stringify({ base: base.id, request });
  await writeFileWhole(catalogPath(name, "json"), text + "\n");
}

/** Takes a name away; what it meant stays. True if there was such a name. */
export async function forgetImage(name: string): Promise<boolean> {
  checkImageName(name);
  try {
    await Deno.remove(catalogPath(name, "json"));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** All names, sorted, whether their bases are there or not. */
export async function imageNames(): Promise<string[]> {
  return (await catalogFiles(".json")).filter(isImageName).sort();
}

/** Files of the catalog that end like that, without the ending. */
export async function catalogFiles(suffix: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(join(cacheDir(), "images"))) {
      if (name.endsWith(suffix)) names.push(name.slice(0, -suffix.length));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names;
}

/** The error for a name that means nothing, or whose base is gone. */
export async function unknownImage(name: string): Promise<VibeError> {
  if ((await imageNames()).includes(name)) {
    return new VibeError("IMAGE_UNKNOWN", `The files of the image "${name}" are gone`, {
      hint: `\`vibe image reset ${name}\` builds it anew.`,
    });
  }
  const names = [...new Set([DEFAULT_IMAGE, ...await imageNames()])].filter((n) => n !== name);
  return new VibeError("IMAGE_UNKNOWN", `There is no image "${name}"`, {
    hint: `There is: ${names.join(", ")}`,
  });
}
