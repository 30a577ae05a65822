/** A project that is a linked worktree (`git worktree add`): its Git directory is elsewhere. */

import { dirname, join, resolve } from "node:path";
import { isWithin } from "./mountinfo.ts";
import { readPath, realPath } from "./git_dir.ts";

/** Where a linked worktree's Git directory is. */
export interface LinkedWorktree {
  /** The Git directory of the repository, absolute and without links. */
  common: string;
  /** This worktree's own part of it. */
  own: string;
  /** Where the guest must see `common`, so that the project's `.git` file leads there. */
  guestPath: string;
}

/**
 * What the `.git` file of `project` leads to; null if that is no worktree of this repository.
 *
 * The file may have been written by a guest, to be shown another repository of the host. So the
 * repository must name the project as its worktree, and there no guest writes.
 */
export function linkedWorktree(project: string, guestProject: string): LinkedWorktree | null {
  const pointer = gitFileTarget(join(project, ".git"));
  if (pointer === null) return null;
  const own = realPath(resolve(project, pointer));
  const commonName = own && readPath(join(own, "commondir"));
  const back = own && readPath(join(own, "gitdir"));
  if (!own || !commonName || !back) return null;
  const common = realPath(resolve(own, commonName));
  if (common === null || dirname(own) !== join(common, "worktrees")) return null;
  if (realPath(resolve(own, back)) !== join(project, ".git")) return null;
  const guestOwn = resolve(guestProject, pointer);
  const guestPath = dirname(dirname(guestOwn));
  if (isWithin(common, project) || isWithin(guestPath, guestProject)) return null;
  return { common, own, guestPath };
}

/** What a `.git` file points at, as it is written; null if it is not such a file. */
export function gitFileTarget(file: string): string | null {
  return readPath(file)?.match(/^gitdir: (.+)$/)?.[1] ?? null;
}
