/**
 * Base images: directories in the cache that never change once they have their name. Re-making one
 * under a VM's overlay would corrupt the overlay, so a new build is a new base.
 */

import { join } from "node:path";
import { VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";
import { FileLock } from "../lock.ts";
import { cacheDir } from "../paths.ts";

/** `image.json` in a base's directory. */
export interface BaseInfo {
  version: 1;
  id: string;
  /** What it was made from: `debian`, an image's name, a path or a URL. */
  source: string;
  /** Of what was downloaded, `sha512:6ab9…`. */
  sourceDigest?: string;
  /** The distribution's code name for the release, such as `trixie`, or its name. */
  suite: string;
  /** Debian's name for the processor: `amd64`, `arm64`. */
  architecture: string;
  /** SHA-256 of all that was done to make it, in hex: the recipe and the layers. */
  recipe: string;
  /** What was done to it in a VM, in order; absent in bases that came before there were layers. */
  layers?: LayerRecord[];
  /** Layers of the image that it was made from. */
  inherited?: LayerRecord[];
  /** The layer that failed: those after it, and itself, are missing. */
  unfinished?: string;
  /** ISO 8601. */
  created: string;
  kernelRelease: string;
  /** The file that hypervisors boot, in the base's directory. */
  kernel: string;
  /** The device of the root file system, where it is not the whole disk. */
  root?: string;
  /** Size of the disk that the guest sees; most of it is a hole. */
  diskBytes: number;
  /** When it was imported, and the digest of the file that it came in. */
  imported?: { sha256: string; at: string };
  /** Name -> version. */
  packages: Record<string, string>;
}

/** A layer that succeeded. */
export interface LayerRecord {
  name: string;
  /** SHA-256 of its script and what that was given, in hex. */
  digest: string;
  seconds: number;
  /** What it says it installed, name -> version; only for layers that say so. */
  installed: Record<string, string>;
  /** What it could do without, name -> why it is missing. */
  missing: Record<string, string>;
}

/** A base that is there. */
export interface Base {
  id: string;
  dir: string;
  /** Raw. Never written to. */
  disk: string;
  kernel: string;
  info: BaseInfo;
}

/** Where bases are. */
export function basesDir(): string {
  return join(cacheDir(), "bases");
}

/** Whether a text can be a base's id, which becomes part of paths. */
export function isBaseId(text: unknown): text is string {
  return typeof text === "string" && /^[a-z0-9][a-z0-9.-]{0,100}$/i.test(text);
}

/** Whether a text can be the name of a file in a base's directory. */
export function isPlainName(text: unknown): text is string {
  return typeof text === "string" && /^[a-z0-9][a-z0-9._+-]{0,127}$/i.test(text);
}

/**
 * A base by its id, or null if it is not there.
 *
 * @throws {VibeError} `IMAGE_DAMAGED` if its `image.json` is not what was written.
 */
export async function readBase(id: string): Promise<Base | null> {
  return isBaseId(id) ? await readBaseIn(join(basesDir(), id), id) : null;
}

/**
 * The base in a directory, wherever that is.
 *
 * @param id what it must be; its own if left out.
 * @throws {VibeError} as {@link readBase}.
 */
export async function readBaseIn(dir: string, id?: string): Promise<Base | null> {
  const text = await readTextIfPresent(join(dir, "image.json"));
  if (text === null) return null;
  const info = parseInfo(text, id);
  if (!info) throw damaged(join(dir, "image.json"));
  return { id: info.id, dir, disk: join(dir, "disk.raw"), kernel: join(dir, info.kernel), info };
}

function parseInfo(text: string, id: string | undefined): BaseInfo | null {
  try {
    const info = JSON.parse(text);
    const known = info.version === 1 && isBaseId(info.id) && isPlainName(info.kernel);
    return known && info.id === (id ?? info.id) && isRoot(info.root) ? info : null;
  } catch {
    return null;
  }
}

/** It becomes a word of the kernel's command line. */
function isRoot(root: unknown): boolean {
  return root === undefined || (typeof root === "string" && /^\/dev\/vda\d{0,3}$/.test(root));
}

/** The error for a file about images that is not what was written. */
export function damaged(path: string): VibeError {
  return new VibeError("IMAGE_DAMAGED", `Cannot use the image: "${path}" is damaged`, {
    hint: "`vibe image reset NAME` builds an image anew from what it was built from.",
  });
}

/** The ids of all bases that are complete, sorted. */
export async function baseIds(): Promise<string[]> {
  const ids: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(basesDir())) {
      const complete = isDirectory && isBaseId(name) && !name.endsWith(".partial");
      if (complete) ids.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return ids.sort();
}

/** Held, for moments, while a base comes into use or is taken away. */
export async function lockBases(): Promise<FileLock> {
  await Deno.mkdir(basesDir(), { recursive: true });
  return await FileLock.take(join(basesDir(), "use.lock"));
}
