/** Names of images, and the bases behind them. */

import { deepStrictEqual, match, rejects, strictEqual, throws } from "node:assert/strict";
import type { VibeError } from "../../lib/errors.ts";
import { readBase } from "../../lib/image/base.ts";
import { ensureImage } from "../../lib/image/build.ts";
import {
  catalogPath,
  checkImageName,
  findImage,
  imageNames,
  nameImage,
} from "../../lib/image/catalog.ts";
import { requireBase } from "../../lib/image/clone.ts";
import { requireRoom } from "../../lib/image/room.ts";
import { silentProgress } from "../../lib/progress.ts";

async function withCache(test: (cache: string) => Promise<void>): Promise<void> {
  const cache = await Deno.makeTempDir();
  const before = Deno.env.get("VIBE_CACHE");
  Deno.env.set("VIBE_CACHE", cache);
  try {
    await test(cache);
  } finally {
    if (before === undefined) Deno.env.delete("VIBE_CACHE");
    else Deno.env.set("VIBE_CACHE", before);
    await Deno.remove(cache, { recursive: true });
  }
}

async function makeBase(cache: string, id: string): Promise<void> {
  await Deno.mkdir(`${cache}/bases/${id}`, { recursive: true });
  await Deno.mkdir(`${cache}/images`, { recursive: true });
  await Deno.writeTextFile(`${cache}/bases/${id}/disk.raw`, "disk");
  const info = { version: 1, id, kernel: "vmlinux" };
  await Deno.writeTextFile(`${cache}/bases/${id}/image.json`, JSON.stringify(info));
}

Deno.test("a name can mean one base and then another", () =>
  withCache(async (cache) => {
    strictEqual(await findImage("default"), null);
    deepStrictEqual(await imageNames(), []);
    await makeBase(cache, "one");
    await makeBase(cache, "two");
    await nameImage("default", (await readBase("one"))!);
    strictEqual((await findImage("default"))?.kernel, `${cache}/bases/one/vmlinux`);
    await nameImage("default", (await readBase("two"))!);
    strictEqual((await findImage("default"))?.disk, `${cache}/bases/two/disk.raw`);
    await nameImage("other", (await readBase("one"))!);
    deepStrictEqual(await imageNames(), ["default", "other"]);
  }));

Deno.test("a base that was deleted is an image that is not there", () =>
  withCache(async (cache) => {
    await makeBase(cache, "one");
    const base = (await readBase("one"))!;
    await nameImage("default", base);
    await requireBase(base.id, base.disk);
    await Deno.remove(base.dir, { recursive: true });
    strictEqual(await findImage("default"), null);
    await rejects(requireBase(base.id, base.disk), (error: VibeError) => {
      strictEqual(error.code, "BASE_MISSING");
      match(error.message, /"one"/);
      match(error.hint!, /Delete \.vibe\//);
      return true;
    });
  }));

Deno.test("an unknown name lists those there are", () =>
  withCache(async (cache) => {
    await makeBase(cache, "one");
    await nameImage("work", (await readBase("one"))!);
    await rejects(ensureImage("nope", { progress: silentProgress }), {
      code: "IMAGE_UNKNOWN",
      message: 'There is no image "nope"',
      hint: "There is: default, work",
    });
  }));

Deno.test("names that could be paths are refused before any file is looked at", async () => {
  for (const name of ["", "../x", "a/b", ".hidden", "Upper", "-x", "a b", "é", "x".repeat(65)]) {
    throws(() => checkImageName(name), { code: "IMAGE_NAME" }, name);
  }
  await rejects(findImage("../../etc/passwd"), { code: "IMAGE_NAME" });
  for (const name of ["default", "a", "node-22", "my_image.v2"]) checkImageName(name);
  match(catalogPath("default", "lock"), /\/images\/default\.lock$/);
});

Deno.test("room is looked at before anything is built", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await requireRoom(dir, 1);
    await rejects(requireRoom(dir, 1e18), (error: VibeError) => {
      strictEqual(error.code, "IMAGE_NO_SPACE");
      match(error.message, /has \d+\.\d GB free, and it takes 1000000000\.0 GB$/);
      match(error.hint!, /VIBE_CACHE/);
      return true;
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
