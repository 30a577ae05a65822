/** Images as one file: whole, hostile, cut off, interrupted; and images that grow. */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { readBase } from "../../lib/image/base.ts";
import {
  bundleEnd,
  type BundleHead,
  bundleHead,
  diskEntry,
  tarHeader,
  tarPadding,
  wholeEntry,
} from "../../lib/image/bundle.ts";
import { findImage, imageNames, nameImage } from "../../lib/image/catalog.ts";
import { diskUsage } from "../../lib/image/disk_usage.ts";
import { exportImage } from "../../lib/image/export.ts";
import { importImage } from "../../lib/image/import.ts";
import { resizeImage } from "../../lib/image/resize.ts";
import { run } from "../../lib/process.ts";
import { silentProgress as progress } from "../../lib/progress.ts";
import { MAIN } from "../support/vibe.ts";
import { DISK_BYTES, fakeBase, inPlaces, namesIn } from "./image_support.ts";

async function exported(root: string, cache: string): Promise<string> {
  await fakeBase(cache, "one");
  await nameImage("work", (await readBase("one"))!);
  await exportImage("work", `${root}/work.image`, { progress });
  return `${root}/work.image`;
}

/** What is at every path of a base, its disk by the digest of the first bytes. */
async function contentOf(cache: string, id: string) {
  const read = (path: string) => Deno.readTextFile(`${cache}/bases/${id}/${path}`);
  const script = `head -c ${DISK_BYTES} "$1" | sha256sum`;
  const { stdout } = await run(["sh", "-c", script, "sh", `${cache}/bases/${id}/disk.raw`]);
  return [
    await read("vmlinux"),
    await read("modules/order"),
    await read("modules/virtio_blk.ko"),
    stdout.slice(0, 64),
  ];
}

Deno.test("an exported image comes back as it was: holes, kernel, modules, and what it says", () =>
  inPlaces(async ({ root, cache }) => {
    const file = await exported(root, cache);
    ok((await Deno.stat(file)).size < 4000);
    strictEqual((await Deno.stat(file)).mode! & 0o777, 0o644);
    await rejects(importImage(file, undefined, { progress }), { code: "IMAGE_EXISTS" });
    const { base, sha256, name } = await importImage(file, "again", { progress });
    strictEqual(name, "again");
    deepStrictEqual(await contentOf(cache, base.id), await contentOf(cache, "one"));
    ok(await diskUsage(base.disk) <= 3 * 8192);
    const { imported, id, ...info } = base.info;
    const { id: _, ...original } = (await readBase("one"))!.info;
    deepStrictEqual([info, imported!.sha256, id], [original, sha256, base.id]);
    deepStrictEqual(await namesIn(root), ["cache", "work.image"]);
    // The same image gives the same content, whatever it is called in the cache.
    const copy = await exportImage("work", `${root}/copy.image`, { progress });
    strictEqual(copy.sha256, sha256);
    const list = await run(["sh", "-c", 'zstd -dc <"$1" | tar -t', "sh", file]);
    match(list.stdout, /^vibe-image\.json\nfiles\/modules\/order\n(.*\n)+sha256\n$/);
  }));

Deno.test("every bit of damage is found, and leaves nothing behind", () =>
  inPlaces(async ({ root, cache }) => {
    const archive = zstdDecompressSync(await Deno.readFile(await exported(root, cache)));
    const attempt = async (bytes: Uint8Array) => {
      await Deno.writeFile(`${root}/bad`, bytes);
      await rejects(importImage(`${root}/bad`, "bad", { progress }), { code: "BUNDLE_REFUSED" });
    };
    await attempt(new Uint8Array());
    await attempt(new TextEncoder().encode("<html>"));
    await attempt(zstdCompressSync(new Uint8Array(4096)));
    const compressed = zstdCompressSync(archive);
    for (const part of [0.3, 0.6, 0.95]) {
      await attempt(compressed.subarray(0, Math.floor(compressed.length * part)));
    }
    const positions = Array.from({ length: 40 }, (_, i) => Math.floor(archive.length * i / 40));
    for (const at of [...positions, 512 + 20, archive.indexOf("kernel of one")]) {
      const bytes = archive.slice();
      // What follows the digest says nothing.
      if (at > archive.length - 1536) continue;
      bytes[at] ^= 1;
      // The padding of tar is covered by the digest, too.
      await attempt(zstdCompressSync(bytes));
      await attempt(zstdCompressSync(archive.subarray(0, at)));
    }
    deepStrictEqual((await namesIn(`${cache}/bases`)).filter((n) => n.includes("import")), []);
    deepStrictEqual(await imageNames(), ["work"]);
  }));

/** A bundle around some entries, its digest right. */
function bundle(head: Partial<BundleHead>, entries: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const image = {
    version: 1,
    id: "x",
    kernel: "vmlinux",
    architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
  };
  const whole = {
    format: 1,
    name: "evil",
    image,
    diskBytes: 1 << 20,
    dataBytes: 4096,
    files: { vmlinux: 1 },
    ...head,
  } as BundleHead;
  const hash = createHash("sha256");
  const chunks = [...bundleHead(whole), ...entries];
  for (const chunk of chunks) hash.update(chunk);
  chunks.push(...bundleEnd(hash));
  return new Uint8Array(zstdCompressSync(Buffer.concat(chunks)));
}

Deno.test("what must not be in an image is refused, though its digest is right", () =>
  inPlaces(async ({ root, cache }) => {
    const kernel = [...wholeEntry("files/vmlinux", new Uint8Array(1))];
    const entry = (name: string, size: number) => [...wholeEntry(name, new Uint8Array(size))];
    const typed = (type: string, name: string, target = "") => {
      const header = tarHeader(name, 0);
      header[156] = type.charCodeAt(0);
      header.set(new TextEncoder().encode(target), 157);
      const sum = header.fill(0x20, 148, 156).reduce((a, b) => a + b, 0);
      header.set(new TextEncoder().encode(sum.toString(8).padStart(6, "0") + "\0 "), 148);
      return [header, tarPadding(0)];
    };
    const part = diskEntry(0);
    const cases: [string, Partial<BundleHead>, Uint8Array[]][] = [
      ["a symbolic link", {}, typed("2", "files/vmlinux", "/etc/shadow")],
      ["a hard link", {}, typed("1", "files/vmlinux", "/etc/shadow")],
      ["a device", {}, typed("4", part)],
      ["a directory", {}, typed("5", "files/modules")],
      ["a file that was not announced", {}, [...kernel, ...entry("files/extra", 1)]],
      ["a file twice", {}, [...kernel, ...kernel]],
      ["a file of another size", {}, entry("files/vmlinux", 2)],
      ["a file that is missing", {}, []],
      ["a path upwards", { files: { vmlinux: 1, "../../x": 1 } }, kernel],
      ["an absolute path", { files: { vmlinux: 1, "/x": 1 } }, kernel],
      ["its own image.json", { files: { vmlinux: 1, "image.json": 1 } }, kernel],
      ["a kernel elsewhere", { image: { kernel: "../vmlinux", version: 1 } as never }, kernel],
      ["a kernel of no file", { image: { kernel: "vmlinuz", version: 1 } as never }, kernel],
      ["more data than announced", {}, [...kernel, ...entry(part, 4608)]],
      ["a part beyond the end", {}, [...kernel, ...entry(diskEntry(1 << 20), 512)]],
      ["parts that overlap", {}, [...kernel, ...entry(part, 1024), ...entry(diskEntry(512), 512)]],
      ["a disk of 4 EiB", { diskBytes: 2 ** 62 }, kernel],
      ["more data than disk", { dataBytes: 2 ** 40 }, kernel],
      ["a negative size", { files: { vmlinux: -1 } }, kernel],
      ["files without end", {
        files: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`f${i}`, 1])),
      }, kernel],
      ["another version", { format: 2 as 1 }, kernel],
      ["no object", { image: null as never }, kernel],
      ["another processor", {
        image: { kernel: "vmlinux", version: 1, architecture: "s390x" } as never,
      }, kernel],
    ];
    for (const [what, head, entries] of cases) {
      await Deno.writeFile(`${root}/evil`, bundle(head, entries));
      await rejects(
        importImage(`${root}/evil`, "bad", { progress }),
        { code: "BUNDLE_REFUSED" },
        what,
      );
    }
    await Deno.writeFile(`${root}/evil`, bundle({ name: "../up" }, kernel));
    await rejects(importImage(`${root}/evil`, undefined, { progress }), { code: "IMAGE_NAME" });
    await Deno.writeFile(
      `${root}/evil`,
      bundle({ dataBytes: 2 ** 40, diskBytes: 2 ** 40 }, kernel),
    );
    await rejects(importImage(`${root}/evil`, "bad", { progress }), { code: "IMAGE_NO_SPACE" });
    await rejects(importImage(`${root}/nothing`, "bad", { progress }), { code: "IMPORT_FAILED" });
    deepStrictEqual(await imageNames(), []);
    const left = await namesIn(`${cache}/bases`);
    deepStrictEqual(left.filter((name) => !name.endsWith(".lock")), []);
    // And what is well, is taken.
    await Deno.writeFile(`${root}/good`, bundle({}, [...kernel, ...entry(part, 4096)]));
    strictEqual(
      (await importImage(`${root}/good`, "good", { progress })).base.info.diskBytes,
      1 << 20,
    );
  }));

Deno.test("a resized image is a new base; the old one stays as it was", () =>
  inPlaces(async ({ cache }) => {
    await fakeBase(cache, "one");
    await nameImage("work", (await readBase("one"))!);
    const before = await contentOf(cache, "one");
    const base = await resizeImage("work", 3, { progress });
    strictEqual((await findImage("work"))!.id, base.id);
    strictEqual((await Deno.stat(base.disk)).size, 3 * 2 ** 30);
    strictEqual(base.info.diskBytes, 3 * 2 ** 30);
    ok(await diskUsage(base.disk) <= 3 * 8192);
    deepStrictEqual(await contentOf(cache, base.id), before);
    deepStrictEqual(await contentOf(cache, "one"), before);
    await rejects(resizeImage("work", 3, { progress }), {
      code: "IMAGE_SHRINK",
      message: 'Cannot make the image "work" smaller: its disk has 3 GiB, and 3 was asked for',
    });
    await rejects(resizeImage("nope", 30, { progress }), { code: "IMAGE_UNKNOWN" });
  }));

/** `vibe` with these words; killed with -9 after some milliseconds. */
async function killed(words: string[], milliseconds: number): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", MAIN, ...words],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has just ended by itself.
    }
  }, milliseconds);
  await child.status;
  clearTimeout(timer);
}

Deno.test("killed at any moment, export, import and resize leave the last good state", () =>
  inPlaces(async ({ root, cache }) => {
    const file = await exported(root, cache);
    // 60 MB that do not compress, so that there is a middle to be killed in.
    using disk = await Deno.open(`${cache}/bases/one/disk.raw`, { write: true });
    const noise = new Uint8Array(1 << 16);
    for (let i = 0; i < 960; i++) await disk.write(crypto.getRandomValues(noise));
    await exportImage("work", `${root}/big.image`, { progress });
    const id = (await findImage("work"))!.id;
    for (const delay of [150, 300, 450, 700]) {
      await killed(["image", "export", "work", file], delay);
      await killed(["image", "import", `${root}/big.image`, "other"], delay);
      await killed(["image", "resize", "work", "2"], delay);
      ok((await importImage(file, `whole-${delay}`, { progress })).base);
      for (const name of await imageNames()) ok(await findImage(name), name);
    }
    // Whether it came to its end or not, it can be done again, and what was left is swept up.
    if ((await findImage("work"))!.id === id) await resizeImage("work", 2, { progress });
    if (!(await imageNames()).includes("other")) {
      await importImage(`${root}/big.image`, "other", { progress });
    }
    await exportImage("work", file, { progress });
    deepStrictEqual(await namesIn(root), ["big.image", "cache", "work.image"]);
    await run([Deno.execPath(), "run", "--allow-all", MAIN, "prune"]);
    const left = (await namesIn(`${cache}/bases`)).filter((name) => name.endsWith(".partial"));
    deepStrictEqual(left, []);
  }));

Deno.test("two at once: one exports to a file, one import makes a name", () =>
  inPlaces(async ({ root, cache }) => {
    const file = await exported(root, cache);
    const imports = await Promise.allSettled(
      [1, 2].map(() => importImage(file, "twin", { progress })),
    );
    deepStrictEqual(imports.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    ok(await findImage("twin"));
    const words = [Deno.execPath(), "run", "--allow-all", MAIN, "image"];
    const piped = await run([
      "sh",
      "-c",
      '"$@" export work - | "$@" import - piped',
      "sh",
      ...words,
    ], {
      env: { NO_COLOR: "1" },
    });
    strictEqual(piped.code, 0, piped.stderr);
    match(piped.stderr, /^Exported the image "work": 0\.0 GB, sha256 [0-9a-f]{64}$/m);
    match(piped.stderr, /^Imported the image "piped": sha256 [0-9a-f]{64}$/m);
    deepStrictEqual(
      await contentOf(cache, (await findImage("piped"))!.id),
      await contentOf(cache, "one"),
    );
  }));
