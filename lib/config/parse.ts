/** The text of a configuration file as settings, or an error that names file, line and key. */

import { join } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import * as v from "valibot";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { parseDiskUrl } from "../image/disk_url.ts";
import { leastProblem } from "../plan/limits.ts";
import { parseNetwork } from "../plan/network.ts";
import { GIT_MODES } from "../share/git_mode.ts";
import { formatMount, parseMount } from "../share/mount_spec.ts";
import { type FileSettings, KEYS, SETTING_NAMES, type SettingName } from "./settings.ts";

/** Far more than anyone writes, and little enough to look for the lines of keys at leisure. */
export const MAX_BYTES = 16 << 10;

/** Whose file it is, which decides what its paths are relative to. */
export interface FileContext {
  path: string;
  /** What a host path that is not absolute starts from; null if it may not be relative. */
  directory: string | null;
  /** What `~/` stands for. */
  home: string;
}

const text = v.string("It must be a text in quotes.");
const count = (name: "cpus" | "ram" | "timeout" | "idle") =>
  v.pipe(
    v.number("It must be a number, without quotes."),
    v.rawCheck(({ dataset, addIssue }) => {
      const problem = dataset.typed ? leastProblem(name, dataset.value) : null;
      if (problem) addIssue({ message: problem });
    }),
  );

const SCHEMA = v.strictObject({
  image: v.optional(text),
  cpus: v.optional(count("cpus")),
  ram: v.optional(count("ram")),
  timeout: v.optional(count("timeout")),
  idle: v.optional(count("idle")),
  mount: v.optional(v.array(text, 'It must be a list, such as ["~/data:data:read-only"].')),
  "default-mounts": v.optional(v.boolean("It must be true or false.")),
  git: v.optional(v.picklist(GIT_MODES, `It must be one of ${GIT_MODES.join(", ")}.`)),
  network: v.optional(text),
  nocloud: v.optional(text),
});

/**
 * Settings from the text of a file.
 *
 * @throws {VibeError} `CONFIG_INVALID`.
 */
export function parseConfig(source: string, context: FileContext): FileSettings {
  const { path } = context;
  const table = readToml(source, path);
  const lines = keyLines(source);
  const result = v.safeParse(SCHEMA, table);
  if (!result.success) {
    const [issue] = result.issues;
    const key = String(issue.path?.[0].key);
    const known = Object.hasOwn(SCHEMA.entries, key);
    const problem = known ? issue.message : "There is no such setting.";
    const hint = known ? undefined : `Settings are ${Object.values(KEYS).join(", ")}.`;
    throw invalid(path, lines.get(key), `"${printable(key)}": ${problem}`, hint);
  }
  const { "default-mounts": defaultMounts, mount, ...plain } = result.output;
  const values: FileSettings["values"] = { ...plain };
  if (defaultMounts !== undefined) values.defaultMounts = defaultMounts;
  const { network, nocloud } = plain;
  const checked = <T>(key: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof VibeError)) throw error;
      throw invalid(path, lines.get(key), `"${key}": ${error.message}.`, error.hint);
    }
  };
  if (network !== undefined) checked("network", () => parseNetwork(network));
  if (nocloud !== undefined) checked("nocloud", () => parseDiskUrl(nocloud));
  if (mount) values.mount = checked("mount", () => mount.map((m) => absoluteMount(m, context)));
  const places = SETTING_NAMES.flatMap((name): [SettingName, number][] => {
    const line = lines.get(KEYS[name]);
    return line === undefined ? [] : [[name, line]];
  });
  return { path, values, lines: Object.fromEntries(places) };
}

function readToml(source: string, path: string): Record<string, unknown> {
  try {
    return parseToml(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [first] = error.message.split("\n");
    throw invalid(path, error.line, printable(first.replace(/^Invalid TOML document: /, "")));
  }
}

/**
 * On which line each top-level key is. The parser does not tell; but what it takes as a document is
 * a run of whole statements, so the first lines that it takes after the last statement are the next.
 */
export function keyLines(source: string): Map<string, number> {
  const lines = source.split(/\r?\n/);
  const found = new Map<string, number>();
  for (let start = 0, end = 1; end <= lines.length; end++) {
    let table: Record<string, unknown>;
    try {
      table = parseToml(lines.slice(start, end).join("\n"));
    } catch {
      continue;
    }
    for (const key of Object.keys(table)) if (!found.has(key)) found.set(key, start + 1);
    start = end;
  }
  return found;
}

function absoluteMount(spec: string, { directory, home }: FileContext): string {
  const expanded = spec.startsWith("~/") ? join(home, "/") + spec.slice(2) : spec;
  if (directory === null && !expanded.startsWith("/")) {
    throw new VibeError("MOUNT_SYNTAX", `"${printable(spec)}" does not begin with / or ~/`);
  }
  return formatMount(parseMount(expanded, directory ?? "/"));
}

/** The error for a file that cannot be used. `what`: sentences. */
export function invalid(
  path: string,
  line: number | undefined,
  what: string,
  hint?: string,
): VibeError {
  const where = line === undefined ? "" : `, line ${line}`;
  return new VibeError("CONFIG_INVALID", `Cannot use "${printable(path)}"${where}: ${what}`, {
    hint,
    exitCode: ExitCode.usage,
  });
}
