/** Layers: scripts that run as root in a VM of the image in the making, one after the other. */

import { basename, join, resolve } from "node:path";
import { readAsset } from "../assets.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { configDir } from "../paths.ts";
import { digestOf } from "./digest.ts";
import { parsePackages } from "./recipe.ts";

/** Layers that vibe brings, in their order; `user` is the user's own `setup.sh`. */
export const LAYERS = ["base", "tools", "agents", "user"] as const;

/** What the layer `agents` can install. */
export const AGENTS = ["claude-code", "codex", "gemini-cli", "opencode", "pi"];

/** One of {@link LAYERS}. */
export type LayerName = typeof LAYERS[number];

/** A script and what it is given. */
export interface Layer {
  /** As messages call it: `tools`, `packages`, `extra.sh`. */
  name: string;
  script: Uint8Array<ArrayBuffer>;
  /** Variables in its environment. */
  env: Record<string, string>;
  /** SHA-256 of all of that, in hex. */
  digest: string;
}

/** Which layers an image is to have. Plain data, it is kept while an image is built. */
export interface LayerChoice {
  layers: LayerName[];
  /** Names of agents, of {@link AGENTS}. */
  agents: string[];
  /** Debian packages. */
  packages: string[];
  /** Absolute paths of scripts on the host, in their order. */
  scripts: string[];
}

/**
 * The value of `--layers`: names separated by commas, or `none`. They always run in the order of
 * {@link LAYERS}.
 *
 * @throws {VibeError} `LAYER_UNKNOWN`.
 */
export function parseLayers(text: string): LayerName[] {
  return pick(text, LAYERS, "layer", "LAYER_UNKNOWN");
}

/** The value of `--agents`. @throws {VibeError} `AGENT_UNKNOWN`. */
export function parseAgents(text: string): string[] {
  return pick(text, AGENTS, "agent", "AGENT_UNKNOWN");
}

function pick<T extends string>(text: string, all: readonly T[], what: string, code: string): T[] {
  const names = text === "none" ? [] : text.split(",").map((name) => name.trim()).filter(Boolean);
  const unknown = names.find((name) => !all.some((one) => one === name));
  if (unknown === undefined) return all.filter((one) => names.includes(one));
  throw new VibeError(code, `There is no ${what} "${printable(unknown)}"`, {
    hint: `There is: ${all.join(", ")}; or none for none of them.`,
    exitCode: ExitCode.usage,
  });
}

/**
 * The value of `--packages`: names of Debian packages, separated by commas.
 *
 * @throws {VibeError} `PACKAGE_NAME` for what cannot be one.
 */
export function parsePackageNames(text: string): string[] {
  const names = text.split(",").map((name) => name.trim()).filter(Boolean);
  const wrong = names.find((name) =>
    !/^[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[\w.+~:-]+)?$/.test(name)
  );
  if (wrong === undefined) return names;
  throw new VibeError("PACKAGE_NAME", `"${printable(wrong)}" is no name of a Debian package`, {
    hint: "Give names separated by commas: --packages postgresql,jq",
    exitCode: ExitCode.usage,
  });
}

/** Where the script of the layer `user` is. */
export function userScript(): string {
  return join(configDir(), "setup.sh");
}

/**
 * The layers of a choice, in the order to run them: base, packages, the other layers of vibe, and
 * scripts. `user` is left out where there is no {@link userScript}.
 *
 * @throws {VibeError} `SCRIPT_MISSING`.
 */
export async function readLayers(
  { layers, agents, packages, scripts }: LayerChoice,
): Promise<Layer[]> {
  const found: Layer[] = [];
  for (const name of layers) {
    if (name === "user") {
      const script = await Deno.readFile(userScript()).catch(() => null);
      if (script) found.push(await makeLayer(name, script));
      continue;
    }
    const env: Layer["env"] = {};
    if (name === "base") env.PACKAGES = (await basePackages()).join(" ");
    if (name === "agents") env.AGENTS = agents.join(" ");
    found.push(await makeLayer(name, await readAsset(`provision/layers/${name}.sh`), env));
  }
  if (packages.length > 0) {
    const script = await readAsset("provision/layers/packages.sh");
    const layer = await makeLayer("packages", script, { PACKAGES: packages.join(" ") });
    found.splice(layers.includes("base") ? 1 : 0, 0, layer);
  }
  for (const path of scripts) found.push(await makeLayer(scriptName(path), await readScript(path)));
  return found;
}

/** What an image of any source is to have: what Debian's recipe begins with. */
async function basePackages(): Promise<string[]> {
  return parsePackages(new TextDecoder().decode(await readAsset("provision/debian/packages.txt")));
}

function scriptName(path: string): string {
  return basename(path).replaceAll(/[^\w.+-]/g, "_").slice(0, 60);
}

async function readScript(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : `${error}`;
    throw new VibeError("SCRIPT_MISSING", `Cannot read the script "${printable(path)}": ${why}`, {
      exitCode: ExitCode.usage,
    });
  }
}

/** The value of `--script`. @throws {VibeError} `SCRIPT_MISSING`. */
export async function parseScript(path: string): Promise<string> {
  await readScript(resolve(path));
  return resolve(path);
}

async function makeLayer(
  name: string,
  script: Uint8Array<ArrayBuffer>,
  env: Record<string, string> = {},
): Promise<Layer> {
  const rest = new TextEncoder().encode(JSON.stringify([name, env]));
  return { name, script, env, digest: await digestOf([["script", script], ["rest", rest]]) };
}
