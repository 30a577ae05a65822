/** The base image as it is built, looked at without booting it, and builds that go wrong. */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import type { VibeError } from "../../lib/errors.ts";
import { createOverlay } from "../../lib/image/clone.ts";
import { run } from "../../lib/process.ts";
import { SmallBuild, smallDisk, testImage } from "./support_image.ts";

/** What debugfs says to a command on a disk. */
async function debugfs(disk: string, command: string): Promise<string> {
  const { stdout, stderr } = await run(["/sbin/debugfs", "-R", command, disk]);
  return stdout + stderr.replace(/^debugfs \d.*\n/, "");
}

/** Owner and permissions of a file: "0:0 4755". */
async function owner(disk: string, path: string): Promise<string> {
  const text = await debugfs(disk, `stat ${path}`);
  const field = (pattern: RegExp) => text.match(pattern)?.[1];
  return `${field(/User:\s+(\d+)/)}:${field(/Group:\s+(\d+)/)} ${field(/Mode:\s+0?(\d+)/)}`;
}

async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir), ({ name }) => name).catch(() => [])).sort();
}

async function withCache(test: (cache: string) => Promise<void>): Promise<void> {
  // A name that would break any shell word, option list or apt configuration it were put into.
  const root = await Deno.makeTempDir({ dir: "/var/tmp" });
  const cache = `${root}/a "cache", of: 'é' $(x)`;
  try {
    await test(cache);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("image: the file system is sound, and its files belong to whom they should", async () => {
  const { disk, info } = await testImage();
  const check = await run(["/sbin/e2fsck", "-fn", disk]);
  strictEqual(check.code, 0, check.stdout);
  const group = async (name: string) =>
    (await debugfs(disk, "cat /etc/group")).match(new RegExp(`^${name}:x:(\\d+):`, "m"))![1];
  deepStrictEqual(
    await Promise.all(
      ["/", "/root", "/tmp", "/usr/bin/su", "/usr/bin/sudo", "/usr/bin/passwd", "/etc/shadow"]
        .map((path) => owner(disk, path)),
    ),
    ["0:0 755", "0:0 700", "0:0 1777", "0:0 4755", "0:0 4755", "0:0 4755", "0:42 640"],
  );
  strictEqual(
    await owner(disk, "/usr/lib/dbus-1.0/dbus-daemon-launch-helper"),
    `0:${await group("messagebus")} 4754`,
  );
  strictEqual(await owner(disk, "/var/mail"), `0:${await group("mail")} 2775`);
  strictEqual(await owner(disk, "/var/lib/apt/lists/partial"), "42:0 700");
  strictEqual(info.diskBytes, (await Deno.stat(disk)).size);
  const { blocks } = await Deno.stat(disk);
  ok(blocks! * 512 < 1.2e9, `the image takes ${blocks! * 512} bytes`);
});

Deno.test("image: what a fresh machine needs is in it, and what it must not share is not", async () => {
  const { disk, info } = await testImage();
  for (const name of ["systemd", "git", "python3", "build-essential", "ripgrep", "tmux"]) {
    ok(info.packages[name], `${name} is not installed`);
  }
  ok(!info.packages["initramfs-tools"]);
  strictEqual(await debugfs(disk, "cat /etc/hostname"), "vibe\n");
  strictEqual(await debugfs(disk, "cat /etc/machine-id"), "");
  match(await debugfs(disk, "cat /etc/fstab"), /^\/dev\/vda \/ ext4 .*noatime/);
  match(await debugfs(disk, "cat /root/.bashrc"), /^PS1='\\u@\\h:\\w\\\$ '$/m);
  // "apt-get install" works without "apt-get update".
  match(await debugfs(disk, "ls -p /var/lib/apt/lists"), /trixie_main_binary-.*_Packages/);
  // The build's own settings are gone, and so is everything it downloaded.
  strictEqual(await debugfs(disk, "ls -p /etc/apt/apt.conf.d").then((s) => /build/.test(s)), false);
  strictEqual(
    await debugfs(disk, "ls -p /var/cache/apt/archives").then((s) => /deb/.test(s)),
    false,
  );
  strictEqual(await debugfs(disk, "ls -p /etc/ssh").then((s) => /host_.*key/.test(s)), false);
});

Deno.test("image: the kernel and its modules lie beside the disk", async () => {
  const base = await testImage();
  const { disk } = base;
  const order = (await Deno.readTextFile(`${base.dir}/modules/order`)).trim().split("\n");
  deepStrictEqual(order, ["virtio_blk.ko", "failover.ko", "net_failover.ko", "virtio_net.ko"]);
  for (const name of order) {
    const module = await Deno.readFile(`${base.dir}/modules/${name}`);
    strictEqual(new TextDecoder().decode(module.subarray(1, 4)), "ELF", name);
    ok(new TextDecoder("latin1").decode(module).includes(`vermagic=${base.info.kernelRelease} `));
  }
  deepStrictEqual(
    await names(base.dir),
    ["disk.raw", "image.json", "modules", Deno.build.arch === "x86_64" ? "vmlinux" : "vmlinuz"],
  );
  // What a guest removes or upgrades does not take the modules away from the host's kernel.
  const kept = await debugfs(
    disk,
    `stat /usr/lib/vibe/modules/${base.info.kernelRelease}/modules.dep`,
  );
  match(kept, /Links: 2/);
});

Deno.test("image: a killed build is swept up, and two builds at once make one image", () =>
  withCache(async (cache) => {
    const killed = new SmallBuild(cache);
    await killed.seen(/^unpacking [2-9]/);
    killed.child.kill("SIGKILL");
    await killed.ended;
    deepStrictEqual(await names(`${cache}/builds/default`), ["1.partial", "state.json"]);

    const builds = [new SmallBuild(cache), new SmallBuild(cache)];
    const [one, two] = await Promise.all(builds.map(({ ended }) => ended));
    strictEqual(one.event, "built", JSON.stringify(one));
    deepStrictEqual(one, two);
    const id = one.event === "built" ? one.id : "";
    deepStrictEqual(await names(`${cache}/bases`), [id, "use.lock"].sort());
    deepStrictEqual(await names(`${cache}/builds`), []);
    const waited = builds.map(({ events }) =>
      events.some((e) => "text" in e && e.text.startsWith("Waiting for another vibe"))
    );
    deepStrictEqual(waited.sort(), [false, true]);
    const request = { base: "debian", layers: [], agents: [], packages: [], scripts: [] };
    deepStrictEqual(
      JSON.parse(await Deno.readTextFile(`${cache}/images/default.json`)),
      { base: id, request },
    );
    const check = await run(["/sbin/e2fsck", "-fn", `${cache}/bases/${id}/disk.raw`]);
    strictEqual(check.code, 0, check.stdout);

    // An overlay on it knows where it is, whatever its path looks like.
    const overlay = `${cache}/-over,lay=x.qcow2`;
    await createOverlay(`${cache}/bases/${id}/disk.raw`, overlay);
    const { stdout } = await run(["qemu-img", "info", "--output=json", overlay]);
    const image = JSON.parse(stdout);
    strictEqual(image["full-backing-filename"], `${cache}/bases/${id}/disk.raw`);
    strictEqual(image["backing-filename-format"], "raw");
    strictEqual(image["virtual-size"], 20 * 2 ** 30);
    const { code, stderr } = await run(["qemu-img", "check", "-q", overlay]);
    strictEqual(code, 0, stderr);
  }));

Deno.test("image: an interrupted build leaves nothing half done", () =>
  withCache(async (cache) => {
    const build = new SmallBuild(cache);
    await build.seen(/^unpacking [2-9]/);
    build.child.kill("SIGTERM");
    const last = await build.ended;
    strictEqual(last.event === "failed" && last.code, "INTERRUPTED", JSON.stringify(last));
    deepStrictEqual(await names(`${cache}/bases`), []);
    deepStrictEqual(await names(`${cache}/builds`), []);
    deepStrictEqual(await names(`${cache}/images`), ["default.lock"]);
    const { stdout } = await run(["ps", "-eo", "args"]);
    const left = stdout.split("\n").filter((line) => line.includes(cache));
    deepStrictEqual(left, []);
  }));

Deno.test("image: a disk that becomes full is named, and nothing half done is left on it", async () => {
  // Apt's own estimate lets it begin.
  await using disk = await smallDisk(300);
  const last = await new SmallBuild(`${disk.dir}/cache`).ended;
  ok(last.event === "failed", JSON.stringify(last));
  strictEqual(last.code, "IMAGE_NO_SPACE", last.message);
  ok(last.message.includes(`"${disk.dir}/cache/builds/default"`), last.message);
  match(last.hint, /Make room/);
  deepStrictEqual(await names(`${disk.dir}/cache/bases`), []);
  deepStrictEqual(await names(`${disk.dir}/cache/builds`), []);
});

Deno.test("image: a mirror that cannot be reached is named", () =>
  withCache(async (cache) => {
    const last = await new SmallBuild(cache, { VIBE_MIRROR: "http://127.0.0.1:9/debian" }).ended;
    ok(last.event === "failed", JSON.stringify(last));
    strictEqual(last.code, "IMAGE_DOWNLOAD_FAILED", last.message);
    strictEqual(last.message, 'Cannot build the image: "127.0.0.1:9" cannot be reached');
    match(last.hint, /VIBE_MIRROR=/);
    const [log] = await names(`${cache}/logs`);
    match(await Deno.readTextFile(`${cache}/logs/${log}`), /Could not connect to 127\.0\.0\.1:9/);
    deepStrictEqual(await names(`${cache}/bases`), []);
    deepStrictEqual(await names(`${cache}/builds`), []);
  }));

Deno.test("overlay: a full disk is named, and no half of a file stays", async () => {
  const { disk } = await testImage();
  await using small = await smallDisk(1);
  const filler = await Deno.open(`${small.dir}/filler`, { write: true, create: true });
  const block = new Uint8Array(64 << 10);
  await rejects(async () => {
    for (;;) await filler.write(block);
  });
  filler.close();
  await rejects(createOverlay(disk, `${small.dir}/disk.qcow2`), (error: VibeError) => {
    strictEqual(error.code, "DISK_FULL", error.message);
    strictEqual(error.message, `Cannot make "${small.dir}/disk.qcow2": the disk is full`);
    return true;
  });
  deepStrictEqual(await names(small.dir), ["filler"]);
});
