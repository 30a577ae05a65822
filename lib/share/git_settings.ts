/** What a repository's settings, as git on this host reads them, lead to. */

import { dirname, isAbsolute, join, resolve } from "node:path";
import { run } from "../process.ts";
import { readRegularFile } from "./regular_file.ts";

/** One setting, with the file that it is from. */
export interface Setting {
  /** Absolute path; null if it is not from a file. */
  file: string | null;
  /** Section and key in lower case, subsection as it is. */
  key: string;
  value: string;
}

/** Parses `git config --list --show-origin -z`. */
export function parseSettings(output: string): Setting[] {
  const parts = output.split("\0");
  const settings: Setting[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [origin, setting] = [parts[at], parts[at + 1]];
    // A key without a value has no line end after it.
    const end = setting.indexOf("\n");
    const file = origin.startsWith("file:") ? origin.slice("file:".length) : null;
    settings.push({
      file: file !== null && isAbsolute(file) ? resolve(file) : null,
      key: end < 0 ? setting : setting.slice(0, end),
      value: end < 0 ? "" : setting.slice(end + 1),
    });
  }
  return settings;
}

/** Files and directories that git takes settings and hooks from; absolute, they may not exist. */
export interface SettingPaths {
  files: string[];
  hooks: string | null;
}

/** What the settings lead to, for a work tree at `workTree`. Pure. */
export function settingPaths(
  settings: Setting[],
  workTree: string,
  home: string | undefined,
): SettingPaths {
  const files = new Set<string>();
  let hooks: string | null = null;
  const at = (value: string, base: string) => {
    if (/^~(\/|$)/.test(value) && home) return join(home, value.slice(1));
    return resolve(base, value);
  };
  for (const { file, key, value } of settings) {
    if (file) files.add(file);
    if (key === "core.hookspath" && value !== "") hooks = at(value, workTree);
    // Also those whose condition does not hold at the moment.
    if (file && /^include(if\..*)?\.path$/s.test(key)) files.add(at(value, dirname(file)));
  }
  return { files: [...files], hooks };
}

/**
 * Reads the settings of a repository, the user's own and the system's included. Nothing that a
 * repository holds makes `git config` run a program. Empty without git on this host.
 */
export async function readSettings(gitDir: string): Promise<Setting[]> {
  return parseSettings(await git(gitDir, ["config", "--list", "--show-origin", "-z"]));
}

/** git waits for ever if what it opens is a FIFO; otherwise it takes milliseconds. */
const TIMEOUT_MS = 10_000;

/** The mode of a submodule in an index is 0160000, written big-endian. */
const GITLINK_BYTE = 0xe0;

/**
 * The submodules in a repository's index, as paths in its work tree.
 *
 * git is asked only if the index has the bytes of such an entry's mode at all: few have, and git
 * takes longer to list a big index than it takes to look for four bytes in it.
 */
export async function gitLinks(gitDir: string): Promise<string[]> {
  if (!await mayHoldLinks(gitDir)) return [];
  const list = await git(gitDir, ["-c", "core.fsmonitor=false", "ls-files", "--stage", "-z"]);
  return list.split("\0").filter((entry) => entry.startsWith("160000 "))
    .map((entry) => entry.slice(entry.indexOf("\t") + 1))
    // An index that a guest wrote may hold what git would not put there.
    .filter((path) => path.split("/").every((name) => !["", ".", "..", ".git"].includes(name)));
}

/** An index may be split: then most of it is in a file of its own. */
async function mayHoldLinks(gitDir: string): Promise<boolean> {
  try {
    for (const { name } of Deno.readDirSync(gitDir)) {
      if (!/^(index|sharedindex\..*)$/s.test(name)) continue;
      const index = await readRegularFile(join(gitDir, name));
      if (index && holdsLinkMode(index)) return true;
    }
  } catch {
    // There is no such repository any more.
  }
  return false;
}

function holdsLinkMode(index: Uint8Array): boolean {
  for (let at = index.indexOf(GITLINK_BYTE); at >= 0; at = index.indexOf(GITLINK_BYTE, at + 1)) {
    if (index[at - 2] === 0 && index[at - 1] === 0 && index[at + 1] === 0) return true;
  }
  return false;
}

/** What git says; empty without git on this host, or if it does not come to an end. */
async function git(gitDir: string, args: string[]): Promise<string> {
  try {
    const { stdout } = await run(["git", `--git-dir=${gitDir}`, ...args], {
      cwd: "/",
      env: { GIT_INDEX_FILE: join(gitDir, "index"), GIT_OPTIONAL_LOCKS: "0" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return stdout;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
