/** A bootable disk without anything of vibe, for tests: built once per recipe in the tests' cache. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LogFile } from "../../lib/host/follow.ts";
import { prepareHost } from "../../lib/host/prepare.ts";
import { removeTree, runAsRoot } from "../../lib/host/root_namespace.ts";
import { digestOf } from "../../lib/image/digest.ts";
import { debianRecipe, mirrorSources, SUITE, writeRecipe } from "../../lib/image/recipe.ts";
import { FileLock } from "../../lib/lock.ts";
import { run } from "../../lib/process.ts";
import { silentProgress } from "../../lib/progress.ts";
import { TEST_CACHE } from "./vibe.ts";

const SCRIPT = fileURLToPath(import.meta.resolve("./plain_disk/build.sh"));

/** What reaches programs in the build from the environment of the tests. */
const PASSED_ON = ["PATH", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"];

/** The path of the disk, built if it is not there. It is shared: copy it before it is written to. */
export async function plainDisk(): Promise<string> {
  if (Deno.build.arch !== "x86_64") throw new Error("The plain disk boots by BIOS, on x86_64 only");
  const script = await Deno.readFile(SCRIPT);
  const name = `plain-${(await digestOf([["build.sh", script]])).slice(0, 12)}`;
  const dir = join(TEST_CACHE, "plain", name);
  await Deno.mkdir(join(TEST_CACHE, "plain"), { recursive: true });
  using _lock = await FileLock.take(`${dir}.lock`);
  const disk = join(dir, "disk.raw");
  if (await Deno.stat(disk).then((info) => info.isFile, () => false)) return disk;
  const partial = `${dir}.partial`;
  using log = await LogFile.create(join(TEST_CACHE, "logs"), "plain");
  await removeTree(partial, { log });
  await prepareHost(["image"], { yes: true, progress: silentProgress });
  const recipe = await debianRecipe();
  // The user of mmdebstrap's downloads enters it, too.
  await Deno.mkdir(join(partial, "work"), { recursive: true, mode: 0o755 });
  await writeRecipe(recipe, join(partial, "work"));
  await Deno.writeFile(join(partial, "work/build.sh"), script);
  const { success, tail } = await runAsRoot({
    argv: [
      ...["sh", "/mnt/work/build.sh", "/mnt", SUITE.codename],
      ...await mirrorSources(Deno.env.get("VIBE_MIRROR")),
    ],
    dir: partial,
    env: Object.fromEntries([
      ["HOME", "/mnt/work"],
      ["LC_ALL", "C"],
      ...PASSED_ON.flatMap((name) => Deno.env.has(name) ? [[name, Deno.env.get(name)!]] : []),
    ]),
    log,
    onLine: () => {},
  });
  if (!success) throw new Error(`Cannot build the plain disk:\n${tail}\nAll of it: ${log.path}`);
  await Deno.remove(join(partial, "work"), { recursive: true });
  await Deno.rename(partial, dir);
  return disk;
}

/** A copy of the disk at `path`, which tests may write to. */
export async function copyPlainDisk(path: string): Promise<void> {
  const argv = ["cp", "--sparse=always", "--reflink=auto", "--", await plainDisk(), path];
  const { success, stderr } = await run(argv);
  if (!success) throw new Error(stderr);
}
