/** A base disk in the making is killed, finds no room, or meets another one: real processes. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { FileServer } from "../support/file_server.ts";
import { makeArchive, sha512, TestCache } from "../unit/image_sources_support.ts";

const PROGRAM = fileURLToPath(import.meta.resolve("../support/make_source_disk.ts"));

/** The words that make the disk that a server serves. */
function words(server: FileServer, dir: string): string[] {
  const base = `${server.url()}#sha512=${sha512(server.content)}`;
  return [Deno.execPath(), "run", "--allow-all", PROGRAM, base, dir];
}

function spawn(argv: string[], cache: string): Deno.ChildProcess {
  return new Deno.Command(argv[0], {
    args: argv.slice(1),
    env: { VIBE_CACHE: cache },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** The end of a program: its exit code, and what it complained about. */
async function ended(child: Deno.ChildProcess): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await child.output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test("kill -9 at ten random moments of a download, then once more", async () => {
  await using cache = await TestCache.create();
  const { disk, archive } = await makeArchive(5_000_000);
  await using server = new FileServer(archive);
  const moments = Array.from({ length: 10 }, () => Math.random() * archive.length).sort((a, b) =>
    a - b
  );
  for (const moment of moments) {
    const child = spawn(words(server, cache.work), cache.dir);
    server.answers.push(server.slow(5, (bytes) => {
      if (bytes >= moment) child.kill("SIGKILL");
    }));
    strictEqual((await ended(child)).code, 137);
  }
  const { code, stderr } = await ended(spawn(words(server, cache.work), cache.dir));
  strictEqual(code, 0, stderr);
  strictEqual(sha512(await Deno.readFile(`${cache.work}/disk.raw`)), sha512(disk));
  deepStrictEqual(cache.downloads(), [`${sha512(archive).slice(0, 16)}-disk.tar.xz`]);
  // It went on each time: the last request began where something was already.
  ok(server.requests.at(-1)!.range !== null);
  strictEqual(server.requests.length, 11);
});

Deno.test("two processes at once: one download", async () => {
  await using cache = await TestCache.create();
  const { disk, archive } = await makeArchive(2_000_000);
  await using server = new FileServer(archive);
  server.answers.push(server.slow(20));
  const dirs = [cache.work, `${cache.dir}/other`];
  await Deno.mkdir(dirs[1]);
  const ends = await Promise.all(
    dirs.map((dir) => ended(spawn(words(server, dir), cache.dir))),
  );
  for (const { code, stderr } of ends) strictEqual(code, 0, stderr);
  for (const dir of dirs) {
    strictEqual(sha512(await Deno.readFile(`${dir}/disk.raw`)), sha512(disk));
  }
  strictEqual(server.requests.length, 1);
  strictEqual(cache.downloads().length, 1);
});

/** Runs a script with a file system of its own at `$1`; the program's words follow. */
async function onOwnFileSystem(server: FileServer, script: string) {
  const dir = await Deno.makeTempDir({ prefix: "vibe-download-" });
  try {
    const unshare = ["unshare", Deno.uid() === 0 ? "-m" : "-Urm"];
    const argv = [...unshare, "sh", "-c", script, "sh", dir, ...words(server, `${dir}/work`)];
    return await ended(spawn(argv, dir));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("a full disk is told of, and with room the download goes on", async () => {
  const { archive } = await makeArchive(3_000_000);
  await using server = new FileServer(archive);
  const { code, stderr } = await onOwnFileSystem(
    server,
    `dir=$1; shift
    mount -t tmpfs -o size=2m tmpfs "$dir" && mkdir "$dir/work" || exit
    "$@" && echo it fitted >&2
    mount -o remount,size=64m "$dir" && exec "$@"`,
  );
  match(stderr, /^IMAGE_NO_SPACE: .*no space is left in ".*"\n$/);
  strictEqual(code, 0);
  match(server.requests.at(-1)!.range ?? "", /^bytes=[1-9]/);
});

Deno.test("a cache that is read-only is told of", async () => {
  await using server = new FileServer(new Uint8Array(10));
  const { code, stderr } = await onOwnFileSystem(
    server,
    `dir=$1; shift
    mount -t tmpfs tmpfs "$dir" && mkdir "$dir/work" && mount -o remount,ro "$dir" && exec "$@"`,
  );
  match(stderr, /^CACHE_READ_ONLY: Cannot write in ".*": Read-only file system/);
  strictEqual(code, 125);
  strictEqual(server.requests.length, 0);
});
