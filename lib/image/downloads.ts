/**
 * The directory of downloads, named by their digest: `NAME` is whole and verified, `NAME.partial`
 * is as much as there is so far (what is known of it is in `NAME.partial.json`), `NAME.rejected`
 * had another digest. Whoever works on one of them holds `NAME.lock`.
 */

import { basename, join } from "node:path";
import { FileLock } from "../lock.ts";
import { cacheDir } from "../paths.ts";
import { DAY, isOlder } from "./age.ts";

/** What a file's content must add up to. */
export interface Digest {
  algorithm: "sha256" | "sha512";
  /** Lower case. */
  hex: string;
}

/** A file to download. */
export interface Wanted {
  /** http or https. */
  url: string;
  /** Its size, or null if only the server knows. */
  bytes: number | null;
  digest: Digest;
}

/** How much of the digest is part of the file's name. */
const DIGEST_CHARACTERS = 16;

/** Where downloads are. */
export function downloadsDir(): string {
  return join(cacheDir(), "downloads");
}

/** Where a file is once it is downloaded and verified. */
export function downloadPath({ url, digest }: Wanted): string {
  const name = basename(new URL(url).pathname).replace(/[^\w.-]/g, "_").slice(-100) || "disk";
  return join(downloadsDir(), `${digest.hex.slice(0, DIGEST_CHARACTERS)}-${name}`);
}

/** The name that the file has where it comes from. */
export function downloadName(wanted: Wanted): string {
  return basename(downloadPath(wanted)).slice(DIGEST_CHARACTERS + 1);
}

/** Removes what nobody went on with for a day, except what belongs to the download at `current`. */
export async function removeStale(current: string): Promise<void> {
  for await (const { name } of Deno.readDir(downloadsDir())) {
    const [, of, kind] = name.match(/^(.*?)\.(partial|rejected)(?:\.|$)/) ?? [];
    if (!of || (of === basename(current) && kind === "partial")) continue;
    const path = join(downloadsDir(), name);
    const mtime = (await Deno.stat(path).catch(() => null))?.mtime;
    if (!mtime || !isOlder(Date.now() - mtime.getTime(), DAY)) continue;
    using free = await FileLock.tryTake(join(downloadsDir(), `${of}.lock`));
    if (free) await Deno.remove(path).catch(() => {});
  }
}
