/** Image names: each is a small file that names the base it means at the moment. */

import { join } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import { cacheDir } from "../paths.ts";
import { type Base, readBase } from "./base.ts";

/** The image of a project that names none; it is built when it is missing. */
export const DEFAULT_IMAGE = "default";

/** A file of the catalog: `images/<name>.json` or `images/<name>.lock`. */
export function catalogPath(name: string, kind: "json" | "lock"): string {
  return join(cacheDir(), "images", `${name}.${kind}`);
}

/** @throws {VibeError} `IMAGE_NAME` for what cannot be a name, and so no path either. */
export function checkImageName(name: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) return;
  throw new VibeError("IMAGE_NAME", `Cannot use "${printable(name)}" as the name of an image`, {
    hint: "Names are lower-case letters, digits, dots, dashes and underscores.",
    exitCode: ExitCode.usage,
  });
}

/** The base that a name means, or null if nothing has that name or its base is gone. */
export async function findImage(name: string): Promise<Base | null> {
  checkImageName(name);
  const text = await readTextIfPresent(catalogPath(name, "json"));
  return text === null ? null : await readBase(JSON.parse(text).base);
}

/** Lets a name mean another base, from one moment to the next. */
export async function nameImage(name: string, base: Base): Promise<void> {
  checkImageName(name);
  await writeFileWhole(catalogPath(name, "json"), JSON.stringify({ base: base.id }) + "\n");
}

/** All names, sorted, whether their bases are there or not. */
export async function imageNames(): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(join(cacheDir(), "images"))) {
      if (name.endsWith(".json")) names.push(name.slice(0, -".json".length));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

/** The error for a name that means nothing. */
export async function unknownImage(name: string): Promise<VibeError> {
  const names = [...new Set([DEFAULT_IMAGE, ...await imageNames()])].filter((n) => n !== name);
  return new VibeError("IMAGE_UNKNOWN", `There is no image "${name}"`, {
    hint: `There is: ${names.join(", ")}`,
  });
}
