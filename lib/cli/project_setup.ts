/** A project's own setup script: part of an image only if the user agrees. */

import { join, resolve } from "node:path";
import { printable } from "../errors.ts";
import { DEFAULT_IMAGE } from "../image/catalog.ts";
import { parseLayers } from "../image/layers.ts";
import type { ImageBuildOptions } from "./image_build_program.ts";
import { printError } from "./output.ts";

/** In a project's directory; runs in its images after the user's own `setup.sh`. */
const SETUP = ".vibe.setup.sh";

/**
 * The path of the setup script of the project in `dir` if it is to be in the image `name`. It is the
 * project's, which may be hostile, and the image is for other projects, too: without a yes it is left
 * out, and of the image that all projects share in any case.
 *
 * @param confirm asks the user; undefined if nobody is there.
 */
export async function projectSetup(
  dir: string,
  name: string,
  { layers, script, resume, quiet }: ImageBuildOptions,
  confirm: ((question: string) => Promise<boolean>) | undefined,
): Promise<string | null> {
  if (name === DEFAULT_IMAGE || resume) return null;
  if (layers !== undefined && !parseLayers(layers).includes("user")) return null;
  const path = join(dir, SETUP);
  const isFile = await Deno.lstat(path).then((info) => info.isFile, () => false);
  if (!isFile || script?.some((other) => resolve(dir, other) === path)) return null;
  if (confirm) {
    const question = `Run "${
      printable(path)
    }" in the image "${name}", for whoever uses that? [y/N] `;
    return await confirm(question) ? path : null;
  }
  if (!quiet) {
    printError(
      `vibe: "${
        printable(path)
      }" is left out, for nobody is there to agree: --script ${SETUP} says yes.\n`,
    );
  }
  return null;
}
