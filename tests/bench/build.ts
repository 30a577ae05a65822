/** Building a Debian image, beside the two programs that do the work. */

import { which } from "../../lib/process.ts";
import { buildArguments, debianRecipe } from "../../lib/image/recipe.ts";
import { vibeCommand } from "../support/vibe.ts";
import type { Bench, Measure } from "./measures.ts";

/** `vibe image build` in an empty cache, beside mmdebstrap and mke2fs with the same packages. */
export async function build({ dir }: Bench): Promise<Measure> {
  // First, so that whatever is cached on the way to the mirror is so for both.
  const floor = await seconds(() => bareBuild(dir));
  const value = await seconds(() => ownBuild(dir));
  return { value, floor, unit: "s" };
}

async function ownBuild(dir: string): Promise<void> {
  const [program, ...args] = vibeCommand("image", "build", "--layers", "none", "--yes");
  await must(program, args, { VIBE_CACHE: `${dir}/cache` });
  await Deno.remove(`${dir}/cache`, { recursive: true });
}

async function bareBuild(dir: string): Promise<void> {
  const recipe = await debianRecipe();
  const [, suite, variant, packages, mebibytes] = buildArguments(recipe, "", []);
  const root = `${dir}/bare`;
  const options = ["--mode=root", "--format=directory", `--variant=${variant}`];
  await must("mmdebstrap", [...options, `--include=${packages}`, suite, root]);
  const mke2fs = await which("mke2fs");
  await must(mke2fs!, ["-q", "-t", "ext4", "-d", root, `${dir}/bare.raw`, `${mebibytes}M`]);
  await Deno.remove(root, { recursive: true });
  await Deno.remove(`${dir}/bare.raw`);
}

async function must(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, env }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
