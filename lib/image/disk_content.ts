/** How a disk could be booted, by what is on it. Its format was checked before. */

/** What is on a disk. */
export type DiskContent =
  /** An ext4 file system on the whole disk, as on vibe's images; `uuid` in hex. */
  | { kind: "ext4"; uuid: string }
  /** Partitions, and what BIOS and UEFI need. */
  | { kind: "partitions"; bios: boolean; efi: boolean }
  | { kind: "unknown" };

/** Bytes of a disk that are looked at: boot sector, partition table, ext4's superblock. */
const HEAD = 4096;
const SUPERBLOCK = 1024;
/** Types of partitions: an EFI system partition, and what stands for a GPT. */
const EFI_TYPES = [0xef, 0xee];

/** The content of a disk image. */
export async function readDiskContent(
  path: string,
  format: "raw" | "qcow2",
): Promise<DiskContent> {
  using file = await Deno.open(path);
  const start = format === "raw" ? 0 : await qcow2Start(file);
  return start === null ? { kind: "unknown" } : diskContent(await readAt(file, start, HEAD));
}

/** What the first bytes of a disk say. */
export function diskContent(head: Uint8Array): DiskContent {
  if (head.byteLength < HEAD) return { kind: "unknown" };
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const types = [0, 1, 2, 3].map((entry) => head[446 + 16 * entry + 4]);
  if (view.getUint16(510, true) === 0xaa55 && types.some((type) => type !== 0)) {
    const bios = head.subarray(0, 440).some((byte) => byte !== 0);
    return { kind: "partitions", bios, efi: types.some((type) => EFI_TYPES.includes(type)) };
  }
  if (view.getUint16(SUPERBLOCK + 0x38, true) !== 0xef53) return { kind: "unknown" };
  return { kind: "ext4", uuid: head.subarray(SUPERBLOCK + 0x68, SUPERBLOCK + 0x78).toHex() };
}

/**
 * Where in a qcow2 file its disk begins (docs/interop/qcow2.txt of QEMU: the first entry of the first
 * table is the place of the second table, the first entry there that of the first cluster), or null
 * if that is nowhere or compressed.
 */
async function qcow2Start(file: Deno.FsFile): Promise<number | null> {
  const PLACE = 0x00ff_ffff_ffff_fe00n;
  const COMPRESSED = 1n << 62n;
  const ZERO = 1n;
  const table = await readU64(file, 40);
  const second = table && await readU64(file, Number(table & PLACE));
  const cluster = second && await readU64(file, Number(second & PLACE));
  if (!cluster || cluster & (COMPRESSED | ZERO) || !(cluster & PLACE)) return null;
  return Number(cluster & PLACE);
}

async function readU64(file: Deno.FsFile, offset: number): Promise<bigint> {
  const sane = offset > 0 && offset <= Number.MAX_SAFE_INTEGER;
  const bytes = sane ? await readAt(file, offset, 8) : new Uint8Array();
  return bytes.byteLength < 8 ? 0n : new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
}

async function readAt(file: Deno.FsFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  let filled = 0;
  for (let count; filled < length && (count = await file.read(bytes.subarray(filled)));) {
    filled += count;
  }
  return bytes.subarray(0, filled);
}
