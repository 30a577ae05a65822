/** Reading a system out of a raw disk: whole, partitioned, damaged. */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { Ext4, Ext4Error } from "../../lib/image/disk/ext4.ts";
import {
  compareVersions,
  modulesToLoad,
  parseStatus,
  readSystem,
} from "../../lib/image/disk/system.ts";
import { run } from "../../lib/process.ts";

const RELEASE = "6.12.9+deb13-cloud-amd64";
const MIB = 1 << 20;

/** A kernel as far as it is looked at. */
function fakeKernel(): Uint8Array<ArrayBuffer> {
  const kernel = new Uint8Array(3 * MIB).map((_, i) => i >> 12);
  const arm = Deno.build.arch === "aarch64";
  kernel.set(new TextEncoder().encode(arm ? "ARM\x64" : "HdrS"), arm ? 0x38 : 0x202);
  return kernel;
}

/** A root directory with a system as small as can be. */
async function makeTree(dir: string): Promise<void> {
  const modules = `${dir}/usr/lib/modules/${RELEASE}`;
  for (const path of ["boot", "etc", "var/lib/dpkg", `usr/lib/modules/${RELEASE}/kernel`, "many"]) {
    await Deno.mkdir(`${dir}/${path}`, { recursive: true });
  }
  await Deno.symlink("usr/lib", `${dir}/lib`);
  await Deno.symlink("/../usr/lib/os-release", `${dir}/etc/os-release`);
  await Deno.symlink("loop", `${dir}/loop`);
  const text = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n';
  await Deno.writeTextFile(`${dir}/usr/lib/os-release`, text);
  await Deno.writeFile(`${dir}/boot/vmlinuz-${RELEASE}`, fakeKernel());
  // Newer, but without modules; and older.
  await Deno.writeTextFile(`${dir}/boot/vmlinuz-6.13.0`, "");
  await Deno.writeTextFile(`${dir}/boot/vmlinuz-6.9.99-cloud-amd64`, "");
  await Deno.writeTextFile(
    `${modules}/modules.dep`,
    "kernel/virtio_net.ko.xz: kernel/net_failover.ko.xz\n" +
      "kernel/net_failover.ko.xz:\nkernel/other.ko.xz:\n",
  );
  await Deno.writeTextFile(`${modules}/kernel/virtio_net.ko.xz`, "net");
  await Deno.writeTextFile(`${modules}/kernel/net_failover.ko.xz`, "failover");
  await Deno.writeTextFile(
    `${dir}/var/lib/dpkg/status`,
    "Package: b\nStatus: install ok installed\nVersion: 2-1\n\n" +
      "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n" +
      "Package: a\nStatus: hold ok installed\nVersion: 1:0\nDescription: x\n Version: 9\n",
  );
  // Enough for a directory with an index.
  for (let i = 0; i < 400; i++) await Deno.writeTextFile(`${dir}/many/file-${i}`, `${i}`);
  using sparse = await Deno.open(`${dir}/sparse`, { write: true, create: true });
  await sparse.truncate(MIB);
  await sparse.seek(MIB - 3, Deno.SeekMode.Start);
  await sparse.write(new TextEncoder().encode("end"));
}

/** A file system of it, at a place in a disk. */
async function makeDisk(dir: string, offset: number): Promise<string> {
  await makeTree(`${dir}/tree`);
  const disk = `${dir}/disk.raw`;
  await Deno.writeFile(disk, new Uint8Array());
  await Deno.truncate(disk, offset + 32 * MIB);
  const { success, stderr } = await run([
    ...["/sbin/mke2fs", "-q", "-t", "ext4", "-d", `${dir}/tree`],
    ...["-E", `offset=${offset}`, disk, "32M"],
  ]);
  ok(success, stderr);
  return disk;
}

async function withDisk(
  offset: number,
  test: (disk: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(await makeDisk(dir, offset));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function patch(disk: string, at: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(disk, { write: true });
  await file.seek(at, Deno.SeekMode.Start);
  await file.write(bytes);
}

Deno.test("disk: kernel, modules and packages of a file system on the whole disk", () =>
  withDisk(0, async (disk) => {
    const system = await readSystem(disk, "a test", { requireClean: true });
    strictEqual(system.root, "/dev/vda");
    strictEqual(system.title, "debian-13");
    strictEqual(system.suite, "trixie");
    strictEqual(system.kernelRelease, RELEASE);
    deepStrictEqual(system.kernel, fakeKernel());
    deepStrictEqual(
      system.modules.map(({ name, content }) => [name, new TextDecoder().decode(content)]),
      [["net_failover.ko.xz", "failover"], ["virtio_net.ko.xz", "net"]],
    );
    deepStrictEqual(system.packages, { a: "1:0", b: "2-1" });
  }));

Deno.test("disk: the root is found on a partition, by GPT and by MBR", () =>
  withDisk(2 * MIB, async (disk) => {
    const entry = new Uint8Array(16);
    entry[4] = 0x83;
    new DataView(entry.buffer).setUint32(8, (2 * MIB) / 512, true);
    await patch(disk, 446 + 16, entry);
    await patch(disk, 510, new Uint8Array([0x55, 0xaa]));
    strictEqual((await readSystem(disk, "a test")).root, "/dev/vda2");

    const header = new Uint8Array(512);
    header.set(new TextEncoder().encode("EFI PART"));
    const view = new DataView(header.buffer);
    view.setBigUint64(72, 2n, true);
    view.setUint32(80, 128, true);
    view.setUint32(84, 128, true);
    await patch(disk, 512, header);
    const table = new Uint8Array(128 * 15);
    const put = (number: number, first: number) => {
      table[(number - 1) * 128] = 1;
      new DataView(table.buffer).setBigUint64((number - 1) * 128 + 32, BigInt(first), true);
    };
    put(1, 2 * MIB / 512);
    put(15, 34);
    await patch(disk, 1024, table);
    strictEqual((await readSystem(disk, "a test")).root, "/dev/vda1");
  }));

Deno.test("disk: files of every shape, links that lead nowhere and out of it", () =>
  withDisk(0, async (disk) => {
    using file = await Deno.open(disk);
    const files = (await Ext4.open(file, 0))!;
    ok(files.clean);
    const sparse = (await files.readFile("/sparse", MIB))!;
    strictEqual(sparse.length, MIB);
    strictEqual(new TextDecoder().decode(sparse.subarray(-4)), "\0end");
    ok(sparse.subarray(0, -3).every((byte) => byte === 0));
    strictEqual((await files.readDir("/many")).length, 400);
    strictEqual(await files.readText("/many/file-399", 100), "399");
    strictEqual(
      await files.readText("/many/../../../lib/../../etc/os-release", 100),
      await files
        .readText("usr/lib/os-release", 100),
    );
    for (const path of ["/loop", "/nothing", "/many", "/sparse/x", "/loop/x"]) {
      strictEqual(await files.readFile(path, MIB), null, path);
    }
    deepStrictEqual(await files.readDir("/sparse"), []);
    await rejects(files.readFile("/sparse", MIB - 1), /"\/sparse" has 1048576 bytes/);
  }));

Deno.test("disk: without a system, or not unmounted, it is refused", () =>
  withDisk(0, async (disk) => {
    const refused = async (code: string, message: RegExp) =>
      await rejects(readSystem(disk, "a test", { requireClean: true }), (error: Error) => {
        strictEqual((error as { code?: string }).code, code, error.message);
        match(error.message, message);
        return true;
      });
    // s_feature_incompat: the journal must be played back first.
    using file = await Deno.open(disk, { read: true });
    await file.seek(1024 + 0x60, Deno.SeekMode.Start);
    const features = new Uint8Array(1);
    await file.read(features);
    await patch(disk, 1024 + 0x60, new Uint8Array([features[0] | 4]));
    await refused("DISK_UNCLEAN", /not unmounted/);
    await patch(disk, 1024 + 0x60, new Uint8Array([features[0] | 1]));
    await refused("DISK_NO_SYSTEM", /feature is not known here \(0x1\)/);
    await patch(disk, 1024, new Uint8Array(1024));
    await refused("DISK_NO_SYSTEM", /no ext4 file system/);
  }));

Deno.test("disk: what a guest scribbled is an error at worst, and soon", () =>
  withDisk(0, async (disk) => {
    // Where all that is read lies: superblock, groups, inodes, directories.
    const good = (await Deno.readFile(disk)).slice(1024, 400_000);
    // The same every time.
    let state = 1;
    const random = (below: number) => (state = state * 48271 % 0x7fffffff) % below;
    for (let round = 0; round < 100; round++) {
      const bad = good.slice();
      for (let i = 0; i < 30; i++) bad[random(bad.length)] = random(256);
      await patch(disk, 1024, bad);
      await readSystem(disk, "a test").catch((error) => {
        strictEqual(error.code, "DISK_NO_SYSTEM", error.stack);
      });
    }
  }));

Deno.test("disk: an extent tree that leads to itself ends", () =>
  withDisk(0, async (disk) => {
    using file = await Deno.open(disk);
    const { stdout } = await run(["/sbin/debugfs", "-R", "imap /sparse", disk]);
    const [, block, offset] = stdout.match(/located at block (\d+), offset (0x[0-9a-f]+)/)!;
    const size = 1024 <<
      new DataView((await Deno.readFile(disk)).buffer).getUint32(1024 + 24, true);
    // Every entry of an index points to a block that holds the same index again.
    const node = new Uint8Array(size);
    const view = new DataView(node.buffer);
    const entries = Math.floor((size - 12) / 12);
    const home = 30 * MIB / size;
    for (const [at, value] of [[0, 0xf30a], [2, entries], [4, entries], [6, 5]]) {
      view.setUint16(at, value, true);
    }
    for (let i = 0; i < entries; i++) view.setUint32(12 + i * 12 + 4, home, true);
    await patch(disk, 30 * MIB, node);
    const root = node.slice(0, 60);
    new DataView(root.buffer).setUint16(2, 4, true);
    await patch(disk, Number(block) * size + Number(offset) + 0x28, root);
    const files = (await Ext4.open(file, 0))!;
    await rejects(files.readFile("/sparse", MIB), Ext4Error);
  }));

Deno.test("disk: modules come after those that they need, once", () => {
  const dependencies = [
    "kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz",
    "kernel/fs/mbcache.ko.xz:",
    "kernel/lib/crc16.ko.xz:",
    "kernel/virtio-ring.ko: ",
    "kernel/virtio_pci.ko.zst: kernel/virtio-ring.ko",
    "../../etc/virtio_blk.ko:",
  ].join("\n");
  const needed = ["virtio_pci", "virtio_ring", "virtio_blk", "ext4", "built_in"];
  deepStrictEqual(modulesToLoad(dependencies, needed), [
    "kernel/virtio-ring.ko",
    "kernel/virtio_pci.ko.zst",
    "kernel/fs/mbcache.ko.xz",
    "kernel/lib/crc16.ko.xz",
    "kernel/fs/ext4/ext4.ko.xz",
  ]);
});

Deno.test("disk: versions of kernels and lists of packages", () => {
  const versions = ["6.12.117+deb13-amd64", "6.9.1-amd64", "6.12.48+deb13-amd64"];
  deepStrictEqual(versions.sort(compareVersions), [
    "6.9.1-amd64",
    "6.12.48+deb13-amd64",
    "6.12.117+deb13-amd64",
  ]);
  deepStrictEqual(parseStatus(""), {});
});
