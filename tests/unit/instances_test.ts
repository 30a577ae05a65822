/** Which VM is meant, where its state is, and which VMs there are. */

import { deepStrictEqual, match, notStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { openProject } from "../../lib/instance/open.ts";
import { knownInstances, register, unregister } from "../../lib/instance/registry.ts";
import {
  diskInstance,
  type Instance,
  instancePaths,
  namedInstance,
  projectInstance,
} from "../../lib/paths.ts";

async function inTempDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.realPath(await Deno.makeTempDir());
  Deno.env.set("VIBE_DATA", `${dir}/data`);
  try {
    await test(dir);
  } finally {
    Deno.env.delete("VIBE_DATA");
    Deno.env.delete("VIBE_DRIVER");
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("a project's state is in it, but on a Mac outside", () =>
  inTempDir(async (dir) => {
    Deno.env.set("VIBE_DRIVER", "linux");
    const here = await projectInstance("/home/me/p");
    strictEqual(here.dir, "/home/me/p/.vibe");
    match(here.id, /^[0-9a-f]{12}$/);
    Deno.env.set("VIBE_DRIVER", "vz");
    deepStrictEqual(await projectInstance("/home/me/p"), {
      ...here,
      dir: `${dir}/data/projects/${here.id}`,
    });
  }));

Deno.test("kinds of VMs never share an id", async () => {
  const ids = await Promise.all([
    projectInstance("x"),
    namedInstance("x"),
    diskInstance("x"),
  ]);
  strictEqual(new Set(ids.map(({ id }) => id)).size, 3);
});

Deno.test("opening a project makes its state directory once", () =>
  inTempDir(async (dir) => {
    await Deno.mkdir(`${dir}/p`);
    await Deno.symlink(`${dir}/p`, `${dir}/link`);
    const instance = await openProject(`${dir}/link`);
    strictEqual(instance.title, `${dir}/p`);
    strictEqual(await Deno.readTextFile(`${dir}/p/.vibe/.gitignore`), "*\n");
    await Deno.remove(`${dir}/p/.vibe/.gitignore`);
    deepStrictEqual(await openProject(`${dir}/p`), instance);
    await rejects(Deno.stat(`${dir}/p/.vibe/.gitignore`));
    await Deno.writeTextFile(`${dir}/file`, "");
    await rejects(openProject(`${dir}/file`), { code: "PROJECT_READ_ONLY" });
  }));

Deno.test("the registry knows what exists, and forgets the rest", () =>
  inTempDir(async (dir) => {
    const made = async (instance: Instance) => {
      await Deno.mkdir(instance.dir, { recursive: true });
      await Deno.writeTextFile(instancePaths(instance).record, "{}");
      await register(instance);
      return instance;
    };
    deepStrictEqual(await knownInstances(), []);
    const b = await made(await namedInstance("b"));
    const a = await made(await namedInstance("a"));
    const gone = await made(await namedInstance("gone"));
    await Deno.writeTextFile(`${dir}/data/registry/damaged.json`, '{"id":');
    await Deno.writeTextFile(`${dir}/data/registry/other.json`, JSON.stringify(a));
    await Deno.remove(gone.dir, { recursive: true });
    deepStrictEqual(await knownInstances(), [a, b]);
    const left = [...Deno.readDirSync(`${dir}/data/registry`)].map(({ name }) => name).sort();
    deepStrictEqual(left, [`${a.id}.json`, `${b.id}.json`].sort());
    await unregister(b);
    await unregister(b);
    deepStrictEqual(await knownInstances(), [a]);
    notStrictEqual(a.id, b.id);
  }));
