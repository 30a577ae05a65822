/** `vibe image build`: a source, then layers on it, each kept as soon as it is finished. */

import { join } from "node:path";
import { VibeError } from "../errors.ts";
import { LogFile } from "../host/follow.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { cacheDir, miseCacheDir } from "../paths.ts";
import type { Base } from "./base.ts";
import { withImageLock } from "./build.ts";
import { checkImageName, findImage, nameImage } from "./catalog.ts";
import type { HostSettings } from "./host_settings.ts";
import { interrupted } from "./interrupted.ts";
import { AGENTS, type Layer, LAYERS, readLayers } from "./layers.ts";
import { addLayer, LayerFailure } from "./layer_step.ts";
import { requireRoom } from "./room.ts";
import { addSource } from "./source_step.ts";
import { type BuildRequest, buildsDir, Workshop } from "./workshop.ts";

/** Where a Debian disk is made: on this host, or in a VM. */
export type Builder = "auto" | "host" | "vm";

/** How an image is built. */
export interface ImageOptions extends PrepareOptions {
  builder: Builder;
  /** A Debian mirror, for the image and while it is built. */
  mirror?: string;
  /** How this host reaches the network, for the guest to do so, too. */
  settings: HostSettings;
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

/** Less than that is not worth beginning with: a layer takes 1 GB, the copy of its disk as much. */
const ROOM = 3e9;

const DEFAULTS: BuildRequest = {
  base: "debian",
  layers: [...LAYERS],
  agents: AGENTS,
  packages: [],
  scripts: [],
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
  const started = performance.now();
  return await withImageLock(name, options, async () => {
    using log = await LogFile.create(join(cacheDir(), "logs"), "build");
    const { base, resumed } = await buildLocked(name, asked, resume, { ...options, log });
    const seconds = Math.round((performance.now() - started) / 1000);
    options.progress.done(`Built the image "${name}" in ${seconds} s`);
    return { name, base, resumed, seconds };
  });
}

/** {@link ImageOptions} and where all that is said goes. */
export interface StepOptions extends ImageOptions {
  log: LogFile;
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
  // Debian's recipe installs packages itself, on the host: under emulation ten times as fast.
  const packages = request.base === "debian" ? [] : request.packages;
  const layers = await readLayers({ ...request, packages });
  await prepareHost(layers.length > 0 ? ["run", "agent"] : [], options);
  const start = resume
    ? await findStart(name, workshop, earlier, request, layers, options.note)
    : null;
  await workshop.begin(request, { resume: start !== null });
  if (!start || layers.length > 0) await requireRoom(buildsDir(), ROOM);
  let at: Base | null = start;
  try {
    at ??= await addSource(workshop, name, request, options);
    for (const [index, layer] of layers.entries()) {
      if (index < finished(at).length) continue;
      const of = `${index + 1} of ${layers.length}`;
      at = await addLayer(workshop, at, { name, layer, of }, options);
    }
  } catch (error) {
    options.progress.done();
    throw await keepFinished(name, workshop, at, layers, error, options);
  }
  const base = isStep(workshop, at) ? await workshop.publish(at) : at;
  await nameImage(name, base);
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
    return error;
  }
  const current = await findImage(name);
  let now: string;
  if (isStep(workshop, at) && (!current || current.info.unfinished)) {
    at.info.unfinished = error.layer;
    await nameImage(name, await workshop.publish(at));
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
