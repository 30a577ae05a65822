/** A disk made of Debian's own packages. */

import { dirname, join } from "node:path";
import { VibeError } from "../errors.ts";
import type { LogFile } from "../host/follow.ts";
import type { PrepareOptions } from "../host/prepare.ts";
import { removeTree, runAsRoot } from "../host/root_namespace.ts";
import { BuildOutput } from "./build_output.ts";
import type { Made } from "./finish.ts";
import { interrupted } from "./interrupted.ts";
import { buildArguments, mirrorSources, type Recipe, writeRecipe } from "./recipe.ts";
import { noSpace } from "./room.ts";

/** How a disk is made. */
export interface DebianOptions extends PrepareOptions {
  /** A Debian mirror, `http://host/debian`; `VIBE_MIRROR` or Debian's own unless given. */
  mirror?: string;
}

/** What reaches programs in the build from the environment of vibe. */
const PASSED_ON = ["PATH", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"];

/**
 * Runs the recipe on this host; afterwards `disk.raw` is in `dir`.
 *
 * @throws {VibeError} `IMAGE_NO_SPACE`, `IMAGE_DOWNLOAD_FAILED`, `IMAGE_BUILD_FAILED`, `INTERRUPTED`.
 */
export async function makeDebianDisk(
  dir: string,
  recipe: Recipe,
  log: LogFile,
  { mirror, progress, signal }: DebianOptions,
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
  if (success) await removeTree(join(dir, "work"), { log });
  else throw buildError(output, tail, dir, recipe, log);
}

/** The error for a recipe that failed, by what it said. */
export function buildError(
  output: BuildOutput,
  tail: string,
  dir: string,
  { contents }: Recipe,
  log: LogFile,
): VibeError {
  if (output.noSpace) return noSpace(dirname(dir), contents.roomBytes, log.path);
  if (output.otherTime) {
    const now = new Date().toISOString().slice(0, 10);
    return new VibeError(
      "IMAGE_BUILD_FAILED",
      `Cannot build the image: "${output.otherTime}" is not valid on ${now}`,
      {
        hint: "Set this machine's clock, if that is not the date; else take another mirror: " +
          `VIBE_MIRROR=http://mirror/debian\nThe whole output is in "${log.path}".`,
        cause: new Error(tail),
      },
    );
  }
  if (output.unreachable) {
    return new VibeError(
      "IMAGE_DOWNLOAD_FAILED",
      `Cannot build the image: "${output.unreachable}" cannot be reached`,
      {
        hint: "Check the network, or name a Debian mirror that this machine reaches: " +
          `VIBE_MIRROR=http://mirror/debian\nThe whole output is in "${log.path}".`,
        cause: new Error(tail),
      },
    );
  }
  return new VibeError("IMAGE_BUILD_FAILED", `Cannot build the image:\n${tail}`, {
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

/** What is known of such a disk. */
export function debianMade(recipe: Recipe): Made {
  return { source: "debian", recipe: recipe.digest, architecture: recipe.architecture };
}
