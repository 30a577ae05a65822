/** What `vibe image build` and `vibe image reset` do. */

import { resolve } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { terminalAsk, terminalConfirm } from "../host/ask.ts";
import { abortOnInterrupt } from "../host/interrupt.ts";
import { hostSettings, NO_SETTINGS } from "../image/host_settings.ts";
import { buildImage, type BuiltImage, type ImageOptions } from "../image/layered.ts";
import { parseAgents, parseLayers, parsePackageNames, parseScript } from "../image/layers.ts";
import { isImageName } from "../image/source_step.ts";
import { parseBase } from "../image/sources.ts";
import type { BuildRequest } from "../image/request.ts";
import { resetImage } from "../image/reset.ts";
import { silentProgress } from "../progress.ts";
import type { BuildingOptions, ImageBuildOptions } from "./image_build_program.ts";
import { printError } from "./output.ts";
import { terminalProgress } from "./progress.ts";
import { projectSetup } from "./project_setup.ts";

/** Builds an image. Resolves to the exit code. */
export async function imageBuild(name: string, options: ImageBuildOptions): Promise<number> {
  // What is wrong with the command line should show before minutes of work.
  const asked = await parseRequest(name, options);
  return await building(options, (how) => buildImage(name, asked, options.resume ?? false, how));
}

/** Builds an image anew. Resolves to the exit code. */
export async function imageReset(name: string, options: BuildingOptions): Promise<number> {
  return await building(options, (how) => resetImage(name, how));
}

/** Builds an image as the options say, and tells of it. */
async function building(
  options: BuildingOptions,
  work: (how: ImageOptions) => Promise<BuiltImage>,
): Promise<number> {
  const { mirror } = options;
  if (mirror !== undefined && !/^https?:$/.test(URL.parse(mirror)?.protocol ?? "")) {
    throw new VibeError("MIRROR_INVALID", `"${printable(mirror)}" is no web address`, {
      hint: "A mirror is like http://HOST/debian",
      exitCode: ExitCode.usage,
    });
  }
  using interrupt = abortOnInterrupt();
  using progress = options.quiet
    ? { ...silentProgress, [Symbol.dispose]() {} }
    : terminalProgress(options.verbose ?? false);
  const built = await work({
    yes: options.yes,
    ask: terminalAsk(),
    progress,
    signal: interrupt.signal,
    builder: options.builder,
    mirror,
    settings: () => options.hostSettings ? hostSettings() : Promise.resolve(NO_SETTINGS),
    timeoutMs: options.layerTimeout * 60_000,
    note(text) {
      progress.done();
      if (!options.quiet) printError(`vibe: ${text}\n`);
    },
  });
  if (options.json) console.log(JSON.stringify(report(built), null, 2));
  return 0;
}

async function parseRequest(
  name: string,
  options: ImageBuildOptions,
): Promise<Partial<BuildRequest>> {
  const { base, layers, agents, packages, script } = options;
  const asked: Partial<BuildRequest> = {};
  if (base !== undefined) asked.base = await fullBase(base);
  if (layers !== undefined) asked.layers = parseLayers(layers);
  if (agents !== undefined) asked.agents = parseAgents(agents);
  if (packages !== undefined) asked.packages = parsePackageNames(packages);
  const own = await projectSetup(await Deno.realPath("."), name, options, terminalConfirm());
  const scripts = own ? [own, ...script ?? []] : script;
  if (scripts !== undefined) asked.scripts = await Promise.all(scripts.map(parseScript));
  return asked;
}

/** A value of `--base` that means the same in every directory. */
async function fullBase(text: string): Promise<string> {
  if (await isImageName(text)) return text;
  return (await parseBase(text)).kind === "file" ? resolve(text) : text;
}

function report({ name, base, resumed, seconds }: BuiltImage) {
  const { id, source, layers = [], packages, kernelRelease } = base.info;
  return {
    image: name,
    base: id,
    source,
    kernelRelease,
    layers,
    packages: Object.keys(packages).length,
    resumed,
    seconds,
  };
}
