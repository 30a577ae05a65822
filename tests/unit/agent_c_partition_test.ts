/** Partitions that grow, in tables as sfdisk makes them, and tables that are left alone. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { crc32 } from "node:zlib";
import { run } from "../../lib/process.ts";
import { compile } from "./agent_c/guest.ts";
import { SANITIZED } from "./agent_c/mutate.ts";

const linux = { ignore: Deno.build.os !== "linux" };
const SECTOR = 512;
/** Sectors; a multiple of 8, as partitions begin. */
const UNIT = 128;

/** Where a partition is: its first sector, and how many. */
type Extent = [start: number, sectors: number];

class Disk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;

  constructor(sectors: number) {
    this.bytes = new Uint8Array(sectors * SECTOR);
    this.view = new DataView(this.bytes.buffer);
    this.view.setUint16(510, 0xaa55, true);
  }

  get sectors(): number {
    return this.bytes.length / SECTOR;
  }

  /** The same content on a larger disk. */
  grown(sectors: number): Disk {
    const disk = new Disk(sectors);
    disk.bytes.set(this.bytes);
    return disk;
  }

  setPc(index: number, type: number, [start, sectors]: Extent): void {
    this.bytes[446 + 16 * index + 4] = type;
    this.view.setUint32(446 + 16 * index + 8, start, true);
    this.view.setUint32(446 + 16 * index + 12, Math.min(sectors, 0xffffffff), true);
  }

  pc(index: number): Extent {
    const at = 446 + 16 * index;
    return [this.view.getUint32(at + 8, true), this.view.getUint32(at + 12, true)];
  }

  setGpt(extents: (Extent | null)[]): void {
    this.setPc(0, 0xee, [1, this.sectors - 1]);
    extents.forEach((extent, i) => {
      if (!extent) return;
      const at = 2 * SECTOR + 128 * i;
      this.bytes.fill(i + 1, at, at + 32);
      this.#setLong(at + 32, extent[0]);
      this.#setLong(at + 40, extent[0] + extent[1] - 1);
    });
    const header = SECTOR;
    this.bytes.set(new TextEncoder().encode("EFI PART"), header);
    this.view.setUint32(header + 8, 0x10000, true);
    this.view.setUint32(header + 12, 92, true);
    this.#setLong(header + 24, 1);
    this.#setLong(header + 32, this.sectors - 1);
    this.#setLong(header + 40, 34);
    this.#setLong(header + 48, this.sectors - 34);
    this.#setLong(header + 72, 2);
    this.view.setUint32(header + 80, 128, true);
    this.view.setUint32(header + 84, 128, true);
    this.view.setUint32(header + 88, this.#entriesCrc(2), true);
    this.view.setUint32(header + 16, this.#headerCrc(1), true);
  }

  /** A GPT whose every checksum holds: its partitions, and where the other copy is. */
  gpt(sector: number) {
    const at = sector * SECTOR;
    const entries = this.#long(at + 72);
    strictEqual(new TextDecoder().decode(this.bytes.subarray(at, at + 8)), "EFI PART");
    strictEqual(this.#long(at + 24), sector);
    strictEqual(this.view.getUint32(at + 88, true), this.#entriesCrc(entries), "entries' CRC");
    strictEqual(this.view.getUint32(at + 16, true), this.#headerCrc(sector), "header's CRC");
    const extents: Extent[] = [];
    for (let i = 0; i < 128; i++) {
      const entry = entries * SECTOR + 128 * i;
      const [first, last] = [this.#long(entry + 32), this.#long(entry + 40)];
      if (first) extents[i] = [first, last - first + 1];
    }
    return { extents, other: this.#long(at + 32), entries, lastUsable: this.#long(at + 48) };
  }

  #setLong(at: number, value: number): void {
    this.view.setBigUint64(at, BigInt(value), true);
  }

  #long(at: number): number {
    return Number(this.view.getBigUint64(at, true));
  }

  #entriesCrc(sector: number): number {
    return crc32(this.bytes.subarray(sector * SECTOR, sector * SECTOR + 128 * 128));
  }

  #headerCrc(sector: number): number {
    const header = this.bytes.slice(sector * SECTOR, sector * SECTOR + 92);
    header.fill(0, 16, 20);
    return crc32(header);
  }
}

async function withProgram(
  test: (grow: (disk: Disk, number: number) => Promise<string>) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    const program = await compile(dir, SANITIZED, "partition.c", "partition.c");
    await test(async (disk, number) => {
      await Deno.writeFile(`${dir}/disk`, disk.bytes);
      const { stdout, stderr, code } = await run([program, `${dir}/disk`, `${number}`]);
      deepStrictEqual([code, stderr], [0, ""]);
      disk.bytes.set(await Deno.readFile(`${dir}/disk`));
      return stdout.trim();
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test(
  "agent: a GPT's last partition grows, and both copies of the table agree",
  linux,
  () =>
    withProgram(async (grow) => {
      const before = new Disk(16 * UNIT);
      // As on Debian's cloud images: the root comes first in the table and last on the disk.
      const extents: Extent[] = [[4 * UNIT, 12 * UNIT - 34]];
      extents[13] = [UNIT, UNIT];
      extents[14] = [2 * UNIT, 2 * UNIT];
      before.setGpt(Array.from({ length: 15 }, (_, i) => extents[i] ?? null));
      strictEqual(await grow(before, 1), "nothing to do");

      const disk = before.grown(40 * UNIT + 5);
      strictEqual(await grow(disk, 14), "nothing to do");
      const [start, sectors] = [4 * UNIT, 36 * UNIT - 32];
      strictEqual(await grow(disk, 1), `${start} ${sectors}`);
      const table = disk.gpt(1);
      deepStrictEqual(table.extents[0], [start, sectors]);
      deepStrictEqual(table.extents[13], [UNIT, UNIT]);
      strictEqual(table.other, disk.sectors - 1);
      ok(start + sectors - 1 <= table.lastUsable);
      const copy = disk.gpt(table.other);
      deepStrictEqual(copy.extents, table.extents);
      deepStrictEqual([copy.other, copy.lastUsable], [1, table.lastUsable]);
      ok(table.lastUsable < copy.entries);
      deepStrictEqual(disk.pc(0), [1, disk.sectors - 1]);
      strictEqual(await grow(disk, 1), "nothing to do");
    }),
);

Deno.test(
  "agent: a partition in a table of the PC grows, if it is the last",
  linux,
  () =>
    withProgram(async (grow) => {
      const disk = new Disk(8 * UNIT);
      disk.setPc(0, 0x83, [UNIT, UNIT]);
      disk.setPc(1, 0x83, [2 * UNIT, UNIT]);
      strictEqual(await grow(disk, 1), "nothing to do");
      strictEqual(await grow(disk, 2), `${2 * UNIT} ${6 * UNIT}`);
      deepStrictEqual([disk.pc(0), disk.pc(1)], [[UNIT, UNIT], [2 * UNIT, 6 * UNIT]]);
      strictEqual(await grow(disk, 2), "nothing to do");
    }),
);

Deno.test(
  "agent: a table that is damaged, or none, is left as it is",
  linux,
  () =>
    withProgram(async (grow) => {
      const gpt = new Disk(8 * UNIT);
      gpt.setGpt([[UNIT, UNIT]]);
      const spoil = (at: number, value: number) => {
        const disk = gpt.grown(16 * UNIT);
        disk.view.setUint32(at, value, true);
        return disk;
      };
      const cases: [string, Disk, number][] = [
        ["no table", new Disk(UNIT), 1],
        ["no such partition", gpt.grown(16 * UNIT), 129],
        ["an unused one", gpt.grown(16 * UNIT), 2],
        ["number 0", gpt.grown(16 * UNIT), 0],
        ["another entry size", spoil(SECTOR + 84, 4096), 1],
        ["a count beyond the table", spoil(SECTOR + 80, 0x7fffffff), 1],
        ["a header size beyond the sector", spoil(SECTOR + 12, 0xffffffff), 1],
        ["a wrong checksum", spoil(SECTOR + 16, 1), 1],
        ["an entry that was changed", spoil(2 * SECTOR + 40, 77), 1],
        ["no boot signature", spoil(508, 0), 1],
      ];
      for (const [what, disk, number] of cases) {
        const before = disk.bytes.slice();
        ok(!/^\d+ \d+$/.test(await grow(disk, number)), what);
        ok(disk.bytes.every((byte, i) => byte === before[i]), what);
      }
    }),
);
