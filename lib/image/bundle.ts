/**
 * An image as one file: a tar archive (ustar), compressed with zstd. In it, in this order:
 *
 * - `vibe-image.json`, a {@link BundleHead}
 * - `files/NAME` or `files/DIR/NAME` for each of its `files`
 * - `disk/OFFSET` for what is not zero of the disk, OFFSET being 16 hex digits
 * - `sha256`, the digest in hex of every byte of the archive before that entry
 *
 * There are regular files only. Whoever reads one takes it for hostile: every name, size and offset
 * is checked before anything is done with it, and nothing may be larger than the head announces.
 */

import { printable, VibeError } from "../errors.ts";
import { type BaseInfo, isPlainName } from "./base.ts";
import type { ByteSource } from "./byte_source.ts";
import { MAX_DISK_BYTES } from "./disk_format.ts";

/** What a bundle says about itself. */
export interface BundleHead {
  format: 1;
  /** What the image was called. */
  name: string;
  image: BaseInfo;
  /** Size of the disk that the guest sees. */
  diskBytes: number;
  /** How much of it follows, at most. */
  dataBytes: number;
  /** Path below the base's directory -> size: all but `disk.raw` and `image.json`. */
  files: Record<string, number>;
}

/** One entry. Its content must be read before the next one is asked for. */
export type BundleEntry =
  | { kind: "file"; path: string; size: number }
  | { kind: "disk"; offset: number; size: number };

/** Bytes of a digest that is under way. */
export interface Hash {
  update(bytes: Uint8Array): unknown;
  /** Ends it. */
  digest(encoding: "hex"): string;
}

/** All of an archive is in blocks of this size. */
const BLOCK = 512;
/** A head lists some hundred packages, 30 bytes each. */
const MAX_HEAD_BYTES = 1 << 20;
/** A kernel has some 50 MB, unpacked. */
const MAX_FILE_BYTES = 1 << 28;
const MAX_FILES = 64;
/** Most bytes of the disk in one entry. */
export const PART_BYTES = 1 << 20;

const HEAD = "vibe-image.json";
const DIGEST = "sha256";

/** The header of an entry, for a content of `size` bytes. */
export function tarHeader(name: string, size: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK);
  const write = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  write(0, name);
  write(100, "0000644\0" + "0000000\0" + "0000000\0");
  write(124, `${size.toString(8).padStart(11, "0")}\0`);
  write(136, "00000000000\0" + " ".repeat(8) + "0");
  write(257, "ustar\x0000");
  write(148, `${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `);
  return header;
}

/** The zeros that fill a content's last block. */
export function tarPadding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(-size & (BLOCK - 1));
}

/** An archive's beginning. */
export function* bundleHead(head: BundleHead): Generator<Uint8Array> {
  const text = new TextEncoder().encode(JSON.stringify(head));
  yield* wholeEntry(HEAD, text);
}

/** Name of the entry for a part of the disk. */
export function diskEntry(offset: number): string {
  return `disk/${offset.toString(16).padStart(16, "0")}`;
}

/** An archive's end: the digest, and two blocks of zeros. */
export function* bundleEnd(hash: Hash): Generator<Uint8Array> {
  yield* wholeEntry(DIGEST, new TextEncoder().encode(`${hash.digest("hex")}\n`));
  yield new Uint8Array(2 * BLOCK);
}

/** An entry whose content is at hand. */
export function* wholeEntry(name: string, content: Uint8Array): Generator<Uint8Array> {
  yield tarHeader(name, content.length);
  yield content;
  yield tarPadding(content.length);
}

/** Reads a bundle. Every error is a {@link VibeError} `BUNDLE_REFUSED`. */
export class BundleReader {
  readonly #source: ByteSource;
  readonly #hash: Hash;
  #head: BundleHead | null = null;
  readonly #filesSeen = new Set<string>();
  /** Up to where the disk is known; parts come in order. */
  #diskEnd = 0;
  #dataSeen = 0;

  constructor(source: ByteSource, hash: Hash) {
    this.#source = source;
    this.#hash = hash;
  }

  /** What comes first. */
  async head(): Promise<BundleHead> {
    const { name, size } = this.#parse(await this.#take(BLOCK));
    if (name !== HEAD || size > MAX_HEAD_BYTES) throw refused("it does not begin as one");
    const text = new TextDecoder().decode(await this.content(size));
    this.#head = checkHead(text);
    return this.#head;
  }

  /** The next entry; null after the last, when the digest was compared, `sha256` being it. */
  async next(): Promise<BundleEntry | { kind: "end"; sha256: string }> {
    const header = await this.#source.upTo(BLOCK);
    const { name, size } = this.#parse(header);
    if (name === DIGEST) return { kind: "end", sha256: await this.#compareDigest(size) };
    this.#hash.update(header);
    if (name.startsWith("files/")) return this.#file(name.slice("files/".length), size);
    if (/^disk\/[0-9a-f]{16}$/.test(name)) return this.#disk(parseInt(name.slice(5), 16), size);
    throw refused(`"${printable(name)}" does not belong in it`);
  }

  /** The content of the entry that was told last, whole. */
  async content(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#take(size);
    await this.#take(-size & (BLOCK - 1));
    return bytes;
  }

  #file(path: string, size: number): BundleEntry {
    const { files } = this.#head!;
    if (!Object.hasOwn(files, path) || files[path] !== size || this.#filesSeen.has(path)) {
      throw refused(`"${printable(path)}" is not as it was announced`);
    }
    this.#filesSeen.add(path);
    return { kind: "file", path, size };
  }

  #disk(offset: number, size: number): BundleEntry {
    const { diskBytes, dataBytes } = this.#head!;
    const inside = offset >= this.#diskEnd && offset + size <= diskBytes && size <= PART_BYTES;
    this.#dataSeen += size;
    if (!inside || this.#dataSeen > dataBytes) throw refused("its disk is not as it was announced");
    this.#diskEnd = offset + size;
    return { kind: "disk", offset, size };
  }

  async #compareDigest(size: number): Promise<string> {
    if (this.#filesSeen.size < Object.keys(this.#head!.files).length) throw refused("files lack");
    const actual = this.#hash.digest("hex");
    const stated = new TextDecoder().decode(await this.#source.upTo(Math.min(size, 65))).trim();
    if (stated === actual) return actual;
    throw refused(`its digest is ${actual}, and it says ${printable(stated, 64)}`);
  }

  #parse(header: Uint8Array): { name: string; size: number } {
    if (header.length < BLOCK) throw refused("its end is missing");
    const text = (at: number, length: number) =>
      new TextDecoder().decode(header.subarray(at, at + length)).replace(/\0.*$/s, "");
    const name = text(0, 100);
    const size = parseInt(text(124, 12), 8);
    // It is as we write it, to the byte: so there are no links, devices or other surprises.
    const own = name.length < 100 && size >= 0 ? tarHeader(name, size) : null;
    if (own?.every((byte, i) => byte === header[i])) return { name, size };
    throw refused(name === "" ? "its end is missing" : `"${printable(name)}" is no regular file`);
  }

  async #take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#source.upTo(length);
    if (bytes.length < length) throw refused("it is cut off");
    this.#hash.update(bytes);
    return bytes;
  }
}

function checkHead(text: string): BundleHead {
  let head: BundleHead;
  try {
    head = JSON.parse(text);
  } catch {
    throw refused("its head is damaged");
  }
  if (head?.format !== 1) throw refused("it is of a version that this vibe does not know");
  const { image, diskBytes, dataBytes, files, name } = head;
  const isSize = (value: unknown, most: number) =>
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
  const sound = typeof name === "string" && isSize(diskBytes, MAX_DISK_BYTES) && diskBytes > 0 &&
    diskBytes % BLOCK === 0 && isSize(dataBytes, diskBytes) &&
    isRecord(files) && Object.keys(files).length <= MAX_FILES &&
    Object.entries(files).every(([path, size]) =>
      isFilePath(path) && isSize(size, MAX_FILE_BYTES)
    ) && isRecord(image) && image.version === 1 && isPlainName(image.kernel) &&
    Object.hasOwn(files, image.kernel);
  if (!sound) throw refused("its head makes no sense");
  return head;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A file of a base, at its top or in a directory there, but none of those we write ourselves. */
export function isFilePath(path: string): boolean {
  const names = path.split("/");
  return names.length <= 2 && names.every(isPlainName) &&
    !["disk.raw", "image.json", "lock"].includes(path);
}

/** The error for a bundle that is not one. */
export function refused(why: string): VibeError {
  return new VibeError("BUNDLE_REFUSED", `Cannot import the image: ${why}`, {
    hint: "It must be a whole file that `vibe image export` made.",
  });
}
