/**
 * Reading a tar archive that holds one disk, and nothing else. Debian makes its own with
 * `tar --create --sparse`: GNU's format, in which only the parts that are no holes are stored. No
 * library on npm reads that. Layouts are those of "Basic Tar Format" in GNU tar's manual.
 */

import { printable, VibeError } from "../errors.ts";
import type { ByteSource } from "./byte_source.ts";

/** All of an archive is in blocks of this size. */
const BLOCK = 512;

/** What a header may ask us to keep in memory: long names, pax records. */
const MAX_META_BYTES = 64 << 10;

/** Debian's disk has about 200 parts. */
const MAX_PARTS = 1 << 18;

/** tar fills its last record with zeros: 10 KiB by default, 1 MiB with large records. */
const MAX_PADDING = 1 << 20;

/** Bytes that are stored, and where in the disk they belong. */
export interface Part {
  offset: number;
  length: number;
}

/** The disk in an archive. */
export interface TarDisk {
  name: string;
  /** Size of the disk in bytes. */
  size: number;
  /** What follows in the archive, in order; everything else is a hole. */
  parts: Part[];
}

/** True if the block is a tar header: its checksum holds. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.length < BLOCK || block[0] === 0) return false;
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i];
  return Number.parseInt(text(block.subarray(148, 156)), 8) === sum;
}

/**
 * Reads up to the content of the one regular file in the archive; the caller then reads its parts.
 *
 * @throws {VibeError} `ARCHIVE_REFUSED` for what must not be in there.
 */
export async function readTarDisk(source: ByteSource): Promise<TarDisk> {
  let meta: { name?: string; size?: number } = {};
  for (;;) {
    const header = await source.upTo(BLOCK);
    if (!isTarHeader(header)) throw refused("it is damaged or holds no disk");
    const size = octal(header, 124, 12);
    const type = String.fromCharCode(header[156] || 0x30);
    if (type === "L") {
      meta.name = text(await readMeta(source, size));
      continue;
    }
    if (type === "x") {
      meta = { ...meta, ...paxRecords(await readMeta(source, size)) };
      continue;
    }
    if (type === "g") {
      await readMeta(source, size);
      continue;
    }
    const name = meta.name ?? entryName(header);
    checkName(name);
    if (type === "5" && size === 0) {
      meta = {};
      continue;
    }
    if (type === "S") return { name, ...await readSparse(source, header, meta.size ?? size) };
    if (type !== "0" && type !== "7") {
      throw refused(`"${printable(name)}" in it is no regular file (type "${printable(type)}")`);
    }
    const length = meta.size ?? size;
    return { name, size: length, parts: [{ offset: 0, length }] };
  }
}

/**
 * Reads what follows the file's content, `length` bytes of it: padding, and then zeros to the end.
 *
 * @throws {VibeError} `ARCHIVE_REFUSED` if there is anything more.
 */
export async function readTarEnd(source: ByteSource, length: number): Promise<void> {
  const padding = (BLOCK - length % BLOCK) % BLOCK;
  if ((await source.upTo(padding)).length < padding) throw refused("its end is missing");
  let left = MAX_PADDING;
  for (let bytes; (bytes = await source.some(left)); left -= bytes.length) {
    if (bytes.some((byte) => byte !== 0)) throw refused("it holds more than one disk");
    if (bytes.length === left) throw refused("it goes on after its end");
  }
  if (MAX_PADDING - left < 2 * BLOCK) throw refused("its end is missing");
}

/** Old GNU format: four parts in the header, more in blocks that follow. */
async function readSparse(
  source: ByteSource,
  header: Uint8Array,
  stored: number,
): Promise<{ size: number; parts: Part[] }> {
  const size = octal(header, 483, 12);
  const parts = sparseParts(header, 386, 4);
  for (let more = header[482] !== 0; more;) {
    const block = await source.upTo(BLOCK);
    if (block.length < BLOCK) throw refused("it is cut off");
    parts.push(...sparseParts(block, 0, 21));
    if (parts.length > MAX_PARTS) throw refused("its disk has too many parts");
    more = block[504] !== 0;
  }
  let end = 0;
  let sum = 0;
  for (const { offset, length } of parts) {
    if (offset < end) throw refused("the parts of its disk overlap");
    end = offset + length;
    sum += length;
  }
  if (end > size || sum !== stored) throw refused("the parts of its disk do not add up");
  return { size, parts };
}

function sparseParts(block: Uint8Array, at: number, count: number): Part[] {
  const parts: Part[] = [];
  for (let i = 0; i < count; i++, at += 24) {
    // An empty field ends the list; a part of length 0 only says how long the file is.
    if (block[at] === 0) break;
    const part = { offset: octal(block, at, 12), length: octal(block, at + 12, 12) };
    if (part.length > 0) parts.push(part);
  }
  return parts;
}

async function readMeta(source: ByteSource, size: number): Promise<Uint8Array> {
  if (size > MAX_META_BYTES) throw refused("it has a header of more than 64 KiB");
  const padded = Math.ceil(size / BLOCK) * BLOCK;
  const bytes = await source.upTo(padded);
  if (bytes.length < padded) throw refused("it is cut off");
  return bytes.subarray(0, size);
}

/** `LENGTH KEY=VALUE\n`, the length being that of the whole record. */
function paxRecords(bytes: Uint8Array): { name?: string; size?: number } {
  const found: { name?: string; size?: number } = {};
  for (let at = 0; at < bytes.length;) {
    const length = Number.parseInt(text(bytes.subarray(at, at + 12)), 10);
    if (!(length > 0) || at + length > bytes.length) throw refused("a header of it is damaged");
    const record = text(bytes.subarray(at, at + length)).replace(/^\d+ |\n$/g, "");
    const [key, value] = [record.slice(0, record.indexOf("=")), record.replace(/^[^=]*=/, "")];
    if (key === "path") found.name = value;
    if (key === "size") found.size = checkedNumber(Number(value));
    if (key.startsWith("GNU.sparse.")) {
      throw refused("its disk is stored as sparse in the pax format, and only GNU's is known");
    }
    at += length;
  }
  return found;
}

function entryName(header: Uint8Array): string {
  const name = text(header.subarray(0, 100));
  const isUstar = text(header.subarray(257, 263)) === "ustar" && header[263] === 0x30;
  const prefix = isUstar ? text(header.subarray(345, 500)) : "";
  return prefix ? `${prefix}/${name}` : name;
}

function checkName(name: string): void {
  if (name === "" || name.startsWith("/") || name.split("/").includes("..")) {
    throw refused(`"${printable(name)}" in it leads out of it`);
  }
}

/** Text up to the first NUL. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** A number in octal, or, with the first bit set, in binary with the highest byte first. */
function octal(block: Uint8Array, at: number, length: number): number {
  const field = block.subarray(at, at + length);
  if (field[0] & 0x80) {
    let value = field[0] & 0x7f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    return checkedNumber(value);
  }
  const digits = text(field).trim();
  if (digits !== "" && !/^[0-7]+$/.test(digits)) throw refused("a number in it is damaged");
  return checkedNumber(Number.parseInt(digits || "0", 8));
}

function checkedNumber(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw refused("a number in it makes no sense");
}

function refused(why: string): VibeError {
  return new VibeError("ARCHIVE_REFUSED", `Cannot use the archive: ${why}`, {
    hint: "It must hold one disk, as a regular file, and nothing else.",
  });
}
