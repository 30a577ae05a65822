/** `vibe image export`: an image becomes one file. The format is described in bundle.ts. */

import { basename, dirname, join } from "node:path";
import { ExitCode, printable, reason, VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { run } from "../process.ts";
import type { Progress } from "../progress.ts";
import type { Base } from "./base.ts";
import { withImageLock } from "./build.ts";
import { bundleEnd, bundleHead, diskEntry, isFilePath, PART_BYTES, wholeEntry } from "./bundle.ts";
import { findImage, unknownImage } from "./catalog.ts";
import { diskUsage } from "./disk_usage.ts";
import { gigabytes } from "./room.ts";

/** What an export was. */
export interface Exported {
  /** Of the archive's content; the file itself is that, compressed. */
  sha256: string;
  /** Size of the file. */
  bytes: number;
}

/** How an export or import is watched. */
export interface TransferOptions {
  progress: Progress;
  signal?: AbortSignal;
}

/**
 * Writes an image to a file, which is there when it is whole, or to stdout (`-`).
 *
 * @throws {VibeError} `IMAGE_UNKNOWN`, `EXPORT_FAILED`, `INTERRUPTED`.
 */
export async function exportImage(
  name: string,
  file: string,
  options: TransferOptions,
): Promise<Exported> {
  const base = await findImage(name);
  if (!base) throw await unknownImage(name);
  // While it is held, nobody takes the base away.
  return await withImageLock(name, options, async () => {
    try {
      if (file === "-") return await write(name, base, Deno.stdout, options);
      return await writeAside(file, (to) => write(name, base, to, options));
    } catch (error) {
      if (options.signal?.aborted) throw interrupted("export");
      if (error instanceof VibeError) throw error;
      throw new VibeError(
        "EXPORT_FAILED",
        `Cannot export the image to "${printable(file)}": ${reason(error)}`,
        { cause: error },
      );
    } finally {
      options.progress.done();
    }
  });
}

/** Beside the file, under a name that says so; the next export there writes over what is left. */
async function writeAside<T>(file: string, work: (to: Deno.FsFile) => Promise<T>): Promise<T> {
  if (await Deno.stat(file).then((info) => info.isDirectory, () => false)) {
    throw new VibeError("EXPORT_FAILED", `Cannot export to "${printable(file)}": a directory`, {
      hint: "Name a file in it.",
      exitCode: ExitCode.usage,
    });
  }
  const aside = join(dirname(file), `.${basename(file)}.partial`);
  using lock = await FileLock.tryTake(aside);
  if (!lock) {
    throw new VibeError("EXPORT_FAILED", `Cannot export to "${printable(file)}": another does`);
  }
  try {
    using to = await Deno.open(aside, { write: true, truncate: true });
    const result = await work(to);
    await to.sync();
    await Deno.chmod(aside, 0o644);
    await Deno.rename(aside, file);
    return result;
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    throw error;
  }
}

async function write(
  name: string,
  base: Base,
  to: { write(bytes: Uint8Array): Promise<number> },
  { progress, signal }: TransferOptions,
): Promise<Exported> {
  progress.step(`Exporting the image "${name}"`);
  const { createHash } = await import("node:crypto");
  const { constants, createZstdCompress } = await import("node:zlib");
  const hash = createHash("sha256");
  let sha256 = "";
  const dataBytes = await diskUsage(base.disk);
  async function* archive(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content(name, base, (done) => show(progress, done, dataBytes))) {
      signal?.throwIfAborted();
      hash.update(chunk);
      yield chunk;
    }
    sha256 = hash.copy().digest("hex");
    yield* bundleEnd(hash);
  }
  const { pipeline, Readable } = await import("node:stream");
  const zstd = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  pipeline(Readable.from(archive()), zstd, () => {});
  let bytes = 0;
  for await (const chunk of zstd as AsyncIterable<Uint8Array>) {
    for (let at = 0; at < chunk.length;) at += await to.write(chunk.subarray(at));
    bytes += chunk.length;
  }
  return { sha256, bytes };
}

/** The archive up to its digest. */
async function* content(
  name: string,
  base: Base,
  onData: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  using disk = await Deno.open(base.disk);
  const { size: diskBytes } = await disk.stat();
  const extents = await dataExtents(base.disk, diskBytes);
  const paths = await filesOf(base.dir);
  const sizes = paths.map(async (path) => [path, (await Deno.stat(join(base.dir, path))).size]);
  yield* bundleHead({
    format: 1,
    name,
    image: base.info,
    diskBytes,
    dataBytes: extents.reduce((sum, { length }) => sum + length, 0),
    files: Object.fromEntries(await Promise.all(sizes)),
  });
  for (const path of paths) {
    yield* wholeEntry(`files/${path}`, await Deno.readFile(join(base.dir, path)));
  }
  let done = 0;
  for (const { start, length } of extents) {
    await disk.seek(start, Deno.SeekMode.Start);
    for (let at = start; at < start + length;) {
      const part = await readPart(disk, Math.min(PART_BYTES, start + length - at));
      if (!isZero(part)) yield* wholeEntry(diskEntry(at), part);
      at += part.length;
      onData(done += part.length);
    }
  }
}

async function readPart(disk: Deno.FsFile, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const part = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await disk.read(part.subarray(at));
    if (count === null) throw new Error("the disk is cut off");
    at += count;
  }
  return part;
}

/** Where there is data, as far as the file system tells; qemu-img asks it. */
async function dataExtents(
  path: string,
  size: number,
): Promise<{ start: number; length: number }[]> {
  const argv = ["qemu-img", "map", "--output=json", "-f", "raw", path];
  const mapped = await run(argv).catch(() => null);
  if (!mapped?.success) return [{ start: 0, length: size }];
  const extents: { start: number; length: number; data: boolean }[] = JSON.parse(mapped.stdout);
  return extents.filter(({ data }) => data)
    .map(({ start, length }) => ({ start, length: Math.min(length, size - start) }));
}

async function filesOf(dir: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (!isDirectory) found.push(name);
    else {for await (const inner of Deno.readDir(join(dir, name))) {
        found.push(`${name}/${inner.name}`);
      }}
  }
  return found.filter(isFilePath).sort();
}

function isZero(bytes: Uint8Array): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  return words.every((word) => word === 0) &&
    bytes.subarray(words.length * 4).every((b) => b === 0);
}

function show(progress: Progress, done: number, all: number): void {
  progress.detail(`${gigabytes(Math.min(done, all))} of ${gigabytes(all)}`);
}

/** The error for Ctrl-C. */
export function interrupted(what: "export" | "import"): VibeError {
  return new VibeError("INTERRUPTED", `Cannot finish the ${what}: interrupted`, {
    exitCode: ExitCode.interrupted,
  });
}
