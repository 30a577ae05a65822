/**
 * What git on the host runs, or reads as settings, in one Git directory: guards for it, and what
 * must not come into being there.
 */

import { dirname, join, resolve } from "node:path";
import { withAncestors } from "./entry.ts";
import type { GuardSet } from "./guard_set.ts";

/** Collects what guards a repository and its submodules. */
export interface GitDirGuards {
  guards: GuardSet;
  /** Absolute paths that do not exist and must not: git would believe what is in them. */
  absent: Set<string>;
  /** Absolute paths of the files with settings that were found and guarded. */
  settings: Set<string>;
  /** The Git directories that were guarded, absolute. */
  gitDirs: Set<string>;
  /** True if the guest may write to these Git directories at all. */
  writable: boolean;
  /** Told of what cannot be guarded, by its path below the share. */
  problem(path: string, why: string): void;
  /** Makes what is at an absolute path read-only, in whichever share it is. */
  protectAnywhere(path: string): void;
  /** True if the linked worktree with this `.git` file (absolute) can be used in the guest. */
  usable(gitFile: string, isRelative: boolean): boolean;
}

/** More than any path that the kernel takes (PATH_MAX). */
const MAX_POINTER = 8192;

const LINK = "it is, or is below, a symbolic link";

/**
 * Guards the Git directory at `path` below the share (empty: the share is one), and those of its
 * submodules and worktrees.
 */
export function guardGitDir(to: GitDirGuards, path: string): void {
  const { guards } = to;
  if (path !== "") guards.protect(path, "pin");
  to.gitDirs.add(join(guards.root, path));
  const at = (name: string) => path === "" ? name : `${path}/${name}`;
  for (const name of ["config", "config.worktree", "commondir"]) guardFile(to, at(name));
  // Git makes one with samples in it, but can do without; then the guest could make it.
  if (to.writable && guards.kind(path) === "directory") guards.expect(at("hooks"));
  guardHooks(to, at("hooks"));
  guardModules(to, at("modules"));
  guardWorktrees(to, at("worktrees"));
}

/**
 * A linked worktree's own part of a Git directory: its `commondir` says where hooks and settings
 * are, and its submodules have theirs in it. Its index and HEAD stay writable.
 */
export function guardWorktreeDir(to: GitDirGuards, path: string): void {
  to.guards.protect(path, "pin");
  to.gitDirs.add(join(to.guards.root, path));
  for (const name of ["commondir", "gitdir", "config.worktree"]) guardFile(to, `${path}/${name}`);
  guardModules(to, `${path}/modules`);
}

/**
 * Guards a directory of hooks, and the files in the share that links in it lead to: a hook that is
 * a link to a script of the project is common.
 */
export function guardHooks(to: GitDirGuards, path: string): void {
  const { guards } = to;
  const directory = join(guards.root, path);
  const kind = guards.protect(path, "read-only");
  if (kind === "link") to.problem(path, LINK);
  if (kind === "missing") guardFile(to, path);
  if (kind !== "directory" || guards.missing().includes(directory)) return;
  for (const entry of Deno.readDirSync(directory)) {
    if (!entry.isSymlink) continue;
    const target = realPath(`${directory}/${entry.name}`);
    if (target) to.protectAnywhere(target);
  }
}

/** Makes a file with settings read-only, or notes that it must not appear. */
export function guardFile(to: GitDirGuards, path: string): void {
  const kind = to.guards.protect(path, "read-only");
  if (kind === "file") to.settings.add(join(to.guards.root, path));
  if (kind === "link") to.problem(path, LINK);
  if (kind === "missing") {
    // If a directory above is missing, too, that is what must not appear.
    const first = withAncestors(path).find((above) => to.guards.kind(above) === "missing")!;
    to.absent.add(join(to.guards.root, first));
    if (first.includes("/")) to.guards.protect(dirname(first), "pin");
  }
}

/** Submodules: their names, and so these directories, may have slashes in them. */
function guardModules(to: GitDirGuards, path: string): void {
  const kind = to.guards.kind(path);
  if (kind === "link") to.problem(path, LINK);
  if (kind !== "directory") return;
  for (const entry of Deno.readDirSync(join(to.guards.root, path))) {
    const module = `${path}/${entry.name}`;
    if (entry.isSymlink) to.problem(module, LINK);
    if (!entry.isDirectory) continue;
    if (to.guards.kind(`${module}/HEAD`) === "file") guardGitDir(to, module);
    else guardModules(to, module);
  }
}

/**
 * The linked worktrees of a repository. Of one that is elsewhere on the host, all is read-only:
 * `git worktree prune` in the guest would delete it, for its work tree is not there.
 */
function guardWorktrees(to: GitDirGuards, path: string): void {
  if (to.guards.kind(path) !== "directory") return;
  for (const entry of Deno.readDirSync(join(to.guards.root, path))) {
    if (!entry.isDirectory) continue;
    const worktree = `${path}/${entry.name}`;
    const pointer = readPath(join(to.guards.root, worktree, "gitdir"));
    const gitFile = pointer && resolve(to.guards.root, worktree, pointer);
    if (gitFile && to.usable(gitFile, !pointer.startsWith("/"))) guardWorktreeDir(to, worktree);
    else to.guards.protect(worktree, "read-only");
  }
}

/** The one line of a file such as `gitdir`; null if there is no such file or it is no line. */
export function readPath(file: string): string | null {
  try {
    const info = Deno.lstatSync(file);
    if (!info.isFile || info.size > MAX_POINTER) return null;
    const text = Deno.readTextFileSync(file).replace(/\r?\n$/, "");
    return text === "" || /[\0\n]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** A path with its links resolved, or null. */
export function realPath(path: string): string | null {
  try {
    return Deno.realPathSync(path);
  } catch {
    return null;
  }
}
