/** The initrd of a floor VM: floor_init.c, the modules it loads and the script it runs. */

import { fileURLToPath } from "node:url";
import { cpioArchive, type CpioEntry } from "../../lib/image/cpio.ts";
import { run } from "../../lib/process.ts";
import { TEST_CACHE } from "../support/vibe.ts";

/** The files of a base image that a floor VM uses. */
export interface BaseFiles {
  disk: string;
  /** The kernel image that vibe itself boots. */
  floorKernel: string;
  modules: string;
}

/** The base that the image `default` of the tests' cache stands for. */
export async function findBaseFiles(): Promise<BaseFiles> {
  const { base } = JSON.parse(await Deno.readTextFile(`${TEST_CACHE}/images/default.json`));
  const dir = `${TEST_CACHE}/bases/${base}`;
  const vmlinux = await Deno.stat(`${dir}/vmlinux`).then(() => true, () => false);
  return {
    disk: `${dir}/disk.raw`,
    floorKernel: `${dir}/${vmlinux ? "vmlinux" : "vmlinuz"}`,
    modules: `${dir}/modules`,
  };
}

let init: Uint8Array | null = null;

/** Packs the initrd for one script. */
export async function packFloorInitrd(
  base: BaseFiles,
  script: string,
): Promise<Uint8Array<ArrayBuffer>> {
  init ??= await compileInit();
  const entries: CpioEntry[] = ["dev", "newroot", "modules"].map((name) => ({ name }));
  entries.push({ name: "init", content: init });
  entries.push({ name: "floor.sh", content: new TextEncoder().encode(script) });
  for await (const { name } of Deno.readDir(base.modules)) {
    const content = await Deno.readFile(`${base.modules}/${name}`);
    entries.push({ name: `modules/${name}`, content });
  }
  return cpioArchive(entries);
}

async function compileInit(): Promise<Uint8Array> {
  const source = fileURLToPath(import.meta.resolve("./floor_init.c"));
  const program = await Deno.makeTempFile();
  const { success, stderr } = await run(["cc", "-static", "-Os", "-o", program, source]);
  if (!success) throw new Error(stderr);
  const bytes = await Deno.readFile(program);
  await Deno.remove(program);
  return bytes;
}
