/** Building Debian base images: one at a time for each name, and whole or not at all. */

import { dirname, join } from "node:path";
import { ExitCode, reason, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { compactTime, LogFile } from "../host/follow.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { runAsRoot } from "../host/root_namespace.ts";
import { FileLock } from "../lock.ts";
import { cacheDir } from "../paths.ts";
import { type Base, type BaseInfo, basesDir, readBase } from "./base.ts";
import { BuildOutput } from "./build_output.ts";
import {
  catalogPath,
  checkImageName,
  DEFAULT_IMAGE,
  findImage,
  nameImage,
  unknownImage,
} from "./catalog.ts";
import { unpackKernel } from "./kernel.ts";
import { PartialBase } from "./partial.ts";
import {
  buildArguments,
  type Contents,
  debianRecipe,
  mirrorSources,
  type Recipe,
  SUITE,
  writeRecipe,
} from "./recipe.ts";
import { fileSystemError, noSpace, requireRoom } from "./room.ts";

/** How an image is built. */
export interface BuildOptions extends PrepareOptions {
  /** A Debian mirror, `http://host/debian`; `VIBE_MIRROR` or Debian's own unless given. */
  mirror?: string;
  /** What to install instead of the usual. */
  contents?: Contents;
}

/** What reaches programs in the build from the environment of vibe. */
const PASSED_ON = ["PATH", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"];

/**
 * The base that a name means. {@link DEFAULT_IMAGE} is built if it is not there.
 *
 * @throws {VibeError} `IMAGE_UNKNOWN`; else see {@link buildDebianBase}.
 */
export async function ensureImage(name: string, options: BuildOptions): Promise<Base> {
  const found = await findImage(name);
  if (found) return found;
  if (name !== DEFAULT_IMAGE) throw await unknownImage(name);
  return await withImageLock(name, options, async () => {
    // Whoever held the lock before us may have built it.
    return await findImage(name) ?? await build(name, options);
  });
}

/**
 * Builds a new base from Debian's packages and lets `name` mean it. VMs stay on the base they were
 * made from.
 *
 * @throws {VibeError} `IMAGE_NO_SPACE`, `IMAGE_DOWNLOAD_FAILED`, `IMAGE_BUILD_FAILED`,
 * `INTERRUPTED`, or what {@link prepareHost} throws. Nothing is left behind but a log.
 */
export async function buildDebianBase(name: string, options: BuildOptions): Promise<Base> {
  checkImageName(name);
  return await withImageLock(name, options, () => build(name, options));
}

/** Does some work on the image of a name, one process at a time. */
export async function withImageLock<T>(
  name: string,
  { progress, signal }: Pick<BuildOptions, "progress" | "signal">,
  work: () => Promise<T>,
): Promise<T> {
  const path = catalogPath(name, "lock");
  let lock: FileLock | null;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    lock = await FileLock.tryTake(path);
  } catch (error) {
    throw fileSystemError(error, dirname(path)) ?? error;
  }
  if (!lock) {
    progress.step(`Waiting for another vibe, which builds the image "${name}"`);
    lock = await FileLock.takeUnlessAborted(path, signal).catch((error) => {
      throw signal?.aborted ? interrupted() : error;
    });
    progress.done();
  }
  using _lock = lock;
  return await work();
}

async function build(name: string, options: BuildOptions): Promise<Base> {
  const started = performance.now();
  // The agent's compiler, too, so that the user is asked once.
  await prepareHost(["image", "agent"], options);
  const recipe = await debianRecipe(options.contents);
  await Deno.mkdir(basesDir(), { recursive: true });
  await requireRoom(basesDir(), recipe.contents.roomBytes);
  using log = await LogFile.create(join(cacheDir(), "logs"), "build");
  options.progress.step(`Building the image "${name}", about a minute`);
  const created = new Date();
  const id = `debian-${SUITE.version}-${compactTime(created)}-${recipe.digest.slice(0, 8)}`;
  await using partial = await PartialBase.create(id, log);
  try {
    await makeFiles(partial.dir, recipe, log, options);
    await finish(partial.dir, recipe, id, created);
    if (options.signal?.aborted) throw interrupted();
    await partial.complete();
  } catch (error) {
    options.progress.done();
    if (error instanceof VibeError) throw error;
    if (/no space left|ENOSPC/i.test(reason(error))) {
      throw noSpace(basesDir(), recipe.contents.roomBytes, log.path);
    }
    throw error;
  }
  const base = await readBase(id);
  if (!base) throw new Error(`Cannot find the base "${id}" that was just made`);
  await nameImage(name, base);
  const seconds = Math.round((performance.now() - started) / 1000);
  options.progress.done(`Built the image "${name}" in ${seconds} s`);
  return base;
}

/** Runs the recipe: afterwards disk, kernel and modules are in `dir`. */
async function makeFiles(
  dir: string,
  recipe: Recipe,
  log: LogFile,
  { mirror, progress, signal }: BuildOptions,
): Promise<void> {
  const sources = await mirrorSources(mirror ?? Deno.env.get("VIBE_MIRROR"));
  await writeRecipe(recipe, join(dir, "work"));
  const env = { HOME: "/mnt/work", LC_ALL: "C", ...passedOn() };
  const output = new BuildOutput();
  const { success, tail } = await runAsRoot({
    argv: ["sh", "/mnt/work/build.sh", ...buildArguments(recipe, "/mnt", sources)],
    dir,
    env,
    log,
    signal,
    onLine: (line) => {
      const detail = output.line(line);
      if (detail) progress.detail(detail);
    },
  });
  if (signal?.aborted) throw interrupted();
  if (success) return;
  if (output.noSpace) throw noSpace(basesDir(), recipe.contents.roomBytes, log.path);
  if (output.unreachable) {
    throw new VibeError(
      "IMAGE_DOWNLOAD_FAILED",
      `Cannot build the image: "${output.unreachable}" cannot be reached`,
      {
        hint: "Check the network, or name a Debian mirror that this machine reaches: " +
          `VIBE_MIRROR=http://mirror/debian\nThe whole output is in "${log.path}".`,
        cause: new Error(tail),
      },
    );
  }
  throw new VibeError("IMAGE_BUILD_FAILED", `Cannot build the image:\n${tail}`, {
    hint: `The whole output is in "${log.path}".`,
  });
}

function passedOn(): Record<string, string> {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Adds what the recipe leaves to us, and makes sure that all of it is on the disk. */
async function finish(dir: string, recipe: Recipe, id: string, created: Date): Promise<void> {
  const vmlinux = await unpackKernel(await Deno.readFile(join(dir, "vmlinuz")));
  if (vmlinux) await Deno.writeFile(join(dir, "vmlinux"), vmlinux);
  const release = (await Deno.readTextFile(join(dir, "release"))).trim();
  const packages = await Deno.readTextFile(join(dir, "packages.tsv"));
  const info: BaseInfo = {
    version: 1,
    id,
    source: "debian",
    suite: SUITE.codename,
    architecture: recipe.architecture,
    recipe: recipe.digest,
    created: created.toISOString(),
    kernelRelease: release,
    kernel: vmlinux ? "vmlinux" : "vmlinuz",
    diskBytes: (await Deno.stat(join(dir, "disk.raw"))).size,
    packages: Object.fromEntries(
      packages.trim().split("\n").map((line) => line.split("\t") as [string, string]),
    ),
  };
  await Deno.remove(join(dir, "work"), { recursive: true });
  await Deno.remove(join(dir, "release"));
  await Deno.remove(join(dir, "packages.tsv"));
  await writeFileWhole(join(dir, "image.json"), JSON.stringify(info, null, 2) + "\n");
}

function interrupted(): VibeError {
  return new VibeError("INTERRUPTED", "Cannot finish the image: interrupted", {
    exitCode: ExitCode.interrupted,
  });
}
