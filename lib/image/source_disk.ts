/** From a file, downloaded or the user's own, to a raw disk. What it is, its content says. */

import { reason, VibeError } from "../errors.ts";
import { run } from "../process.ts";
import type { Progress } from "../progress.ts";
import { DiskUnpacker } from "./archive.ts";
import { READ_BYTES } from "./byte_source.ts";
import { cloneDisk } from "./clone.ts";
import { requireDisk, sniffFormat } from "./disk_format.ts";
import { download, type Patience } from "./download.ts";
import { downloadPath, type Wanted } from "./downloads.ts";
import type { Sink } from "./intake.ts";

/** How a disk is made. */
export interface DiskOptions {
  progress: Progress;
  signal?: AbortSignal;
  patience?: Partial<Patience>;
}

/** So many bytes tell whether a file is compressed. */
const MAGIC_BYTES = 6;

/** Downloads a disk; if it is compressed, it is unpacked while it comes. */
export async function downloadDisk(
  wanted: Wanted,
  disk: string,
  options: DiskOptions,
): Promise<void> {
  await using sink = await download(wanted, {
    ...options,
    openSink: () => Promise.resolve(new DiskSink(disk)),
  });
  if (!await sink.finish()) await cloneDisk(downloadPath(wanted), disk);
  await settle(disk, options);
}

/** Copies a disk of the user's; if it is compressed, it is unpacked. */
export async function importDisk(path: string, disk: string, options: DiskOptions): Promise<void> {
  const before = await Deno.stat(path);
  options.progress.step(`Reading "${path}"`);
  await using sink = new DiskSink(disk);
  {
    using file = await openOrRefuse(path);
    const buffer = new Uint8Array(READ_BYTES);
    for (let count; (count = await file.read(buffer)) !== null;) {
      options.signal?.throwIfAborted();
      await sink.write(buffer.subarray(0, count));
      if (sink.isPlain) break;
    }
  }
  if (!await sink.finish()) await cloneDisk(path, disk);
  const after = await Deno.stat(path);
  if (after.size !== before.size || after.mtime?.getTime() !== before.mtime?.getTime()) {
    throw new VibeError("DISK_REFUSED", `Cannot use "${path}": it changed while it was read`);
  }
  await settle(disk, options);
}

function openOrRefuse(path: string): Promise<Deno.FsFile> {
  return Deno.open(path).catch((error) => {
    throw new VibeError("DISK_REFUSED", `Cannot read "${path}": ${reason(error)}`);
  });
}

/** Makes a raw disk of a copy that is ours, which nobody can exchange once it is checked. */
async function settle(disk: string, options: DiskOptions): Promise<void> {
  if (await requireDisk(disk) === "qcow2") {
    await convert(disk, options);
    await requireDisk(disk);
  }
  options.progress.done();
}

async function convert(disk: string, { progress, signal }: DiskOptions): Promise<void> {
  progress.step("Converting the disk from qcow2");
  const qcow2 = `${disk}.qcow2`;
  await Deno.rename(disk, qcow2);
  const argv = ["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", qcow2, disk];
  const { success, stderr } = await run(argv, { signal }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new VibeError("DISK_REFUSED", "Cannot convert the disk from qcow2 without qemu-img", {
      hint: "Install it (Debian's qemu-utils, Homebrew's qemu), or take a raw disk.",
    });
  });
  signal?.throwIfAborted();
  if (!success) throw new Error(`Cannot convert the disk from qcow2: ${stderr.trim()}`);
  await Deno.remove(qcow2);
}

/** Unpacks an xz file while it comes; anything else can only be read once all of it is there. */
class DiskSink implements Sink {
  readonly #disk: string;
  /** The first bytes, until there are enough of them. */
  #first: Uint8Array<ArrayBuffer> | null = new Uint8Array();
  #unpacker: DiskUnpacker | null = null;

  constructor(disk: string) {
    this.#disk = disk;
  }

  /** True as soon as it is known that nothing will be unpacked. */
  get isPlain(): boolean {
    return this.#first === null && this.#unpacker === null;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#first) {
      const joined = new Uint8Array(this.#first.length + bytes.length);
      joined.set(this.#first);
      joined.set(bytes, this.#first.length);
      bytes = this.#first = joined;
      if (bytes.length < MAGIC_BYTES) return;
      this.#first = null;
      if (sniffFormat(bytes) === "xz") this.#unpacker = await DiskUnpacker.start(this.#disk);
    }
    await this.#unpacker?.write(bytes);
  }

  /** True if it was unpacked, and so the disk is there. */
  async finish(): Promise<boolean> {
    await this.#unpacker?.finish();
    return this.#unpacker !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unpacker?.[Symbol.asyncDispose]();
  }
}
