/** What `--base` can mean, and which files count as disks. */

import { ok, rejects, strictEqual } from "node:assert/strict";
import { NOCLOUD } from "../../lib/image/nocloud.ts";
import { type DiskSource, parseBase } from "../../lib/image/sources.ts";
import { FileServer } from "../support/file_server.ts";
import {
  failure,
  makeArchive,
  makeDisk,
  sh,
  sha512,
  sourceOf,
  TestCache,
} from "./image_sources_support.ts";

const HEX = "ab".repeat(64);
const NO_PIN = () => Promise.resolve(undefined);

/** The source of a file. */
async function fileSource(path: string): Promise<DiskSource> {
  const source = await parseBase(path);
  if (source.kind === "debian") throw new Error("no file");
  return source;
}

Deno.test("names, addresses and files", async () => {
  strictEqual((await parseBase("debian")).kind, "debian");
  const pin = NOCLOUD[Deno.build.arch === "aarch64" ? "arm64" : "amd64"];
  const nocloud = await parseBase("nocloud", NO_PIN);
  ok(nocloud.kind === "download" && nocloud.url === pin.url && nocloud.bytes === pin.bytes);
  strictEqual(nocloud.id, `nocloud-${pin.digest.hex.slice(0, 8)}`);
  const url = await parseBase(`https://host.example/a/disk.qcow2?x#sha512=${HEX.toUpperCase()}`);
  ok(url.kind === "download" && url.url === "https://host.example/a/disk.qcow2?x");
  strictEqual(url.digest.hex, HEX);
  strictEqual(url.digest.algorithm, "sha512");
});

Deno.test("a newer nocloud disk is named by address and digest", async () => {
  const newer = `https://host.example/new.tar.xz#sha512=${HEX}`;
  const source = await parseBase("nocloud", () => Promise.resolve(newer));
  ok(source.kind === "download" && source.url === "https://host.example/new.tar.xz");
  strictEqual(source.bytes, null);
  await rejects(
    parseBase("nocloud", () => Promise.resolve("https://host.example/new.tar.xz")),
    failure("BASE_INVALID", /digest/),
  );
});

Deno.test("pins are complete", () => {
  for (const [architecture, { url, bytes, digest }] of Object.entries(NOCLOUD)) {
    ok(url.startsWith("https://") && url.includes(`-${architecture}-`), url);
    ok(bytes! > 1e8 && digest.algorithm === "sha512");
    ok(/^[0-9a-f]{128}$/.test(digest.hex));
  }
});

Deno.test("what is no base", async () => {
  const invalid: [text: string, why: RegExp][] = [
    ["https://host.example/disk.raw", /does not say what its digest is[^]*sha512=HEX/],
    ["https://host.example/disk.raw#sha512=abc", /digest/],
    [`https://host.example/disk.raw#sha256=${HEX}`, /digest/],
    [`ftp://host.example/disk.raw#sha512=${HEX}`, /no web address/],
    [`file:///etc/passwd#sha512=${HEX}`, /no web address/],
    ["./no-such-file", /there is no file[^]*debian, nocloud/],
    ["trixie", /there is no file/],
    ["/tmp", /no regular file/],
    ["/dev/null", /no regular file/],
  ];
  for (const [text, why] of invalid) {
    await rejects(parseBase(text, NO_PIN), failure("BASE_INVALID", why), text);
  }
});

Deno.test("files are what their content says, whatever they are called", async () => {
  await using cache = await TestCache.create();
  const { dir } = cache;
  const disk = await makeDisk(`${dir}/raw.qcow2`);
  const archive = await sh(`cd "$1" && tar --create --sparse raw.qcow2 | xz -0`, dir);
  await Deno.writeFile(`${dir}/archive.raw`, archive);
  await sh(`cd "$1" && qemu-img convert -q -f raw -O qcow2 -c raw.qcow2 qcow2.raw`, dir);
  await sh(`cd "$1" && tar --create qcow2.raw | xz -0 > qcow2.tar.xz`, dir);
  for (const name of ["raw.qcow2", "archive.raw", "qcow2.raw", "qcow2.tar.xz"]) {
    const made = await cache.ensure(await fileSource(`${dir}/${name}`));
    strictEqual(sha512(await Deno.readFile(made.disk)), sha512(disk), name);
    strictEqual(made.bytes, disk.length);
    strictEqual(made.digest, null);
    const { blocks } = await Deno.stat(made.disk);
    ok(blocks! * 512 < 1 << 20, `${name}: ${blocks} blocks`);
    strictEqual([...Deno.readDirSync(cache.work)].length, 1, name);
  }
  strictEqual(sha512(await Deno.readFile(`${dir}/raw.qcow2`)), sha512(disk));
});

Deno.test("an address can lead to a disk that is not compressed", async () => {
  await using cache = await TestCache.create();
  const disk = await makeDisk(`${cache.dir}/disk.raw`);
  await sh(`cd "$1" && qemu-img convert -q -f raw -O qcow2 disk.raw disk.qcow2`, cache.dir);
  for (const name of ["disk.raw", "disk.qcow2"]) {
    const content = await Deno.readFile(`${cache.dir}/${name}`);
    await using server = new FileServer(content);
    server.answers.push(server.breakAfter(100_000));
    const made = await cache.ensure(sourceOf(server, content, { name }));
    strictEqual(sha512(await Deno.readFile(made.disk)), sha512(disk), name);
  }
});

Deno.test("a file's id is another one as soon as the file changes", async () => {
  await using cache = await TestCache.create();
  const path = `${cache.dir}/My Disk.raw`;
  await makeDisk(path);
  const { id } = await fileSource(path);
  ok(/^file-my-disk-[0-9a-f]{8}$/.test(id), id);
  strictEqual((await fileSource(path)).id, id);
  await Deno.utime(path, new Date(), new Date(0));
  ok((await fileSource(path)).id !== id);
});

Deno.test("a qcow2 file that reads other files of the host is refused", async () => {
  await using cache = await TestCache.create();
  const { dir } = cache;
  await makeDisk(`${dir}/secret.raw`);
  const make: [script: string, why: RegExp][] = [
    ["qemu-img create -q -f qcow2 -F raw -b $PWD/secret.raw evil.qcow2", /stands on another file/],
    ["qemu-img create -q -f qcow2 -o data_file=$PWD/secret.raw evil.qcow2 8M", /in another file/],
    [
      "qemu-img create -q -f qcow2 evil.qcow2 8M; " +
      "printf '\\2' | dd of=evil.qcow2 bs=1 seek=35 conv=notrunc status=none",
      /encrypted/,
    ],
    ["qemu-img create -q -f qcow2 evil.qcow2 3T", /over 2 TiB/],
    ["printf 'QFI\\373\\0\\0\\0\\3' > evil.qcow2", /cut off/],
    ["printf 'QFI\\373\\0\\0\\0\\7%0200d' 0 > evil.qcow2", /unknown version/],
  ];
  for (const [script, why] of make) {
    await sh(`cd "$1" && ${script}`, dir);
    const source = await fileSource(`${dir}/evil.qcow2`);
    await rejects(cache.ensure(source), failure("DISK_REFUSED", why), script);
    await Deno.remove(`${dir}/evil.qcow2`);
  }
});

Deno.test("what is no disk at all is refused", async () => {
  await using cache = await TestCache.create();
  const files: [content: string, why: RegExp][] = [
    ["", /neither a partition table nor a file system/],
    ["<!doctype html>".padEnd(1024), /neither a partition table nor a file system/],
    ["\x1f\x8b".padEnd(1024), /gzip/],
    ["KDMV".padEnd(1024), /vmdk/],
  ];
  for (const [content, why] of files) {
    await Deno.writeFile(`${cache.dir}/x`, Uint8Array.from(content, (c) => c.charCodeAt(0)));
    const source = await fileSource(`${cache.dir}/x`);
    await rejects(cache.ensure(source), failure("DISK_REFUSED", why), content.trim());
  }
});

Deno.test("a file that changes while it is read is not used", async () => {
  await using cache = await TestCache.create();
  const { archive } = await makeArchive();
  const path = `${cache.dir}/disk.tar.xz`;
  await Deno.writeFile(path, archive);
  const source = await fileSource(path);
  let told = 0;
  const progress = {
    // The first thing that happens is that the file is looked at.
    step: () => told++ === 0 && Deno.utimeSync(path, 0, 0),
    detail() {},
    done() {},
  };
  await rejects(cache.ensure(source, { progress }), failure("DISK_REFUSED", /changed while/));
});
