/** The root file system in a raw disk image: on the whole disk, or on a partition of it. */

import { Ext4, readUpTo } from "./ext4.ts";

/** A root file system, and what the guest calls the device that it is on. */
export interface Root {
  files: Ext4;
  /** `/dev/vda`, `/dev/vda1`. */
  device: string;
}

const SECTOR = 512;
/** More partitions than any image has; a table may claim any number. */
const MAX_PARTITIONS = 128;

/**
 * The first ext4 file system of a disk with a system on it; null if there is none.
 *
 * @throws {Ext4Error} if it is damaged or too new.
 */
export async function findRoot(disk: Deno.FsFile): Promise<Root | null> {
  const whole = await Ext4.open(disk, 0);
  if (whole) return { files: whole, device: "/dev/vda" };
  for (const { number, offset } of await partitions(disk)) {
    const files = await Ext4.open(disk, offset);
    const release = await files?.readText("/etc/os-release", 1 << 16);
    if (files && typeof release === "string") return { files, device: `/dev/vda${number}` };
  }
  return null;
}

interface Partition {
  /** As Linux counts: from 1. */
  number: number;
  /** In bytes. */
  offset: number;
}

/** By the GPT, or else the MBR's four primary partitions. */
async function partitions(disk: Deno.FsFile): Promise<Partition[]> {
  const header = await readUpTo(disk, SECTOR, SECTOR);
  const isGpt = new TextDecoder().decode(header.subarray(0, 8)) === "EFI PART";
  if (!isGpt) return mbr(await readUpTo(disk, 0, SECTOR));
  const view = new DataView(header.buffer);
  const count = Math.min(view.getUint32(80, true), MAX_PARTITIONS);
  const size = view.getUint32(84, true);
  const table = Number(view.getBigUint64(72, true)) * SECTOR;
  if (size < 128 || size > 4096 || !Number.isSafeInteger(table)) return [];
  const entries = await readUpTo(disk, table, count * size);
  const found: Partition[] = [];
  for (let at = 0; at + size <= entries.length; at += size) {
    const entry = entries.subarray(at, at + size);
    const first = new DataView(entry.buffer, entry.byteOffset).getBigUint64(32, true);
    const offset = Number(first) * SECTOR;
    if (entry.subarray(0, 16).every((byte) => byte === 0) || !Number.isSafeInteger(offset)) {
      continue;
    }
    found.push({ number: at / size + 1, offset });
  }
  return found;
}

function mbr(sector: Uint8Array): Partition[] {
  if (sector.length < SECTOR || sector[510] !== 0x55 || sector[511] !== 0xaa) return [];
  const view = new DataView(sector.buffer, sector.byteOffset);
  return [0, 1, 2, 3].map((index) => 446 + index * 16).filter((at) => sector[at + 4] !== 0)
    .map((at) => ({ number: (at - 446) / 16 + 1, offset: view.getUint32(at + 8, true) * SECTOR }));
}
