/** `vibe image build`: a source, then layers on it, each kept as soon as it is finished. */

import { join } from "node:path";
import { VibeError } from "../errors.ts";
import { LogFile } from "../host/follow.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { cacheDir, miseCacheDir } from "../paths.ts";
import type { Base } from "./base.ts";
import { type BuildOptions, withImageLock } from "./build.ts";
import { checkImageName, findImage, nameImage } from "./catalog.ts";
import type { Builder } from "./debian_vm.ts";
import { type HostSettings, hostSettings } from "./host_settings.ts";
import { interrupted } from "./interrupted.ts";
import { AGENTS, type Layer, LAYERS } from "./layers.ts";
import { addLayer, LayerFailure } from "./layer_step.ts";
import { diskUsage } from "./disk_usage.ts";
import type { Contents } from "./recipe.ts";
import { type BuildRequest, PLAIN, requestLayers, requestToKeep } from "./request.ts";
import { fileSystemError, requireRoom } from "./room.ts";
import { addSource } from "./source_step.ts";
import { buildsDir, Workshop } from "./workshop.ts";

/** How an image is built. */
export interface ImageOptions extends PrepareOptions {
  builder: Builder;
  /** A Debian mirror, `http://host/debian`; `VIBE_MIRROR` or Debian's own unless given. */
  mirror?: string;
  /** What Debian's recipe is to install instead of the usual. */
  contents?: Contents;
  /** How this host reaches the network, for the guest to do so, too; asked for if there is one. */
  settings: () => Promise<HostSettings>;
  /** How long a layer may take. */
  timeoutMs: number;
  /** Told one line at a time what the user should know. */
  note(text: string): void;
}

/** An image that was built. */
export interface BuiltImage {
  name: string;
  base: Base;
  /** How many layers an earlier build had finished. */
  resumed: number;
  seconds: number;
}

/** What a layer takes beside a copy of the disk; those that take much more say so when it is full. */
const SLACK = 0.5e9;

const DEFAULTS: BuildRequest = {
  ...PLAIN,
  layers: [...LAYERS],
  agents: AGENTS,
};

/**
 * Builds an image and lets `name` mean it; VMs stay on the base they were made from. If a layer
 * fails, what was finished before it is kept for `resume`; and if `name` has no complete image yet,
 * it means what is finished, so that there is something to work with.
 *
 * @param asked what is left out is as it was (`resume`), or as it is by default.
 * @throws {VibeError} `LAYER_FAILED`, `INTERRUPTED`, and what the source and VMs throw.
 */
export async function buildImage(
  name: string,
  asked: Partial<BuildRequest>,
  resume: boolean,
  options: ImageOptions,
): Promise<BuiltImage> {
  checkImageName(name);
  return await withImageLock(name, options, () => logged(name, asked, resume, options));
}

/** What a layer may take unless something else is said. */
export const LAYER_TIMEOUT_MS = 60 * 60_000;

/** Debian without any layer, for a name that is locked. @throws {VibeError} as {@link buildImage}. */
export async function buildPlainImage(name: string, options: BuildOptions): Promise<Base> {
  const { base } = await logged(name, PLAIN, false, {
    ...options,
    builder: "auto",
    settings: hostSettings,
    timeoutMs: LAYER_TIMEOUT_MS,
    note: (text) => options.progress.done(text),
  });
  return base;
}

async function logged(
  name: string,
  asked: Partial<BuildRequest>,
  resume: boolean,
  options: ImageOptions,
): Promise<BuiltImage> {
  const started = performance.now();
  using log = await LogFile.create(join(cacheDir(), "logs"), "build");
  const { base, resumed } = await buildLocked(name, asked, resume, { ...options, log });
  const seconds = Math.round((performance.now() - started) / 1000);
  options.progress.done(`Built the image "${name}" in ${seconds} s`);
  return { name, base, resumed, seconds };
}

/** {@link ImageOptions} and where all that is said goes. */
export interface StepOptions extends ImageOptions {
  log: LogFile;
  /** Gets an image to boot where there is none yet. */
  firstImage?: () => Promise<Base>;
}

/** The image that a host gets which has none, and cannot make one without. */
const FIRST_IMAGE = "nocloud";

async function getFirstImage(options: ImageOptions): Promise<Base> {
  return (await buildImage(FIRST_IMAGE, { ...PLAIN, base: "nocloud" }, false, options)).base;
}

async function buildLocked(
  name: string,
  asked: Partial<BuildRequest>,
  resume: boolean,
  options: StepOptions,
): Promise<{ base: Base; resumed: number }> {
  const workshop = new Workshop(name, options.log);
  const earlier = resume ? await workshop.unfinished() : null;
  const request = { ...DEFAULTS, ...earlier, ...asked };
  const layers = await requestLayers(request);
  await prepareHost(layers.length > 0 ? ["run", "agent"] : ["agent"], options);
  const start = resume
    ? await findStart(name, workshop, earlier, request, layers, options.note)
    : null;
  await workshop.begin(request, { resume: start !== null });
  let at: Base | null = start;
  try {
    const firstImage = name === FIRST_IMAGE ? undefined : () => getFirstImage(options);
    at ??= await addSource(workshop, name, request, { ...options, firstImage });
    if (layers.length > 0) await requireRoom(buildsDir(), 2 * await diskUsage(at.dir) + SLACK);
    for (const [index, layer] of layers.entries()) {
      if (index < finished(at).length) continue;
      const of = `${index + 1} of ${layers.length}`;
      at = await addLayer(workshop, at, { name, layer, of }, options);
    }
  } catch (error) {
    options.progress.done();
    throw await keepFinished(name, request, workshop, at, layers, error, options);
  }
  const base = isStep(workshop, at) ? await workshop.publish(at) : at;
  await nameImage(name, base, await requestToKeep(name, request, { finished: true }));
  // VMs share what mise downloads from then on.
  if (layers.some((layer) => layer.name === "tools")) {
    await Deno.mkdir(miseCacheDir(), { recursive: true });
  }
  await workshop.close();
  return { base, resumed: start ? finished(start).length : 0 };
}

/** Layers of this build that are in a base. */
function finished(base: Base) {
  return base.info.layers ?? [];
}

function isStep(workshop: Workshop, base: Base): boolean {
  return base.dir.startsWith(workshop.dir);
}

/** What to go on from: the last step, or the image if that is what an earlier build left. */
async function findStart(
  name: string,
  workshop: Workshop,
  earlier: BuildRequest | null,
  request: BuildRequest,
  layers: Layer[],
  note: (text: string) => void,
): Promise<Base | null> {
  if (!earlier) {
    note(`There is no unfinished build of "${name}": this one begins at the beginning.`);
    return null;
  }
  const image = await findImage(name);
  const step = await workshop.lastStep() ?? (image?.info.unfinished ? image : null);
  if (!step) return null;
  const { base, packages } = request;
  const sameSource = base === earlier.base &&
    (base !== "debian" || packages.join() === earlier.packages.join());
  const changed = finished(step).find((record, i) => record.digest !== layers[i]?.digest);
  if (sameSource && !changed) return step;
  const what = changed ? `the layer "${changed.name}"` : "what it is made from";
  note(`The image "${name}" is built from the beginning: ${what} has changed.`);
  return null;
}

/** After a failure. Resolves to the error for the user. */
async function keepFinished(
  name: string,
  request: BuildRequest,
  workshop: Workshop,
  at: Base | null,
  layers: Layer[],
  error: unknown,
  options: StepOptions,
): Promise<unknown> {
  const again = `\`vibe image build ${name} --resume\``;
  if (options.signal?.aborted) {
    await workshop.leave();
    const { message, exitCode } = interrupted();
    const hint = at ? `${again} goes on with what is finished.` : undefined;
    return new VibeError("INTERRUPTED", message, { exitCode, hint });
  }
  if (!(error instanceof LayerFailure) || !at) {
    await workshop.leave();
    return fileSystemError(error, buildsDir()) ?? error;
  }
  const current = await findImage(name);
  let now: string;
  if (isStep(workshop, at) && (!current || current.info.unfinished)) {
    at.info.unfinished = error.layer;
    const kept = await requestToKeep(name, request, { finished: false });
    await nameImage(name, await workshop.publish(at), kept);
    now = `The image "${name}" can be used, but ends before that layer (${names(at, layers)}).`;
  } else if (!current) now = `There is no image "${name}" yet.`;
  else if (current.info.unfinished) now = `The image "${name}" still ends before that layer.`;
  else now = `The image "${name}" stays what it was; what is finished of the new one is kept.`;
  await workshop.leave();
  return new VibeError(
    "LAYER_FAILED",
    `Cannot build the image "${name}": its layer "${error.layer}" failed, ${error.message}` +
      (error.tail ? `:\n${error.tail}` : ""),
    { hint: `${now}\n${again} goes on from there.\nThe whole output is in "${options.log.path}".` },
  );
}

function names(base: Base, layers: Layer[]): string {
  const done = (base.info.layers ?? []).map(({ name }) => name).join(", ") || "none";
  return `it has ${done} of ${layers.map(({ name }) => name).join(", ")}`;
}
