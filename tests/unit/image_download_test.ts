/** Downloads from a server that behaves, and from one that does not. */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { FileServer } from "../support/file_server.ts";
import { failure, makeArchive, sourceOf, TestCache } from "./image_sources_support.ts";

async function setUp() {
  const cache = await TestCache.create();
  const { disk, archive } = await makeArchive(cache.dir);
  const server = new FileServer(archive);
  return { cache, disk, archive, server, source: sourceOf(server, archive) };
}

async function isDisk(path: string, disk: Uint8Array): Promise<void> {
  deepStrictEqual(await Deno.readFile(path), disk);
  const { blocks } = await Deno.stat(path);
  ok(blocks! * 512 < 1 << 20, `${blocks} blocks: not sparse`);
}

Deno.test("a disk is downloaded, verified and unpacked with its holes", async () => {
  const { cache, server, disk, source } = await setUp();
  await using _cache = cache;
  await using _server = server;
  const made = await cache.ensure(source);
  await isDisk(made.disk, disk);
  strictEqual(made.bytes, disk.length);
  strictEqual(cache.downloads().length, 1);
  // Once more, without the server's help.
  await cache.ensure(source);
  strictEqual(server.requests.length, 1);
});

Deno.test("a download that breaks off goes on where it was", async () => {
  const { cache, server, disk, source, archive } = await setUp();
  await using _cache = cache;
  await using _server = server;
  server.answers.push(server.breakAfter(100_000), server.breakAfter(150_000));
  await isDisk((await cache.ensure(source)).disk, disk);
  deepStrictEqual(server.requests.map(({ range, ifRange }) => [range, ifRange]), [
    [null, null],
    ["bytes=100000-", '"1"'],
    ["bytes=250000-", '"1"'],
  ]);
  ok(archive.length > 250_000);
});

Deno.test("a wrong digest: set aside, never used, and both digests are told", async () => {
  const { cache, server, source, archive } = await setUp();
  await using _cache = cache;
  await using _server = server;
  server.content = archive.slice();
  server.content[archive.length >> 1] ^= 1;
  await rejects(
    cache.ensure(source),
    failure("DOWNLOAD_WRONG_DIGEST", /expected: [0-9a-f]{128}\n.*received: [0-9a-f]{128}\n/),
  );
  ok(cache.downloads()[0].endsWith(".rejected"));
  strictEqual(cache.downloads().length, 1);
});
