/** Finding the Git repositories in a directory, within bounds. */

import { entryKind } from "./entry.ts";

/**
 * How deep and how wide is looked. A directory takes 30 to 100 µs, so all of it 0.1 s at most; a
 * project with more directories than that keeps its repositories near its top.
 */
const MAX_DEPTH = 6;
const MAX_DIRECTORIES = 1000;

/** Installed packages: many directories, and repositories only by accident. */
const SKIPPED = new Set(["node_modules", ".git", ".vibe"]);

/** A repository, by its place below the directory that was scanned. */
export interface Repository {
  /** The directory that git would be used in; empty for the scanned one itself. */
  path: string;
  /**
   * - `directory`, `file`, `link`: what its `.git` is
   * - `bare`: no `.git`, but it holds what a Git directory holds, and git takes it for one
   */
  kind: "directory" | "file" | "link" | "bare";
}

/** What a scan came upon. */
export interface Scan {
  repositories: Repository[];
  /** Directories below the scanned one that hold a `.vibe`: projects with a VM of their own. */
  projects: string[];
  /** False if there were more directories than are looked at. */
  complete: boolean;
}

/** Scans a directory, shallow first, without following a symbolic link. */
export function scanRepositories(root: string): Scan {
  const scan: Scan = { repositories: [], projects: [], complete: true };
  const queue = [""];
  for (let next = 0; next < queue.length; next++) {
    if (next === MAX_DIRECTORIES) {
      scan.complete = false;
      break;
    }
    const path = queue[next];
    const entries = list(path === "" ? root : `${root}/${path}`);
    const git = entries.find((entry) => entry.name === ".git");
    if (git) {
      const kind = git.isSymlink ? "link" : git.isDirectory ? "directory" : "file";
      scan.repositories.push({ path, kind });
    } else if (looksBare(entries)) {
      scan.repositories.push({ path, kind: "bare" });
    }
    if (path !== "" && entries.some((entry) => entry.name === ".vibe" && entry.isDirectory)) {
      scan.projects.push(path);
    }
    const deeper = entries.filter((entry) => entry.isDirectory && !SKIPPED.has(entry.name));
    if (path !== "" && path.split("/").length >= MAX_DEPTH) {
      scan.complete &&= deeper.length === 0;
      continue;
    }
    queue.push(...deeper.map((entry) => path === "" ? entry.name : `${path}/${entry.name}`));
  }
  return scan;
}

/**
 * The repositories that a guest made: those of `after` that `before` has not. Their hooks and
 * settings are the guest's, and git on the host would run them.
 */
export function newRepositories(before: Repository[], after: Repository[]): Repository[] {
  const known = new Set(before.map(({ path, kind }) => `${kind} ${path}`));
  return after.filter(({ path, kind }) => !known.has(`${kind} ${path}`));
}

/** What git asks before it takes a directory without `.git` for a repository. */
function looksBare(entries: Deno.DirEntry[]): boolean {
  const has = (name: string) => entries.some((entry) => entry.name === name);
  return has("HEAD") && has("objects") && has("refs");
}

/** The entries of a directory; none if it cannot be read. */
function list(directory: string): Deno.DirEntry[] {
  // Whoever can write there may have put a link in its place since its parent was read.
  if (entryKind(directory, "") !== "directory") return [];
  try {
    return [...Deno.readDirSync(directory)];
  } catch {
    return [];
  }
}
