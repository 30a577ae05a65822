/** A cache and a data directory of a test's own, and what may be in them. */

import { openProject } from "../../lib/instance/open.ts";
import { register } from "../../lib/instance/registry.ts";
import { noteUser } from "../../lib/instance/base_users.ts";
import { writeRecord } from "../../lib/instance/record.ts";
import { FileLock } from "../../lib/lock.ts";
import { type Instance, instancePaths } from "../../lib/paths.ts";

/** The variables that say where vibe keeps its files. */
const VARIABLES = ["VIBE_CACHE", "VIBE_DATA", "VIBE_RUNTIME"];

/** Directories of a test's own. */
export interface Places {
  root: string;
  cache: string;
}

/** Size of the disk of a {@link fakeBase}. */
export const DISK_BYTES = 64 << 20;

/** Runs a test with a cache, data and runtime directory of its own. */
export async function inPlaces(test: (places: Places) => Promise<void>): Promise<void> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "vibe-unit-" }));
  const before = VARIABLES.map((name) => Deno.env.get(name));
  const [cache] = VARIABLES.map((name) => {
    const dir = `${root}/${name.slice(5).toLowerCase()}`;
    Deno.env.set(name, dir);
    return dir;
  });
  try {
    await test({ root, cache });
  } finally {
    VARIABLES.forEach((name, i) => {
      if (before[i] === undefined) Deno.env.delete(name);
      else Deno.env.set(name, before[i]);
    });
    await Deno.remove(root, { recursive: true });
  }
}

/** A base with all its files, but nothing in them. Its disk has a hole and two blocks of data. */
export async function fakeBase(cache: string, id: string): Promise<void> {
  const dir = `${cache}/bases/${id}`;
  await Deno.mkdir(`${dir}/modules`, { recursive: true });
  await Deno.writeTextFile(`${dir}/disk.raw`, "disk");
  await Deno.truncate(`${dir}/disk.raw`, DISK_BYTES);
  using disk = await Deno.open(`${dir}/disk.raw`, { write: true });
  await disk.seek(30 << 20, Deno.SeekMode.Start);
  await disk.write(new Uint8Array(5000).fill(7));
  await Deno.writeTextFile(`${dir}/vmlinux`, `kernel of ${id}`);
  await Deno.writeTextFile(`${dir}/modules/order`, "virtio_blk.ko\n");
  await Deno.writeTextFile(`${dir}/modules/virtio_blk.ko`, "module");
  const info = {
    version: 1,
    id,
    source: "debian",
    suite: "trixie",
    architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
    recipe: "0".repeat(64),
    created: "2026-01-02T03:04:05.000Z",
    kernelRelease: "6.12",
    kernel: "vmlinux",
    diskBytes: DISK_BYTES,
    packages: { bash: "5" },
  };
  await Deno.writeTextFile(`${dir}/image.json`, JSON.stringify(info));
}

/** A project whose VM stands on a base, as its supervisor would have left it. */
export async function fakeVm(dir: string, base: string): Promise<Instance> {
  await Deno.mkdir(dir, { recursive: true });
  const instance = await openProject(dir);
  (await FileLock.take(instancePaths(instance).lock))[Symbol.dispose]();
  await noteUser(base, instance);
  await writeRecord(instancePaths(instance), { version: 1, image: "default", base, created: "" });
  await register(instance);
  return instance;
}

/** Names in a directory, sorted. */
export async function namesIn(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir), ({ name }) => name)).sort();
}
