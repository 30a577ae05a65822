/** How a disk boots, by its first bytes; and what is not a disk of its own. */

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { cksum } from "../../lib/console/cksum.ts";
import { diskContent, readDiskContent } from "../../lib/image/disk_content.ts";
import { requireDisk } from "../../lib/image/disk_format.ts";

const UUID = "00112233445566778899aabbccddeeff";

function disk(change: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(4096);
  change(bytes, new DataView(bytes.buffer));
  return bytes;
}

const ext4 = disk((bytes, view) => {
  view.setUint16(1024 + 0x38, 0xef53, true);
  bytes.set(Uint8Array.fromHex(UUID), 1024 + 0x68);
});

function partitioned(type: number, code: number): Uint8Array {
  return disk((bytes, view) => {
    bytes[0] = code;
    bytes[446 + 4] = type;
    view.setUint16(510, 0xaa55, true);
  });
}

Deno.test("what is on a disk", () => {
  deepStrictEqual(diskContent(ext4), { kind: "ext4", uuid: UUID });
  const kinds: [Uint8Array, unknown][] = [
    [partitioned(0x83, 0xeb), { kind: "partitions", bios: true, efi: false }],
    [partitioned(0xee, 0), { kind: "partitions", bios: false, efi: true }],
    [partitioned(0xef, 1), { kind: "partitions", bios: true, efi: true }],
    [partitioned(0, 1), { kind: "unknown" }],
    [new Uint8Array(4096), { kind: "unknown" }],
    [ext4.subarray(0, 4095), { kind: "unknown" }],
  ];
  for (const [bytes, content] of kinds) deepStrictEqual(diskContent(bytes), content);
});

/** A qcow2 whose tables lead to a cluster at 256 KiB. */
function qcow2(cluster: bigint, change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array((256 << 10) + 4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x514649fb);
  view.setUint32(4, 3);
  view.setUint32(20, 16);
  view.setBigUint64(24, 1n << 20n);
  view.setBigUint64(40, 64n << 10n);
  view.setBigUint64(64 << 10, (1n << 63n) | (128n << 10n));
  view.setBigUint64(128 << 10, cluster);
  bytes.set(ext4, 256 << 10);
  change(view);
  return bytes;
}

Deno.test("a qcow2 is looked into, unless its first cluster is nowhere or compressed", async () => {
  const path = await Deno.makeTempFile();
  const content = async (bytes: Uint8Array) => {
    await Deno.writeFile(path, bytes as Uint8Array<ArrayBuffer>);
    strictEqual(await requireDisk(path), "qcow2");
    return (await readDiskContent(path, "qcow2")).kind;
  };
  try {
    const place = (1n << 63n) | (256n << 10n);
    strictEqual(await content(qcow2(place)), "ext4");
    strictEqual(await content(qcow2(0n)), "unknown");
    strictEqual(await content(qcow2(place | 1n)), "unknown");
    strictEqual(await content(qcow2(place | (1n << 62n))), "unknown");
    // Tables that lead out of the file, or out of all reason.
    for (const offset of [0n, 1n << 40n, 0x00ff_ffff_ffff_fe00n, 0xffff_ffff_ffff_ffffn]) {
      const astray = qcow2(place, (view) => view.setBigUint64(64 << 10, offset));
      strictEqual(await content(astray), "unknown");
      strictEqual(await content(qcow2(place, (view) => view.setBigUint64(40, offset))), "unknown");
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("an image that names another file is refused, by its own name", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/some\x1b[2Jdisk`;
  try {
    for (const [offset, value] of [[8, 4096n], [72, 4n]] as const) {
      const bytes = qcow2(0n, (view) => view.setBigUint64(offset, value));
      await Deno.writeFile(path, bytes as Uint8Array<ArrayBuffer>);
      await rejects(requireDisk(path, path), {
        code: "DISK_REFUSED",
        message: /Cannot use the disk ".*\\x1b\[2Jdisk": it(s data are in| stands on) another file/,
      });
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("cksum is that of POSIX", () => {
  const cases: [string, string][] = [
    ["", "4294967295 0"],
    ["hello\n", "3015617425 6"],
    ["123456789", "930766865 9"],
    ["\0".repeat(70_000), "1774371287 70000"],
  ];
  for (const [text, sum] of cases) strictEqual(cksum(new TextEncoder().encode(text)), sum);
});
