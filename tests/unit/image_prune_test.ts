/** Listing, removing and pruning images; damaged files, a wrong clock, a read-only cache. */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import type { VibeError } from "../../lib/errors.ts";
import { lockBases, readBase } from "../../lib/image/base.ts";
import { findImage, forgetImage, nameImage } from "../../lib/image/catalog.ts";
import { describeImage, listImages } from "../../lib/image/inventory.ts";
import { findGarbage, type PruneOptions, removeGarbage } from "../../lib/image/prune.ts";
import { removeImage } from "../../lib/image/remove.ts";
import { FileLock } from "../../lib/lock.ts";
import { run } from "../../lib/process.ts";
import { silentProgress } from "../../lib/progress.ts";
import { MAIN } from "../support/vibe.ts";
import { DISK_BYTES, fakeBase, fakeVm, inPlaces, namesIn } from "./image_support.ts";

const DAY = 24 * 60 * 60 * 1000;

async function named(cache: string, name: string, id: string): Promise<void> {
  await fakeBase(cache, id);
  await nameImage(name, (await readBase(id))!);
}

/** Prunes; the names of what was removed. */
async function prune(options: PruneOptions = {}): Promise<string[]> {
  const removed = await removeGarbage(await findGarbage(options), options, silentProgress);
  return removed.map(({ path }) => path.split("/").at(-1)!).sort();
}

/** Changes what a base says of itself. */
async function changeInfo(cache: string, id: string, info: object): Promise<void> {
  const path = `${cache}/bases/${id}/image.json`;
  const before = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...before, ...info }));
}

/** A file whose last change was `days` ago. */
async function agedFile(path: string, days: number): Promise<void> {
  await Deno.mkdir(path.replace(/\/[^/]+$/, ""), { recursive: true });
  await Deno.writeTextFile(path, "x");
  const then = new Date(Date.now() - days * DAY);
  await Deno.utime(path, then, then);
}

Deno.test("images are listed with their sizes and users, damaged ones too", () =>
  inPlaces(async ({ root, cache }) => {
    deepStrictEqual(await listImages(), []);
    await named(cache, "default", "one");
    await fakeBase(cache, "old");
    const vm = await fakeVm(`${root}/p`, "old");
    await Deno.writeTextFile(`${cache}/images/broken.json`, '{"base": "../../etc"}');
    await Deno.writeTextFile(`${cache}/images/gone.json`, '{"base": "nothing"}');
    const images = await listImages();
    deepStrictEqual(images.map(({ name, base, problem }) => [name, base, problem]), [
      ["broken", null, "damaged"],
      ["default", "one", null],
      ["gone", "nothing", "gone"],
      [null, "old", null],
    ]);
    const [, { sizeBytes, realBytes, created, source }, , { usedBy }] = images;
    deepStrictEqual([sizeBytes, created, source], [
      DISK_BYTES,
      "2026-01-02T03:04:05.000Z",
      "debian",
    ]);
    ok(realBytes > 8192 && realBytes < 1 << 20, `${realBytes}`);
    deepStrictEqual(usedBy, [{ instance: vm, state: "there" }]);
    strictEqual((await describeImage("default")).details?.info.kernelRelease, "6.12");
    await rejects(describeImage("nope"), { code: "IMAGE_UNKNOWN" });

    // One whose image.json was cut off, or names a file elsewhere.
    for (const text of ['{"version": 1', '{"version":1,"id":"one","kernel":"../../vmlinuz"}']) {
      await Deno.writeTextFile(`${cache}/bases/one/image.json`, text);
      strictEqual((await listImages())[1].problem, "damaged");
      await rejects(findImage("default"), { code: "IMAGE_DAMAGED" });
    }
    strictEqual(await removeImage("broken", silentProgress), 0);
  }));

Deno.test("an image that VMs are made of is not removed, and it is said which", () =>
  inPlaces(async ({ root, cache }) => {
    await named(cache, "work", "one");
    await fakeVm(`${root}/a`, "one");
    await fakeVm(`${root}/b`, "one");
    await rejects(removeImage("work", silentProgress), (error: VibeError) => {
      strictEqual(error.code, "IMAGE_IN_USE");
      ok(error.message.endsWith(`2 VMs are made from it: "${root}/a", "${root}/b"`));
      match(error.hint!, /`vibe rm`/);
      return true;
    });
    ok(await findImage("work"));
    // Another name for the same base: only the name goes.
    await nameImage("alias", (await readBase("one"))!);
    strictEqual(await removeImage("alias", silentProgress), 0);
    for (const name of ["a", "b"]) await Deno.remove(`${root}/${name}`, { recursive: true });
    ok(await removeImage("work", silentProgress) > 8192);
    deepStrictEqual(await namesIn(`${cache}/bases`), ["use.lock"]);
    deepStrictEqual(await namesIn(`${cache}/users`), []);
    await rejects(removeImage("work", silentProgress), { code: "IMAGE_UNKNOWN" });
  }));

Deno.test("prune takes bases that no name and no VM needs, and nothing else", () =>
  inPlaces(async ({ root, cache }) => {
    await named(cache, "default", "named");
    for (const id of ["unused", "used", "unplugged"]) await fakeBase(cache, id);
    await fakeVm(`${root}/p`, "used");
    const away = await fakeVm(`${root}/usb/p`, "unplugged");
    await Deno.remove(`${cache}/users/unplugged/${away.id}.lock`);
    await Deno.rename(`${root}/usb`, `${root}/drawer`);

    const { garbage, kept } = await findGarbage();
    deepStrictEqual(garbage.map(({ kind, path }) => [kind, path]), [
      ["base", `${cache}/bases/unused`],
    ]);
    ok(garbage[0].bytes > 8192);
    deepStrictEqual(kept.map(({ id, users }) => [id, users[0].state]), [
      ["unplugged", "missing"],
      ["used", "there"],
    ]);
    deepStrictEqual(await prune(), ["unused"]);
    deepStrictEqual(await prune(), []);
    deepStrictEqual(await prune({ missing: true }), ["unplugged"]);
    deepStrictEqual(await namesIn(`${cache}/bases`), ["named", "use.lock", "used"]);
  }));

Deno.test("prune keeps what a build is about to name, and what a damaged name may have meant", () =>
  inPlaces(async ({ cache }) => {
    await named(cache, "default", "named");
    await fakeBase(cache, "new");
    {
      using _building = await FileLock.take(`${cache}/images/work.lock`);
      deepStrictEqual(await prune(), []);
    }
    await Deno.writeTextFile(`${cache}/images/default.json`, "");
    deepStrictEqual(await prune(), []);
    await forgetImage("default");
    deepStrictEqual(await prune(), ["named", "new"]);
  }));

Deno.test("a base that comes into use between looking and removing stays", () =>
  inPlaces(async ({ root, cache }) => {
    for (const id of ["one", "two", "three"]) await fakeBase(cache, id);
    const findings = await findGarbage();
    await fakeVm(`${root}/p`, "one");
    await nameImage("work", (await readBase("two"))!);
    const removed = await removeGarbage(findings, {}, silentProgress);
    deepStrictEqual(removed.map(({ path }) => path), [`${cache}/bases/three`]);
    deepStrictEqual(await namesIn(`${cache}/bases`), ["one", "two", "use.lock"]);
  }));

Deno.test("prune takes what was left behind, by age, also with a clock that was wrong", () =>
  inPlaces(async ({ root, cache }) => {
    await named(cache, "default", "named");
    const other = "f".repeat(64);
    const old = [
      "logs/build-1.log",
      "downloads/0123456789abcdef-disk.tar.xz",
      "downloads/fedcba9876543210-disk.tar.xz.partial",
      "images/default.json.17.partial",
      `agent/${other}/vibe-agent`,
      "agent/x.partial/source",
      "initrd/named-ffffffffffffffff-1.cpio",
      "bases/dead.partial/disk.raw",
    ];
    for (const path of old) await agedFile(`${cache}/${path}`, 40);
    await agedFile(`${cache}/logs/future.log`, -400);
    await agedFile(`${root}/runtime/0123456789ab/vibe.sock`, 40);
    const then = new Date(Date.now() - 40 * DAY);
    await Deno.utime(`${root}/runtime/0123456789ab`, then, then);
    await Deno.utime(`${cache}/agent/x.partial`, then, then);
    await agedFile(`${cache}/builds/given-up/state.json`, 40);
    await agedFile(`${cache}/builds/new/state.json`, 0);
    await Deno.utime(`${cache}/builds/given-up`, then, then);
    const young = ["logs/new.log", "downloads/0-disk.partial", "images/x.json.18.partial"];
    for (const path of [...young, "somebody/else"]) await agedFile(`${cache}/${path}`, 0);
    await agedFile(`${cache}/bases/alive.partial/disk.raw`, 40);
    using _builder = await FileLock.take(`${cache}/bases/alive.partial/lock`);

    const removed = await prune();
    deepStrictEqual(
      removed,
      [
        "0123456789ab",
        "build-1.log",
        "dead.partial",
        "default.json.17.partial",
        "0123456789abcdef-disk.tar.xz",
        "fedcba9876543210-disk.tar.xz.partial",
        other,
        "future.log",
        "given-up",
        "named-ffffffffffffffff-1.cpio",
        "x.partial",
      ].sort(),
    );
    deepStrictEqual(await namesIn(`${cache}/downloads`), ["0-disk.partial"]);
    deepStrictEqual(await namesIn(`${cache}/bases`), ["alive.partial", "named", "use.lock"]);
    deepStrictEqual(await namesIn(`${cache}/somebody`), ["else"]);
  }));

Deno.test("two at once: prune waits while a base comes into use", () =>
  inPlaces(async ({ cache }) => {
    await fakeBase(cache, "one");
    const lock = await lockBases();
    const pruned = Promise.all([prune(), prune()]);
    lock[Symbol.dispose]();
    const [first, second] = await pruned;
    deepStrictEqual([...first, ...second], ["one"]);
  }));

Deno.test("the commands: JSON for programs, a table for people, errors that say what to do", () =>
  inPlaces(async ({ root, cache }) => {
    await named(cache, "default", "one");
    await fakeBase(cache, "two");
    await fakeVm(`${root}/p`, "one");
    const vibe = (...args: string[]) =>
      run([Deno.execPath(), "run", "--allow-all", MAIN, ...args], { env: { NO_COLOR: "1" } });
    const list = await vibe("image", "ls");
    match(list.stdout, /^default +debian +0\.1 GiB +0\.0 GB +2026-01-02 03:04 +\/.*\/p$/m);
    match(list.stdout, /^\(replaced\) +debian/m);
    const [image] = JSON.parse((await vibe("image", "ls", "--json")).stdout);
    deepStrictEqual([image.name, image.usedBy[0].title], ["default", `${root}/p`]);
    strictEqual(JSON.parse((await vibe("image", "show", "--json")).stdout).info.kernel, "vmlinux");
    const [installed, missing] = [{ node: "20.1" }, { uv: "no\x1b[2J" }];
    await changeInfo(cache, "one", {
      inherited: "nonsense",
      layers: [null, { name: "tools", installed, missing }],
    });
    const shown = (await vibe("image", "show")).stdout;
    match(shown, /^Used by {4}\/.*\/p$/m);
    match(shown, /^Layers .*tools\nInstalled +node 20\.1\nMissing +uv: no\\x1b\[2J$/m);
    const refused = await vibe("image", "rm", "default");
    strictEqual(refused.code, 125);
    match(refused.stderr, /^vibe: Cannot remove the image "default": a VM is made from it: "\//);
    const dry = JSON.parse((await vibe("prune", "--dry-run", "--json")).stdout);
    deepStrictEqual([dry.dryRun, dry.removed[0].path], [true, `${cache}/bases/two`]);
    match((await vibe("prune")).stdout, /^base {2}.*\/bases\/two\nFreed 0\.\d MB\.\n$/m);
    const script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"';
    const words = [Deno.execPath(), "run", "--allow-all", MAIN, "image", "resize", "default", "2"];
    const ro = await run(["unshare", "-Urm", "sh", "-c", script, "sh", cache, ...words]);
    deepStrictEqual([ro.code, ro.stdout], [125, ""]);
    match(ro.stderr, /^vibe: Cannot write in ".*\/images": .*\nLet VIBE_CACHE name/);
  }));
