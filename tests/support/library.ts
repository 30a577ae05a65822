/** Places of its own for the library in this process. */

import { run } from "../../lib/process.ts";
import { TEST_CACHE, vibeCommand } from "./vibe.ts";

/** Where the library keeps its things until it is disposed of. Close its VMs first. */
export interface LibraryHome extends AsyncDisposable {
  root: string;
  /** Runs the command with the same places. */
  vibe(...args: string[]): ReturnType<typeof run>;
}

/** Points this process's environment at temporary places. */
export async function libraryHome(): Promise<LibraryHome> {
  const root = await Deno.makeTempDir({ prefix: "vibe-test-" });
  const places = {
    VIBE_CACHE: TEST_CACHE,
    VIBE_RUNTIME: `${root}/r`,
    VIBE_DATA: `${root}/data`,
    NO_COLOR: "1",
  };
  const before = Object.keys(places).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(places)) Deno.env.set(name, value);
  return {
    root,
    vibe: (...args) => run(vibeCommand(...args)),
    async [Symbol.asyncDispose]() {
      await stopped(`${root}/data/vms`);
      for (const [name, value] of before) {
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
      await Deno.remove(root, { recursive: true });
    },
  };
}

/** Resolves when no supervisor holds a VM there any more. */
async function stopped(vms: string): Promise<void> {
  for (const { name } of await Array.fromAsync(Deno.readDir(vms)).catch(() => [])) {
    using lock = await Deno.open(`${vms}/${name}/lock`, { create: true, write: true });
    await lock.lock(true);
  }
}
