/** `vibe config show` and `vibe trust`. */

import { loadHere, projectBounds, readProjectFile } from "../config/load.ts";
import { mergeSettings } from "../config/merge.ts";
import { projectConfigPath } from "../config/places.ts";
import { KEYS, type Origin, SETTING_NAMES, type Settings } from "../config/settings.ts";
import { revoke, trust, trusted } from "../config/trust.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { terminalAsk } from "../host/ask.ts";
import { DEFAULT_IMAGE } from "../image/catalog.ts";
import { DEFAULTS } from "../plan/limits.ts";
import type { CliOptions } from "./options.ts";
import { printError, printOut } from "./output.ts";
import { describeIgnored, flagsOf } from "./settings.ts";

/** Prints the settings that hold in the current directory. */
export async function showConfig(
  options: CliOptions,
  { origin, json }: { origin?: boolean; json?: boolean },
): Promise<number> {
  const merged = await loadHere(flagsOf(options));
  const defaults: Settings = { ...DEFAULTS, image: DEFAULT_IMAGE };
  const values: Settings = { ...defaults, ...merged.values };
  if (json) {
    const settings = Object.fromEntries(SETTING_NAMES.map((name) => [
      KEYS[name],
      name === "mount"
        ? (values.mount ?? []).map((value, i) => ({ value, origin: merged.mountOrigins[i] }))
        : { value: values[name] ?? null, origin: merged.origins[name] },
    ]));
    const { project, ignored } = merged;
    printOut(JSON.stringify({ settings, project, ignored }, null, 2) + "\n");
    return 0;
  }
  const lines = SETTING_NAMES.flatMap((name): [string, Origin][] => {
    if (name === "mount") return mountLines(values.mount ?? [], merged.mountOrigins);
    const value = values[name];
    return value === undefined ? [] : [[`${KEYS[name]} = ${toml(value)}`, merged.origins[name]]];
  });
  const width = Math.max(...lines.map(([text]) => text.length));
  for (const [text, from] of lines) {
    printOut(origin ? `${text.padEnd(width)}  # ${describeOrigin(from)}\n` : `${text}\n`);
  }
  for (const line of describeIgnored(merged)) printError(`vibe: ${line}\n`);
  return 0;
}

/** One line each, so that each can say where it comes from. */
function mountLines(mounts: string[], origins: Origin[]): [string, Origin][] {
  if (mounts.length === 0) return [];
  return mounts.map((spec, i) => [
    `${i === 0 ? "mount = [" : "         "}${toml(spec)}${i < mounts.length - 1 ? "," : "]"}`,
    origins[i],
  ]);
}

/** A value as TOML writes it; what a project's file says is somebody else's text. */
function toml(value: string | number | boolean | string[]): string {
  return printable(JSON.stringify(value), Infinity);
}

function describeOrigin(origin: Origin): string {
  switch (origin.from) {
    case "flag":
      return "command line";
    case "environment":
      return origin.variable;
    case "default":
      return "default";
    default:
      return `${printable(origin.path)}:${origin.line}`;
  }
}

/** How {@link trustCommand} is called. */
interface TrustOptions {
  revoke?: boolean;
  list?: boolean;
  json?: boolean;
  /** Do not ask. */
  yes?: boolean;
}

/** Trusts the file of the current directory, or what the options say. */
export async function trustCommand(options: TrustOptions): Promise<number> {
  const project = await Deno.realPath(Deno.cwd());
  const path = projectConfigPath(project);
  if (options.list) await listTrusted(options.json ?? false);
  else if (options.revoke) {
    const was = await revoke(path);
    printError(`vibe: "${printable(path)}" is ${was ? "no longer" : "not"} trusted.\n`);
  } else return await trustHere(project, options.yes ?? false);
  return 0;
}

async function trustHere(project: string, yes: boolean): Promise<number> {
  const path = printable(projectConfigPath(project));
  const file = await readProjectFile(project);
  if (!file) {
    throw new VibeError("CONFIG_MISSING", `Cannot trust "${path}": there is no such file`, {
      exitCode: ExitCode.usage,
    });
  }
  if (file.trust === "trusted") {
    printError(`vibe: "${path}" is trusted already.\n`);
    return 0;
  }
  // Against nothing but defaults: what the user's own settings are now may be otherwise later.
  const sources = { flags: {}, environment: {}, user: null, project: file };
  const { ignored } = mergeSettings(sources, projectBounds(project));
  const asks = ignored.map(({ line, what }) => `  line ${line}: ${what}\n`).join("");
  printError(
    asks ? `"${path}" asks for\n${asks}` : `"${path}" asks for nothing that needs your trust.\n`,
  );
  const ask = yes ? undefined : terminalAsk();
  if (ask && !await ask("Let it, as long as nobody changes the file? [Y/n] ")) {
    return ExitCode.failure;
  }
  await trust(file.path, file.digest);
  printError(`vibe: "${path}" is trusted as it is now.\n`);
  return 0;
}

async function listTrusted(json: boolean): Promise<void> {
  const entries = await trusted();
  if (json) printOut(JSON.stringify(entries, null, 2) + "\n");
  else {for (const { path, since } of entries) {
      printOut(`${since.slice(0, 10)}  ${printable(path)}\n`);
    }}
}
