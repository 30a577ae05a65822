/** Unpacking a compressed disk while it arrives: xz, in it a tar archive or the bare disk. */

import { reason, VibeError } from "../errors.ts";
import { ByteSource, READ_BYTES } from "./byte_source.ts";
import { MAX_DISK_BYTES } from "./disk_format.ts";
import { SparseFile } from "./sparse_file.ts";
import { isTarHeader, readTarDisk, readTarEnd } from "./tar.ts";
import { startXz, type Xz } from "./xz.ts";

/**
 * Takes an xz file piece by piece and writes the disk in it to a sparse file. A damaged file is
 * told of at the end only: by then its digest is known, which says more. What is refused for what
 * it is (`ARCHIVE_REFUSED`), or finds no room, ends it at once.
 */
export class DiskUnpacker implements AsyncDisposable {
  readonly #xz: Xz;
  /** Settles when the disk is written; its error is kept for {@link finish}. */
  readonly #unpacking: Promise<void>;
  #failure: { error: unknown } | null = null;

  private constructor(xz: Xz, file: SparseFile) {
    this.#xz = xz;
    this.#unpacking = this.#unpack(file).catch((error) => {
      this.#failure = { error };
      xz.kill();
    });
  }

  /** Begins to write the disk to `path`, a new file. */
  static async start(path: string): Promise<DiskUnpacker> {
    const file = await SparseFile.create(path);
    return new DiskUnpacker(await startXz(), file);
  }

  /** Takes the next bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#failure) {
      try {
        await this.#xz.input.ready;
        await this.#xz.input.write(bytes);
        return;
      } catch {
        // The decompressor has ended; why, the unpacking knows.
        await this.#unpacking;
        this.#failure ??= { error: new Error("data follows its end") };
      }
    }
    if (!isDamage(this.#failure.error)) throw this.#failure.error;
  }

  /** There is no more; resolves when the disk is whole. */
  async finish(): Promise<void> {
    await this.#xz.input.close().catch(() => {});
    await this.#unpacking;
    if (!this.#failure) return;
    const { error } = this.#failure;
    throw isDamage(error) ? damaged(error) : error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#xz.kill();
    await this.#xz.input.abort().catch(() => {});
    await this.#unpacking;
  }

  async #unpack(file: SparseFile): Promise<void> {
    using _file = file;
    const source = new ByteSource(this.#xz.output);
    await writeDisk(source, file);
    await this.#xz.verify();
    file.finish();
  }
}

async function writeDisk(source: ByteSource, file: SparseFile): Promise<void> {
  const first = await source.upTo(512);
  source.unread(first);
  if (!isTarHeader(first)) return await copy(source, file, Infinity);
  const { size, parts } = await readTarDisk(source);
  requireSize(size);
  let stored = 0;
  for (const { offset, length } of parts) {
    file.skip(offset - file.length);
    await copy(source, file, length);
    stored += length;
  }
  file.skip(size - file.length);
  await readTarEnd(source, stored);
}

/** Copies `length` bytes, or all there are. */
async function copy(source: ByteSource, file: SparseFile, length: number): Promise<void> {
  const end = file.length + length;
  while (file.length < end) {
    const bytes = await source.some(Math.min(READ_BYTES, end - file.length));
    if (!bytes && length === Infinity) return;
    if (!bytes) throw new Error("it is cut off");
    file.write(bytes);
    requireSize(file.length);
  }
}

function requireSize(bytes: number): void {
  if (bytes <= MAX_DISK_BYTES) return;
  throw new VibeError("ARCHIVE_REFUSED", "Cannot use the archive: its disk is over 2 TiB");
}

/** Neither refused nor a fault of this host, such as a full disk, which has a code. */
function isDamage(error: unknown): boolean {
  return !(error instanceof VibeError) && (error as { code?: string }).code === undefined;
}

function damaged(error: unknown): VibeError {
  const message = `Cannot unpack the archive: ${reason(error)}`;
  return new VibeError("ARCHIVE_DAMAGED", message, { cause: error });
}
