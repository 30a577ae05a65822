/** Reads settings from where they are. */

import { dirname } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { hostLimits, limitProblem } from "../plan/limits.ts";
import { isWithin } from "../share/mountinfo.ts";
import { readRegularFile } from "../share/regular_file.ts";
import { type Bounds, type Merged, mergeSettings } from "./merge.ts";
import { invalid, MAX_BYTES, parseConfig } from "./parse.ts";
import { projectConfigPath, userConfigPath, VARIABLES } from "./places.ts";
import type { FileSettings, ProjectFile, Settings } from "./settings.ts";
import { sha256, trustedDigest } from "./trust.ts";

/**
 * The settings that hold for a project (null: for no project) and these flags.
 *
 * @throws {VibeError} `CONFIG_INVALID`, `CONFIG_VARIABLE`.
 */
export async function loadSettings(project: string | null, flags: Settings): Promise<Merged> {
  const sources = {
    flags,
    environment: readEnvironment(Deno.env),
    project: project === null ? null : await readProjectFile(project),
    user: await readUserFile(),
  };
  return mergeSettings(sources, projectBounds(project));
}

/** The settings that hold in the current directory, with these flags. @throws as {@link loadSettings}. */
export async function loadHere(flags: Settings): Promise<Merged> {
  return await loadSettings(await Deno.realPath(Deno.cwd()), flags);
}

/** What a stranger's file in a project is held to. */
export function projectBounds(project: string | null): Bounds {
  const isInProject = (path: string) => project !== null && isWithin(realPathOf(path), project);
  return { host: hostLimits(), isInProject };
}

/** Settings from the environment. An empty variable is none. @throws {VibeError} `CONFIG_VARIABLE`. */
export function readEnvironment(env: Pick<typeof Deno.env, "get">): Settings {
  const values: Settings = {};
  for (const name of ["image", "nocloud"] as const) {
    const text = env.get(VARIABLES[name]);
    if (text) values[name] = text;
  }
  for (const name of ["cpus", "ram", "timeout"] as const) {
    const text = env.get(VARIABLES[name]);
    if (!text) continue;
    const form = name === "timeout" ? /^\d+(\.\d+)?$/ : /^\d+$/;
    const value = form.test(text) ? Number(text) : NaN;
    const problem = limitProblem(name, value);
    if (problem) {
      throw new VibeError(
        "CONFIG_VARIABLE",
        `Cannot use ${VARIABLES[name]} "${printable(text)}": ${problem}`,
        { exitCode: ExitCode.usage },
      );
    }
    values[name] = value;
  }
  return values;
}

async function readUserFile(): Promise<FileSettings | null> {
  const path = userConfigPath();
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new VibeError("CONFIG_INVALID", `Cannot read "${path}"`, { cause: error });
  }
  const file = parse(path, bytes, null);
  for (const name of ["cpus", "ram"] as const) {
    const value = file.values[name];
    const problem = value === undefined ? null : limitProblem(name, value);
    if (problem) throw invalid(path, file.lines[name], `"${name}": ${problem}`);
  }
  return file;
}

/**
 * The file of a project, an absolute path without symbolic links; null if there is none. A link in
 * its place is refused, not passed over: what it tightens would silently not hold.
 *
 * @throws {VibeError} `CONFIG_INVALID`.
 */
export async function readProjectFile(project: string): Promise<ProjectFile | null> {
  const path = projectConfigPath(project);
  const info = await Deno.lstat(path).catch(() => null);
  if (!info) return null;
  const bytes = info.isFile ? await readRegularFile(path) : null;
  if (!bytes) {
    const what = info.isSymlink ? "It is a symbolic link." : "It is no file that you can read.";
    throw invalid(path, undefined, what, "Remove it, or put a regular file in its place.");
  }
  const digest = await sha256(new Uint8Array(bytes));
  const trusted = await trustedDigest(path);
  const trust = trusted === digest ? "trusted" : trusted === null ? "none" : "changed";
  return { ...parse(path, bytes, dirname(path)), digest, trust };
}

function parse(path: string, bytes: Uint8Array, directory: string | null): FileSettings {
  if (bytes.byteLength > MAX_BYTES) {
    throw invalid(path, undefined, `It has more than ${MAX_BYTES >> 10} KiB.`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalid(path, undefined, "It is not UTF-8 text.");
  }
  return parseConfig(text, { path, directory, home: Deno.env.get("HOME") ?? "/" });
}

/** Where a path leads; itself if nowhere, and then mounting it will say so. */
function realPathOf(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}
