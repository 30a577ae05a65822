/** One layer: a VM of what there is so far, a script in it, and a new disk of what that left. */

import { join } from "node:path";
import { readAsset } from "../assets.ts";
import { VibeError } from "../errors.ts";
import type { Base, LayerRecord } from "./base.ts";
import { BuildVm } from "./build_vm.ts";
import { digestOf } from "./digest.ts";
import { finishBase } from "./finish.ts";
import { lend } from "./host_settings.ts";
import type { StepOptions } from "./layered.ts";
import type { Layer } from "./layers.ts";
import type { Workshop } from "./workshop.ts";

/** A layer's script failed. */
export class LayerFailure extends Error {
  constructor(readonly layer: string, why: string, readonly tail: string) {
    super(why);
  }
}

/** The layer to add, and where it stands for whoever looks on. */
export interface LayerStep {
  /** Of the image. */
  name: string;
  layer: Layer;
  /** "2 of 4". */
  of: string;
}

/**
 * Adds a layer to a base; resolves to the new step.
 *
 * @throws {LayerFailure} if its script fails; {VibeError} if the VM does.
 */
export async function addLayer(
  workshop: Workshop,
  base: Base,
  { name, layer, of }: LayerStep,
  options: StepOptions,
): Promise<Base> {
  const { log, progress, note } = options;
  const step = `Building the image "${name}": layer ${layer.name}, ${of}`;
  log.write(`vibe: layer ${layer.name}\n`);
  return await workshop.step(async (dir) => {
    const started = performance.now();
    progress.step(step);
    progress.detail("booting");
    await using vm = await BuildVm.start(await workshop.vmDir(), base, options);
    const env = { ...await lend(vm, await options.settings()), ...layer.env };
    const { failure, output } = await vm.run({ name: layer.name, content: layer.script, env });
    if (failure) throw new LayerFailure(layer.name, failure, output.tail);
    await seal(vm);
    await vm.finishDisk(join(dir, "disk.raw"));
    const record: LayerRecord = {
      name: layer.name,
      digest: layer.digest,
      seconds: Math.round((performance.now() - started) / 1000),
      installed: output.installed,
      missing: output.missing,
    };
    const { info } = base;
    await finishBase(dir, `the image "${name}"`, {
      source: info.source,
      sourceDigest: info.sourceDigest,
      inherited: info.inherited,
      architecture: info.architecture,
      recipe: await digestOf([[info.recipe, new TextEncoder().encode(layer.digest)]]),
      layers: [...info.layers ?? [], record],
    });
    for (const [tool, why] of Object.entries(output.missing)) {
      note(`The layer "${layer.name}" goes without ${tool}: ${why}`);
    }
  });
}

/** Leaves the disk as an image's should be. */
async function seal(vm: BuildVm): Promise<void> {
  const content = await readAsset("provision/layers/seal.sh");
  const { failure, output } = await vm.run({ name: "seal", content, env: {} });
  if (failure === null) return;
  throw new VibeError("IMAGE_BUILD_FAILED", `Cannot finish the disk: ${failure}\n${output.tail}`);
}
