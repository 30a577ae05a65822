/** Images that are built anew from what they were built from; without any VM. */

import { deepStrictEqual, match, notStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { readBase } from "../../lib/image/base.ts";
import { ensureImage } from "../../lib/image/build.ts";
import { catalogPath, findImage, nameImage } from "../../lib/image/catalog.ts";
import { NO_SETTINGS } from "../../lib/image/host_settings.ts";
import { buildImage, type ImageOptions } from "../../lib/image/layered.ts";
import {
  type BuildRequest,
  namedRequest,
  parseRequest,
  PLAIN,
  requestLayers,
  requestToKeep,
} from "../../lib/image/request.ts";
import { resetImage } from "../../lib/image/reset.ts";
import { resizeImage } from "../../lib/image/resize.ts";
import { run } from "../../lib/process.ts";
import { silentProgress } from "../../lib/progress.ts";
import { MAIN } from "../support/vibe.ts";
import { fakeBase, inPlaces, namesIn } from "./image_support.ts";

const RELEASE = "6.12.9-test";

const OPTIONS: ImageOptions = {
  yes: true,
  progress: silentProgress,
  builder: "host",
  settings: () => Promise.resolve(NO_SETTINGS),
  timeoutMs: 60_000,
  note() {},
};

/** A disk with as little of a system as an image can be made of. */
async function makeSystemDisk(disk: string, suite: string): Promise<void> {
  const tree = `${disk}.tree`;
  const modules = `${tree}/lib/modules/${RELEASE}`;
  for (const dir of [`${tree}/boot`, `${tree}/etc`, `${tree}/var/lib/dpkg`, modules]) {
    await Deno.mkdir(dir, { recursive: true });
  }
  const text = `ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=${suite}\n`;
  await Deno.writeTextFile(`${tree}/etc/os-release`, text);
  const kernel = new Uint8Array(1 << 20);
  const [at, magic] = Deno.build.arch === "aarch64" ? [0x38, "ARM\x64"] : [0x202, "HdrS"];
  kernel.set(new TextEncoder().encode(magic as string), at as number);
  await Deno.writeFile(`${tree}/boot/vmlinuz-${RELEASE}`, kernel);
  await Deno.writeTextFile(`${modules}/modules.dep`, "");
  await Deno.writeTextFile(`${tree}/var/lib/dpkg/status`, "");
  const { code, stderr } = await run(
    ["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, disk, "16M"],
  );
  strictEqual(code, 0, stderr);
  await Deno.remove(tree, { recursive: true });
}

/** A request with nothing but a base. */
const from = (base: string): BuildRequest => ({ ...PLAIN, base });

Deno.test("an image is built anew from its disk as it is now, and keeps its request", () =>
  inPlaces(async ({ root, cache }) => {
    const disk = `${root}/disk.raw`;
    await makeSystemDisk(disk, "first");
    const { base: first } = await buildImage("work", from(disk), false, OPTIONS);
    deepStrictEqual(await namedRequest("work"), from(disk));
    await buildImage("upon", from("work"), false, OPTIONS);
    strictEqual((await findImage("upon"))!.id, first.id);

    await makeSystemDisk(disk, "second");
    const { base: second } = await resetImage("work", OPTIONS);
    notStrictEqual(second.id, first.id);
    strictEqual((await findImage("work"))!.info.suite, "second");
    strictEqual((await findImage("upon"))!.info.suite, "first");
    await resetImage("upon", OPTIONS);
    strictEqual((await findImage("upon"))!.info.suite, "second");
    deepStrictEqual(await namedRequest("upon"), from("work"));

    // A resized image is still known by what it was made from.
    await resizeImage("work", 21, { progress: silentProgress });
    deepStrictEqual(await namedRequest("work"), from(disk));
    deepStrictEqual(await namesIn(`${cache}/builds`), []);
  }));

Deno.test("what cannot be built anew stays, with an unfinished build of it", () =>
  inPlaces(async ({ root, cache }) => {
    for (const id of ["one", "two"]) await fakeBase(cache, id);
    const base = (await readBase("one"))!;
    await Deno.writeTextFile(`${root}/x.sh`, "true");
    const scripts = [`${root}/x.sh`];
    await nameImage("disk", base, from(`${root}/gone.raw`));
    await nameImage("script", base, { ...PLAIN, scripts });
    await nameImage("later", base, { ...PLAIN, then: [{ ...PLAIN, scripts }] });
    await nameImage("upon", base, from("gone"));
    await nameImage("unknown", base);
    await nameImage("default", (await readBase("two"))!);
    const info = JSON.parse(await Deno.readTextFile(`${cache}/bases/two/image.json`));
    const imported = { sha256: "0", at: "" };
    const text = JSON.stringify({ ...info, imported });
    await Deno.writeTextFile(`${cache}/bases/two/image.json`, text);
    await Deno.remove(`${root}/x.sh`);
    const left = `${cache}/builds/disk/state.json`;
    await Deno.mkdir(`${cache}/builds/disk`, { recursive: true });
    await Deno.writeTextFile(left, "{}");

    const because: [name: string, why: string][] = [
      ["disk", `"${root}/gone.raw", which it was made from, is gone`],
      ["script", `"${root}/x.sh", which it was made from, is gone`],
      ["later", `"${root}/x.sh", which it was made from, is gone`],
      ["upon", 'the image "gone", on which it was built, is gone'],
      ["unknown", "what it was made from is not known"],
      ["default", "it was imported"],
    ];
    for (const [name, why] of because) {
      await rejects(resetImage(name, OPTIONS), {
        code: "IMAGE_RESET",
        message: `Cannot build the image "${name}" anew: ${why}`,
        hint: `It stays as it is. \`vibe image build ${name} …\` lets the name mean another one.`,
      });
      strictEqual((await findImage(name))!.id, name === "default" ? "two" : "one");
    }
    strictEqual(await Deno.readTextFile(left), "{}");
    await rejects(resetImage("nope", OPTIONS), { code: "IMAGE_UNKNOWN" });
    await rejects(resetImage("../x", OPTIONS), { code: "IMAGE_NAME" });
    // A build that goes on does not take a file of that name in some directory for it, either.
    await rejects(buildImage("new", from("gone"), false, OPTIONS), { code: "IMAGE_UNKNOWN" });
  }));

Deno.test("an image whose files are gone or damaged is built anew, by name", () =>
  inPlaces(async ({ root, cache }) => {
    const disk = `${root}/disk.raw`;
    await makeSystemDisk(disk, "first");
    const vibe = (...args: string[]) => run([Deno.execPath(), "run", "-A", MAIN, ...args]);
    const words = ["--base", disk, "--layers", "none", "--yes"];
    strictEqual((await vibe("image", "build", "work", ...words)).code, 0);
    const { base } = JSON.parse(await Deno.readTextFile(catalogPath("work", "json")));
    await Deno.writeTextFile(`${cache}/bases/${base}/image.json`, '{"version": 1');
    match((await vibe("image", "show", "work")).stdout, /^Problem .*: vibe image reset builds/m);
    const reset = await vibe("image", "reset", "work", "--json");
    strictEqual(reset.code, 0, reset.stderr);
    const { base: second } = JSON.parse(reset.stdout);
    notStrictEqual(second, base);
    await Deno.remove(`${cache}/bases/${second}`, { recursive: true });
    await rejects(ensureImage("work", OPTIONS), {
      code: "IMAGE_UNKNOWN",
      message: 'The files of the image "work" are gone',
      hint: "`vibe image reset work` builds it anew.",
    });
    strictEqual((await vibe("image", "reset", "work")).code, 0);
    const shown = JSON.parse((await vibe("image", "show", "work", "--json")).stdout);
    deepStrictEqual([shown.problem, shown.request.base], [null, disk]);
  }));

Deno.test("an image that was built on itself is known by all that was done", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    const base = (await readBase("one"))!;
    for (const name of ["a", "b"]) await Deno.writeTextFile(`${root}/${name}.sh`, name);
    const first: BuildRequest = { ...PLAIN, packages: ["jq"], scripts: [`${root}/a.sh`] };
    await nameImage("work", base, first);
    const choice = { layers: [], agents: [], packages: ["git"], scripts: [`${root}/b.sh`] };
    const again = { ...choice, base: "work" };
    deepStrictEqual(await requestToKeep("work", again, { finished: false }), first);
    const kept = (await requestToKeep("work", again, { finished: true }))!;
    deepStrictEqual(kept, { ...first, then: [choice] });
    await nameImage("work", base, kept);
    deepStrictEqual(await namedRequest("work"), kept);
    // Debian's recipe brings the first packages.
    const layers = await requestLayers(kept);
    deepStrictEqual(layers.map(({ name }) => name), ["a.sh", "packages", "b.sh"]);
    deepStrictEqual(await requestToKeep("other", again, { finished: true }), again);
    await nameImage("work", base);
    strictEqual(await requestToKeep("work", again, { finished: true }), undefined);
  }));

Deno.test("a request that is not what was written is none", () => {
  const good = { ...PLAIN, then: [{ layers: ["tools"], agents: [], packages: [], scripts: [] }] };
  deepStrictEqual(parseRequest(JSON.parse(JSON.stringify(good))), good);
  for (
    const bad of [
      null,
      {},
      { ...PLAIN, base: 1 },
      { ...PLAIN, layers: ["x"] },
      { ...PLAIN, scripts: ["relative.sh"] },
      { ...PLAIN, then: [{}] },
    ]
  ) strictEqual(parseRequest(bad), null, JSON.stringify(bad));
});
