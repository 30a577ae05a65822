/** Archives of disks: those that tar makes, and those that nobody should open. */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { DiskUnpacker } from "../../lib/image/archive.ts";
import { ByteSource } from "../../lib/image/byte_source.ts";
import { SparseFile } from "../../lib/image/sparse_file.ts";
import { readTarDisk } from "../../lib/image/tar.ts";
import { randomFrom } from "../support/random.ts";
import { failure, makeArchive, makeDisk, sh, sha512 } from "./image_sources_support.ts";

async function withDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vibe-archive-" });
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Unpacks an xz file that comes in pieces; resolves to the disk. */
async function unpack(archive: Uint8Array, dir: string, piece = 50_000): Promise<Uint8Array> {
  const path = `${dir}/unpacked`;
  await using unpacker = await DiskUnpacker.start(path);
  for (let at = 0; at < archive.length; at += piece) {
    await unpacker.write(archive.subarray(at, at + piece));
  }
  await unpacker.finish();
  return await Deno.readFile(path);
}

/** An archive of what a shell script makes in an empty directory. */
function archiveOf(dir: string, script: string, tar = "tar --create *"): Promise<Uint8Array> {
  return sh(`rm -rf "$1/in"; mkdir "$1/in"; cd "$1/in"; { ${script}; } >&2; ${tar} | xz -0`, dir);
}

/** The same with the first header changed, and its checksum put right. */
async function forged(tar: Uint8Array, change: (header: Uint8Array) => void) {
  const header = tar.subarray(0, 512);
  change(header);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(new TextEncoder().encode(sum.toString(8).padStart(6, "0") + "\0"), 148);
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, tar);
  try {
    return await sh(`xz -0 < "$1"`, path);
  } finally {
    await Deno.remove(path);
  }
}

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("what tar makes in any of its ways is unpacked, and is sparse", () =>
  withDir(async (dir) => {
    const disk = await makeDisk(`${dir}/disk.raw`);
    const ways = [
      "--sparse",
      "--sparse --transform s/.*/disk.raw/",
      "",
      "--format=ustar",
      "--format=v7",
      "--format=pax",
      `--format=pax --transform s,.*,${"long/".repeat(60)}disk.raw,`,
      `--format=gnu --transform s,.*,${"long/".repeat(60)}disk.raw,`,
      "--format=pax --pax-option=globexthdr.name=x,comment=x",
      "--blocking-factor=512",
    ];
    for (const way of ways) {
      const archive = await sh(`cd "$1" && tar --create ${way} disk.raw | xz -0`, dir);
      strictEqual(sha512(await unpack(archive, dir)), sha512(disk), way);
      const { blocks } = await Deno.stat(`${dir}/unpacked`);
      ok(blocks! * 512 < 1 << 20, `${way}: ${blocks} blocks`);
    }
  }));

Deno.test("a directory beside the disk does no harm", () =>
  withDir(async (dir) => {
    const archive = await archiveOf(dir, "mkdir a; printf disk > a/disk.raw", "tar -c .");
    deepStrictEqual(await unpack(archive, dir), encode("disk"));
  }));

Deno.test("a disk without tar around it is unpacked, too", () =>
  withDir(async (dir) => {
    const disk = await makeDisk(`${dir}/disk.raw`);
    const archive = await sh(`xz -0 < "$1/disk.raw"`, dir);
    strictEqual(sha512(await unpack(archive, dir)), sha512(disk));
  }));

Deno.test("many parts: the map of a sparse file goes on in further blocks", () =>
  withDir(async (dir) => {
    const disk = new Uint8Array(4 << 20);
    for (let at = 0; at < disk.length; at += 40_960) disk[at] = 1;
    await Deno.writeFile(`${dir}/disk.raw`, disk);
    const archive = await sh(
      `cd "$1" && fallocate --dig-holes disk.raw && tar --create --sparse disk.raw | xz -0`,
      dir,
    );
    strictEqual(sha512(await unpack(archive, dir)), sha512(disk));
  }));

Deno.test("pieces of any size make no difference", () =>
  withDir(async (dir) => {
    const { disk, archive } = await makeArchive(3000);
    for (const piece of [1, 7, archive.length]) {
      strictEqual(sha512(await unpack(archive, dir, piece)), sha512(disk));
    }
  }));

Deno.test("without xz on the host, a library unpacks", () =>
  withDir(async (dir) => {
    const { disk, archive } = await makeArchive();
    const path = Deno.env.get("PATH")!;
    Deno.env.set("PATH", dir);
    try {
      strictEqual(sha512(await unpack(archive, dir)), sha512(disk));
      const damaged = archive.slice();
      damaged[archive.length >> 1] ^= 1;
      await rejects(unpack(damaged, dir), failure("ARCHIVE_DAMAGED", /Cannot unpack/));
      const half = archive.subarray(0, archive.length >> 1);
      await rejects(unpack(half, dir), failure("ARCHIVE_DAMAGED", /Cannot unpack/));
    } finally {
      Deno.env.set("PATH", path);
    }
  }));

Deno.test("nothing but one regular file is taken", () =>
  withDir(async (dir) => {
    const refused: [script: string, tar: string | undefined, why: RegExp][] = [
      ["ln -s /etc/passwd disk.raw", undefined, /no regular file/],
      ["ln -s / a; echo x > b", undefined, /no regular file/],
      ["mkfifo disk.raw", undefined, /no regular file/],
      ["echo x > a; ln a b", undefined, /more than one disk/],
      ["echo x > a; echo y > b", undefined, /more than one disk/],
      ["echo x > a; ln -s /etc/passwd b", undefined, /more than one disk/],
      ["echo x > a", "tar -cP --transform s,a,/etc/cron.d/a, a", /leads out/],
      ["echo x > a", "tar -cP --transform s,a,../a, a", /leads out/],
      ["echo x > a", "tar -cP --transform s,a,b/../../a, a", /leads out/],
      ["echo x > a", `tar -cP --transform s,a,${"x/".repeat(80)}../a, a`, /leads out/],
      ["mkdir a", undefined, /holds no disk/],
      ["truncate -s 1M a", "tar -cS --format=pax a", /pax format/],
    ];
    for (const [script, tar, why] of refused) {
      const archive = await archiveOf(dir, script, tar);
      await rejects(unpack(archive, dir), failure("ARCHIVE_REFUSED", why), `${script} ${tar}`);
    }
    const device = await archiveOf(dir, "echo x > a").then(() => sh(`tar -cC "$1/in" a`, dir));
    const hardLink = await forged(device, (header) => header[156] = 0x31);
    await rejects(unpack(hardLink, dir), failure("ARCHIVE_REFUSED", /no regular file/));
    const block = await forged(device, (header) => header[156] = 0x34);
    await rejects(unpack(block, dir), failure("ARCHIVE_REFUSED", /no regular file/));
  }));

Deno.test("a bomb is stopped where it exceeds what it said", () =>
  withDir(async (dir) => {
    // 100 MB of zeros after a disk of 2 bytes.
    const endless = "{ tar --create a; head -c 100000000 /dev/zero; }";
    const bomb = await archiveOf(dir, "echo x > a", endless);
    await rejects(unpack(bomb, dir), failure("ARCHIVE_REFUSED", /goes on after its end/));
    ok((await Deno.stat(`${dir}/unpacked`)).size < 1 << 20);
    const huge = await archiveOf(dir, "truncate -s 3T a", "tar --create --sparse a");
    await rejects(unpack(huge, dir), failure("ARCHIVE_REFUSED", /over 2 TiB/));
  }));

Deno.test("sparse maps that do not add up are refused", () =>
  withDir(async (dir) => {
    await makeDisk(`${dir}/disk.raw`);
    const tar = await sh(`cd "$1" && tar --create --sparse disk.raw`, dir);
    const field = (at: number, value: string) => (header: Uint8Array) => {
      header.set(encode(value.padStart(11, "0")), at);
    };
    const forgeries: [(header: Uint8Array) => void, RegExp][] = [
      // The first part is longer, the second one begins before it ends, the disk is too short.
      [field(398, "77777"), /overlap|add up/],
      [field(410, "0"), /overlap/],
      [field(483, "1000"), /add up/],
      [field(124, "1000"), /add up/],
      [(header) => header.fill(0xff, 483, 495), /makes no sense/],
      [(header) => header.set(encode("99x"), 483), /damaged/],
    ];
    for (const [change, why] of forgeries) {
      const archive = await forged(tar.slice(), change);
      await rejects(unpack(archive, dir), failure("ARCHIVE_REFUSED", why), String(why));
    }
  }));

Deno.test("damage is told of at the end", () =>
  withDir(async (dir) => {
    const { archive } = await makeArchive();
    for (const length of [100, archive.length >> 1, archive.length - 1]) {
      const damaged = archive.slice(0, length);
      await rejects(unpack(damaged, dir), failure("ARCHIVE_DAMAGED", /Cannot unpack/));
    }
    const flipped = archive.slice();
    flipped[archive.length >> 1] ^= 1;
    await rejects(unpack(flipped, dir), failure("ARCHIVE_DAMAGED", /corrupt/));
    const cut = await sh(`tar -cC "$1" unpacked | head -c 1000 | xz`, dir);
    await rejects(unpack(cut, dir), failure("ARCHIVE_DAMAGED", /cut off/));
  }));

Deno.test("any 512 bytes are a header or an error, never more", async () => {
  const tar = await sh("cd /; tar --create --sparse etc/hostname");
  const random = randomFrom(2);
  for (let i = 0; i < 2000; i++) {
    const bytes = tar.slice(0, 2048);
    for (let n = 0; n < 3; n++) bytes[random(512)] = random(256);
    const source = new ByteSource((async function* () {
      yield await Promise.resolve(bytes);
    })());
    const disk = await readTarDisk(source).catch(failure("ARCHIVE_REFUSED", /./));
    if (disk === true) continue;
    ok(typeof disk === "object" && Number.isSafeInteger(disk.size));
    strictEqual(disk.name.startsWith("/"), false);
  }
});

Deno.test("a sparse file is the same as what was written to it", () =>
  withDir(async (dir) => {
    const expected = new Uint8Array(5_000_000);
    const random = randomFrom(1);
    {
      using file = await SparseFile.create(`${dir}/sparse`);
      while (file.length < expected.length) {
        const size = Math.min(random(2_000_000), expected.length - file.length);
        if (random(2) === 0) file.skip(size);
        else {
          expected.fill(1 + random(255), file.length, file.length + size);
          file.write(expected.slice(file.length, file.length + size));
        }
      }
      file.finish();
    }
    strictEqual(sha512(await Deno.readFile(`${dir}/sparse`)), sha512(expected));
  }));
