/** Downloads from a server that behaves, and from one that does not. */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { networkReason, redirectTarget, requestRange } from "../../lib/image/http.ts";
import type { DiskSource, SourceDisk } from "../../lib/image/sources.ts";
import { FileServer } from "../support/file_server.ts";
import { failure, makeArchive, sha512, sourceOf, TestCache } from "./image_sources_support.ts";

/** A cache, a server with an archive, and the source that names it. */
async function setUp() {
  const cache = await TestCache.create();
  const { disk, archive } = await makeArchive();
  const server = new FileServer(archive);
  return {
    cache,
    disk,
    archive,
    server,
    source: sourceOf(server, archive, { bytes: archive.length }),
    /** What was asked of the server: Range and If-Range. */
    asked: () => server.requests.map(({ range, ifRange }) => [range, ifRange]),
    /** Where the download is. */
    path: `${cache.dir}/downloads/${sha512(archive).slice(0, 16)}-disk.tar.xz`,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await cache[Symbol.asyncDispose]();
    },
  };
}

async function isDisk(made: SourceDisk, disk: Uint8Array): Promise<void> {
  // Not deepStrictEqual: its report of a difference takes minutes.
  strictEqual(sha512(await Deno.readFile(made.disk)), sha512(disk));
  strictEqual(made.bytes, disk.length);
  const { blocks } = await Deno.stat(made.disk);
  ok(blocks! * 512 < 1 << 20, `${blocks} blocks: the holes are gone`);
}

Deno.test("a disk is downloaded, verified and unpacked with its holes", async () => {
  await using t = await setUp();
  const made = await t.cache.ensure(t.source);
  await isDisk(made, t.disk);
  strictEqual(made.digest, `sha512:${sha512(t.archive)}`);
  strictEqual(made.origin, t.server.url());
  deepStrictEqual(t.cache.downloads(), [t.path.split("/").at(-1)]);
  // Once more, without the server's help.
  await isDisk(await t.cache.ensure(t.source), t.disk);
  strictEqual(t.server.requests.length, 1);
});

Deno.test("a download that breaks off goes on where it was", async () => {
  await using t = await setUp();
  t.server.answers.push(t.server.breakAfter(100_000), t.server.breakAfter(150_000));
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.asked(), [
    [null, null],
    ["bytes=100000-", '"1"'],
    ["bytes=250000-", '"1"'],
  ]);
});

Deno.test("the next run goes on, too", async () => {
  await using t = await setUp();
  for (let i = 0; i < 3; i++) t.server.answers.push(t.server.breakAfter(i === 0 ? 100_000 : 0));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /broke off[^]*is kept/));
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.asked().at(-1), ["bytes=100000-", '"1"']);
  strictEqual(t.cache.downloads().length, 1);
});

Deno.test("a server that falls silent is asked again", async () => {
  await using t = await setUp();
  t.server.answers.push(t.server.stallAfter(100_000));
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.asked().at(-1), ["bytes=100000-", '"1"']);
});

Deno.test("a server that always falls silent is given up", async () => {
  await using t = await setUp();
  for (let i = 0; i < 3; i++) t.server.answers.push(t.server.stallAfter(0));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /says nothing for/));
  strictEqual(t.server.requests.length, 3);
});

Deno.test("a server that knows no ranges: from the beginning", async () => {
  await using t = await setUp();
  t.server.answers.push(t.server.breakAfter(100_000), t.server.ignoreRange());
  await isDisk(await t.cache.ensure(t.source), t.disk);
});

Deno.test("tries are bounded even if each one brings the same again", async () => {
  await using t = await setUp();
  for (let i = 0; i < 10; i++) t.server.answers.push(t.server.ignoreRange(200_000));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /broke off/));
  ok(t.server.requests.length <= 4, `${t.server.requests.length} requests`);
});

Deno.test("a server that sends another part than was asked for is not believed", async () => {
  await using t = await setUp();
  const { content } = t.server;
  const wrong = t.server.raw(
    `206 Partial Content\r\nContent-Range: bytes 5-${content.length - 1}/${content.length}`,
    content.subarray(5),
  );
  t.server.answers.push(t.server.breakAfter(100_000), wrong);
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.asked().at(-1), ["bytes=100000-", '"1"']);
});

Deno.test("a file that changed since is downloaded from the beginning", async () => {
  await using t = await setUp();
  const old = new Uint8Array(t.archive.length).fill(7);
  t.server.content = old;
  for (let i = 0; i < 3; i++) t.server.answers.push(t.server.breakAfter(i === 0 ? 100_000 : 0));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /./));
  t.server.content = t.archive;
  t.server.etag = '"2"';
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.asked().at(-1), ["bytes=100000-", '"1"']);
});

Deno.test("a changed file that nothing tells apart is noticed by its digest", async () => {
  await using t = await setUp();
  await Deno.mkdir(`${t.cache.dir}/downloads`);
  // As a crash may leave it: the length is right, the content is not.
  await Deno.writeFile(`${t.path}.partial`, new Uint8Array(100_000));
  t.server.etag = null;
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.asked(), [["bytes=100000-", null], [null, null]]);
});

Deno.test("what is there is longer than the file: from the beginning", async () => {
  await using t = await setUp();
  await Deno.mkdir(`${t.cache.dir}/downloads`);
  await Deno.writeFile(`${t.path}.partial`, new Uint8Array(t.archive.length + 1));
  await isDisk(await t.cache.ensure(sourceOf(t.server, t.archive)), t.disk);
  deepStrictEqual(t.asked(), [[`bytes=${t.archive.length + 1}-`, null], [null, null]]);
});

Deno.test("a wrong digest: set aside, never used, both digests told", async () => {
  await using t = await setUp();
  t.server.content = t.archive.slice();
  t.server.content[t.archive.length >> 1] ^= 1;
  await rejects(
    t.cache.ensure(t.source),
    failure(
      "DOWNLOAD_WRONG_DIGEST",
      new RegExp(`expected: ${sha512(t.archive)}\n.*received: ${sha512(t.server.content)}\n`),
    ),
  );
  deepStrictEqual(t.cache.downloads(), [`${t.path.split("/").at(-1)}.rejected`]);
  t.server.content = t.archive;
  await isDisk(await t.cache.ensure(t.source), t.disk);
  strictEqual(t.asked().at(-1)![0], null);
});

Deno.test("a verified download that went bad is replaced", async () => {
  await using t = await setUp();
  await t.cache.ensure(t.source);
  await Deno.writeFile(t.path, t.archive.toReversed());
  await isDisk(await t.cache.ensure(t.source), t.disk);
  strictEqual(t.server.requests.length, 2);
});

Deno.test("sizes: another one than announced, less and more than promised", async () => {
  await using t = await setUp();
  const { archive, server } = t;
  const bytes = archive.length + 5;
  await rejects(
    t.cache.ensure(sourceOf(server, archive, { bytes })),
    failure("DOWNLOAD_FAILED", new RegExp(`has ${archive.length} bytes, not ${bytes}`)),
  );
  strictEqual(server.requests.length, 1);
  // Without Content-Length the end of the connection is the end of the file.
  server.answers.push(server.raw("200 OK", archive.subarray(0, 1000)));
  await isDisk(await t.cache.ensure(t.source), t.disk);
  strictEqual(server.requests.length, 3);
});

Deno.test("a server that sends without end is stopped", async () => {
  await using t = await setUp();
  const endless = new Uint8Array(t.archive.length + 1);
  t.server.answers.push(t.server.raw("200 OK", endless));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /sends more than \d+ bytes/));
});

Deno.test("a web page with status 200 is no disk", async () => {
  await using t = await setUp();
  const page = t.server.raw("200 OK\r\nContent-Type: text/html", "<h1>Log in</h1>");
  t.server.answers.push(page);
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /a web page instead/));
  strictEqual(t.server.requests.length, 1);
});

Deno.test("an encoded answer is not taken", async () => {
  await using t = await setUp();
  t.server.answers.push(t.server.raw("200 OK\r\nContent-Encoding: br", "x"));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /encodes the file/));
});

Deno.test("404 is final, 503 is not", async () => {
  await using t = await setUp();
  t.server.answers.push(t.server.raw("404 Not Found"));
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /answers 404 Not Found/));
  strictEqual(t.server.requests.length, 1);
  t.server.answers.push(t.server.raw("503 Service Unavailable"));
  await isDisk(await t.cache.ensure(t.source), t.disk);
});

Deno.test("no network: the error says what works without", async () => {
  await using t = await setUp();
  let url: string;
  {
    await using gone = new FileServer(t.archive);
    url = gone.url();
  }
  await rejects(
    t.cache.ensure({ ...t.source, url } as DiskSource),
    failure("DOWNLOAD_FAILED", /refused[^]*--base FILE[^]*--base debian/i),
  );
});

Deno.test("redirects are followed, to other servers too, but not without end", async () => {
  await using t = await setUp();
  await using other = new FileServer(t.archive);
  const to = (url: string) => t.server.raw(`302 Found\r\nLocation: ${url}\r\nContent-Length: 0`);
  t.server.answers.push(to("/moved.tar.xz"), to(other.url("elsewhere")));
  await isDisk(await t.cache.ensure(t.source), t.disk);
  deepStrictEqual(t.server.requests.map(({ path }) => path), ["/disk.tar.xz", "/moved.tar.xz"]);
  deepStrictEqual(other.requests.map(({ path }) => path), ["/elsewhere"]);
  for (let i = 0; i < 20; i++) t.server.answers.push(to("/again"));
  await Deno.remove(t.path);
  await rejects(t.cache.ensure(t.source), failure("DOWNLOAD_FAILED", /redirects without end/));
});

Deno.test("a redirect leads to a web address that is as safe", () => {
  const from = new URL("https://a.example/x");
  strictEqual(redirectTarget(from, "//b.example/y").href, "https://b.example/y");
  strictEqual(redirectTarget(new URL("http://a.example"), "https://b.example/").protocol, "https:");
  throws(() => redirectTarget(from, "http://a.example/x"), /not encrypted/);
  throws(() => redirectTarget(from, "file:///etc/passwd"), /no web address/);
  throws(() => redirectTarget(from, "http://[/"), /no web address/);
});

Deno.test("two at once: one downloads, both have the disk", async () => {
  await using t = await setUp();
  const work = `${t.cache.dir}/work2`;
  await Deno.mkdir(work);
  const [one, two] = await Promise.all([
    t.cache.ensure(t.source),
    t.cache.ensure(t.source, { dir: work }),
  ]);
  await isDisk(one, t.disk);
  await isDisk(two, t.disk);
  strictEqual(t.server.requests.length, 1);
  strictEqual(t.cache.downloads().length, 1);
});

Deno.test("Ctrl-C ends a download, and what came is kept", async () => {
  await using t = await setUp();
  const controller = new AbortController();
  t.server.answers.push(async (request, connection) => {
    await t.server.breakAfter(100_000)(request, connection);
    setTimeout(() => controller.abort(), 50);
    await connection.read(new Uint8Array(1));
  });
  const { signal } = controller;
  await rejects(t.cache.ensure(t.source, { signal }), failure("INTERRUPTED", /interrupted/));
  await isDisk(await t.cache.ensure(t.source), t.disk);
  strictEqual(t.asked().at(-1)![0], "bytes=100000-");
});

Deno.test("a wrong clock is thought of where a certificate is from another time", () => {
  const says = (what: string) =>
    networkReason(
      new TypeError("fetch failed", {
        cause: new Error(`client error (Connect): invalid peer certificate: ${what}`),
      }),
    );
  const today = new Date().toISOString().slice(0, 10);
  for (const what of ["Expired", "NotValidYet"]) {
    strictEqual(
      says(what),
      `its certificate is not valid on ${today}; is this machine's clock right?`,
    );
  }
  strictEqual(says("UnknownIssuer").includes("clock"), false);
});

Deno.test("what nobody went on with is removed after a day, or if it is of the future", async () => {
  await using t = await setUp();
  const dir = `${t.cache.dir}/downloads`;
  await Deno.mkdir(dir);
  const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);
  const nextYear = new Date(Date.now() + 365 * 24 * 60 * 60 * 1000);
  for (
    const name of ["a.partial", "a.partial.json", "b.rejected", "whole", "c.partial", "d.partial"]
  ) {
    const mtime = { "c.partial": new Date(), "d.partial": nextYear }[name] ?? yesterday;
    await Deno.writeTextFile(`${dir}/${name}`, "");
    await Deno.utime(`${dir}/${name}`, mtime, mtime);
  }
  await t.cache.ensure(t.source);
  deepStrictEqual(t.cache.downloads(), [t.path.split("/").at(-1), "c.partial", "whole"].sort());
});

Deno.test("a weak ETag is no condition for a range", async () => {
  await using server = new FileServer(new Uint8Array(10));
  server.etag = null;
  const validators = { etag: 'W/"1"', lastModified: "Mon, 12 Jan 2026 23:55:00 GMT" };
  const request = { url: server.url(), from: 5, validators, stallMs: 5000 };
  await (await requestRange(request)).close();
  strictEqual(server.requests[0].ifRange, validators.lastModified);
});
