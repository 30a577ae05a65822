/**
 * What a disk is, by its content: names prove nothing. And nothing in it is believed before it was
 * looked at: a qcow2 file can name any file of the host as its backing or data file, which QEMU
 * would read (`qemu-img info` opens data files, too: CVE-2024-4467).
 */

import { printable, VibeError } from "../errors.ts";

/** No disk is larger: 2 TiB. What expands to more is a bomb. */
export const MAX_DISK_BYTES = 2 ** 41;

/** Formats that we tell apart. Everything without a signature of its own counts as raw. */
const SIGNATURES: [format: string, at: number, bytes: number[]][] = [
  ["xz", 0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["qcow2", 0, [0x51, 0x46, 0x49, 0xfb]],
  ["gzip", 0, [0x1f, 0x8b]],
  ["zstd", 0, [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", 0, [0x42, 0x5a, 0x68]],
  ["zip", 0, [0x50, 0x4b, 0x03, 0x04]],
  ["vmdk", 0, [0x4b, 0x44, 0x4d, 0x56]],
  ["vhdx", 0, [0x76, 0x68, 0x64, 0x78]],
  ["tar", 257, [0x75, 0x73, 0x74, 0x61, 0x72]],
];

/** What a disk without one of these could not be booted from. */
const CONTENTS: [what: string, at: number, bytes: number[]][] = [
  ["partition table", 510, [0x55, 0xaa]],
  ["ext4", 1080, [0x53, 0xef]],
  ["xfs", 0, [0x58, 0x46, 0x53, 0x42]],
  ["btrfs", 0x10040, [0x5f, 0x42, 0x48, 0x52, 0x66, 0x53, 0x5f, 0x4d]],
];

/** The format of a file that begins with these bytes: `raw` unless they say otherwise. */
export function sniffFormat(first: Uint8Array): string {
  return SIGNATURES.find((signature) => matches(first, signature))?.[0] ?? "raw";
}

/**
 * Makes sure that a file is a raw disk, or a qcow2 that stands for itself.
 *
 * @param title how messages call it; "the disk" unless given.
 * @throws {VibeError} `DISK_REFUSED`.
 */
export async function requireDisk(path: string, title?: string): Promise<"raw" | "qcow2"> {
  try {
    return await checkDisk(path);
  } catch (error) {
    throw error instanceof Refusal ? refused(error.message, title) : error;
  }
}

/** Why a file is no disk. */
class Refusal extends Error {}

async function checkDisk(path: string): Promise<"raw" | "qcow2"> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const first = new Uint8Array(0x10048);
  let length = 0;
  for (let count; (count = await file.read(first.subarray(length)));) length += count;
  const format = sniffFormat(first.subarray(0, length));
  if (format === "qcow2") {
    checkQcow2(new DataView(first.buffer, 0, length));
    return "qcow2";
  }
  if (format !== "raw") throw new Refusal(`it is a ${format} file; unpack it or convert it first`);
  if (size > MAX_DISK_BYTES) throw new Refusal("it is over 2 TiB");
  if (size === 0 || size % 512 !== 0 || !CONTENTS.some((content) => matches(first, content))) {
    throw new Refusal("it holds neither a partition table nor a file system");
  }
  return "raw";
}

/** Layout: docs/interop/qcow2.txt of QEMU. */
function checkQcow2(header: DataView): void {
  if (header.byteLength < 104) throw new Refusal("it is cut off");
  const version = header.getUint32(4);
  if (version !== 2 && version !== 3) {
    throw new Refusal(`it is qcow2 of an unknown version ${version}`);
  }
  if (header.getBigUint64(8) !== 0n) {
    throw new Refusal("it stands on another file; make it whole with qemu-img convert");
  }
  // Bit 2: the data are in another file.
  if (version === 3 && header.getBigUint64(72) & 4n) {
    throw new Refusal("its data are in another file");
  }
  if (header.getUint32(32) !== 0) throw new Refusal("it is encrypted");
  if (header.getBigUint64(24) > BigInt(MAX_DISK_BYTES)) throw new Refusal("it is over 2 TiB");
}

function matches(bytes: Uint8Array, [, at, signature]: [string, number, number[]]): boolean {
  return signature.every((byte, i) => bytes[at + i] === byte);
}

function refused(why: string, title?: string): VibeError {
  const what = title === undefined ? "the disk" : `the disk "${printable(title)}"`;
  return new VibeError("DISK_REFUSED", `Cannot use ${what}: ${why}`, {
    hint: "A disk is raw or qcow2; xz and tar.xz are unpacked.",
  });
}
