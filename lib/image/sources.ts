/** What images are made from: the value of `--base`, and the disk that it means. */

import { basename, join, resolve } from "node:path";
import { printable } from "../errors.ts";
import type { Progress } from "../progress.ts";
import { digestOf } from "./digest.ts";
import { invalidBase, isUrl, parseDiskUrl } from "./disk_url.ts";
import type { Patience } from "./download.ts";
import type { Wanted } from "./downloads.ts";
import { interrupted } from "./interrupted.ts";
import { NOCLOUD } from "./nocloud.ts";
import { fileSystemError } from "./room.ts";

/** A disk that is downloaded and has a known digest. */
export interface DownloadSource extends Wanted {
  kind: "download";
  /** Names what it is, and fits into the names of bases: `nocloud-20260112-2355-6ab9be9e`. */
  id: string;
}

/** A disk in a file of the user's. */
export interface FileSource {
  kind: "file";
  /** Another one as soon as the file changes: `file-disk-1f2e3d4c`. */
  id: string;
  /** Absolute. */
  path: string;
}

/** A source of which there is a disk, to be had with {@link ensureSourceDisk}. */
export type DiskSource = DownloadSource | FileSource;

/** What `--base` can mean. `debian` has no disk: it is built from packages. */
export type BaseSource = { kind: "debian" } | DiskSource;

/** How {@link ensureSourceDisk} goes about it. */
export interface SourceOptions {
  /** Where `disk.raw` is made; the directory is there and the caller's. */
  dir: string;
  progress: Progress;
  signal?: AbortSignal;
  patience?: Partial<Patience>;
}

/** A disk that is verified, and the caller's to change and to sync. */
export interface SourceDisk {
  /** `disk.raw` in the directory, sparse. */
  disk: string;
  /** Size of the disk that a guest sees. */
  bytes: number;
  /** Of what was downloaded, `sha512:6ab9…`; null for a file of the user's. */
  digest: string | null;
  /** Where it came from: a URL or an absolute path. */
  origin: string;
}

/**
 * What a value of `--base` means.
 *
 * @param pin where `nocloud` leads if not to vibe's own disk: the setting of that name.
 * @throws {VibeError} `BASE_INVALID` if it means nothing.
 */
export async function parseBase(
  text: string,
  pin: () => Promise<string | undefined> = configuredPin,
): Promise<BaseSource> {
  if (text === "debian") return { kind: "debian" };
  if (text === "nocloud") return nocloud(await pin());
  if (isUrl(text)) return downloadSource("url", parseDiskUrl(text));
  return await fileSource(resolve(text));
}

/** The setting that holds in the current directory. */
async function configuredPin(): Promise<string | undefined> {
  // Loaded only now: few builds ask for it.
  const { loadHere } = await import("../config/load.ts");
  return (await loadHere({})).values.nocloud;
}

function nocloud(newer: string | undefined): DownloadSource {
  const pin = NOCLOUD[Deno.build.arch === "aarch64" ? "arm64" : "amd64"];
  return downloadSource("nocloud", newer ? parseDiskUrl(newer) : pin);
}

function downloadSource(name: string, wanted: Wanted): DownloadSource {
  return { kind: "download", id: `${name}-${wanted.digest.hex.slice(0, 8)}`, ...wanted };
}

async function fileSource(path: string): Promise<FileSource> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch {
    throw invalidBase(`there is no file "${printable(path)}"`);
  }
  if (!info.isFile) throw invalidBase(`"${printable(path)}" is no regular file`);
  const identity = JSON.stringify([path, info.dev, info.ino, info.size, info.mtime]);
  const digest = await digestOf([["file", new TextEncoder().encode(identity)]]);
  const name = basename(path).toLowerCase().replace(/\..*$/, "").replace(/[^a-z0-9]+/g, "-");
  return { kind: "file", id: `file-${name.slice(0, 30) || "disk"}-${digest.slice(0, 8)}`, path };
}

/**
 * Makes the disk of a source, as `disk.raw` in a directory. Downloads are kept in the cache, and
 * verified again each time.
 *
 * @throws {VibeError} `DOWNLOAD_FAILED`, `DOWNLOAD_WRONG_DIGEST`, `ARCHIVE_REFUSED`,
 * `ARCHIVE_DAMAGED`, `DISK_REFUSED`, `IMAGE_NO_SPACE`, `CACHE_READ_ONLY`, `INTERRUPTED`. There may
 * be an unfinished `disk.raw` then.
 */
export async function ensureSourceDisk(
  source: DiskSource,
  options: SourceOptions,
): Promise<SourceDisk> {
  // Loaded only now: most starts of vibe need none of it.
  const { downloadDisk, importDisk } = await import("./source_disk.ts");
  const disk = join(options.dir, "disk.raw");
  try {
    if (source.kind === "file") {
      await importDisk(source.path, disk, options);
      const { size } = await Deno.stat(disk);
      return { disk, bytes: size, digest: null, origin: source.path };
    }
    await downloadDisk(source, disk, options);
    const { size } = await Deno.stat(disk);
    const { algorithm, hex } = source.digest;
    return { disk, bytes: size, digest: `${algorithm}:${hex}`, origin: source.url };
  } catch (error) {
    options.progress.done();
    if (options.signal?.aborted) throw interrupted();
    throw fileSystemError(error, options.dir) ?? error;
  }
}
