/** The share of one directory, and all that guards it. */

import { dirname, join } from "node:path";
import { printable, VibeError } from "../errors.ts";
import { gitGuard, type GitWatch, type PlacedShare } from "./git_guard.ts";
import type { GitMode } from "./git_mode.ts";
import { type Repository, scanRepositories } from "./git_scan.ts";
import { guardDisk, GuardSet, hideOwnFiles } from "./guard_set.ts";

/** A directory that is to be shared. */
export interface DirectoryRequest extends Omit<PlacedShare, "guards"> {
  /** See `MountSpec`. */
  git?: GitMode;
}

/** What a VM must not reach by its shares. */
export interface OwnFiles {
  /** Its state directory. */
  state: string;
  /** The directory that it is for; null if for none. */
  project: string | null;
  /** The disk image that it runs. */
  disk?: string;
}

/** The shares of a directory, and what goes with them. Plain data. */
export interface DirectoryShares {
  /** Its own first; a linked worktree's Git directory may follow. */
  shares: PlacedShare[];
  /** For `watchGit`; null if Git's files in it are not guarded. */
  watch: GitWatch | null;
  /** The repositories in it, for `newRepositories` at the VM's end. */
  repositories: Repository[];
  /** For {@link makeDirectories}. */
  directories: string[];
  /** For the user. */
  warnings: string[];
}

/**
 * The shares of a directory. The state of VMs in it is hidden, this one's and others', or one VM
 * could rewrite the disk of another; their `vibe.toml` cannot be written, or a guest would loosen
 * what it tightens.
 *
 * @param request its source absolute and without symbolic links.
 * @param own what of the VM's own may be in it.
 * @throws {VibeError} `PROJECT_STATE`, `GIT_UNGUARDABLE`.
 */
export async function shareDirectory(
  request: DirectoryRequest,
  { state, project, disk }: OwnFiles,
): Promise<DirectoryShares> {
  const { git, ...share } = request;
  const guards = new GuardSet(share.source);
  const own = guards.below(state);
  if (own) hideState(guards, own);
  // The project's own VM, where another one is started in its directory.
  else guards.protect(".vibe", "hide");
  if (disk) guardDisk(guards, disk);
  const settings = project && guards.below(join(project, "vibe.toml"));
  if (settings) guards.protect(settings, "read-only");
  const scan = scanRepositories(share.source);
  for (const path of scan.projects) {
    guards.protect(`${path}/.vibe`, "hide");
    guards.protect(`${path}/vibe.toml`, "read-only");
  }
  hideOwnFiles(guards);
  const name = share.name === "project" ? "git" : `${share.name}-git`;
  const found = git ? await gitGuard(guards, share.guestPath, git, scan, name) : null;
  return {
    shares: [{ ...share, guards: guards.list() }, ...found?.shares ?? []],
    watch: found?.watch ?? null,
    repositories: scan.repositories,
    directories: found?.directories ?? guards.missing(),
    warnings: found?.warnings ?? [],
  };
}

/** It exists before the VM starts. */
function hideState(guards: GuardSet, path: string): void {
  const kind = guards.kind(path);
  if (kind !== "directory" && kind !== "missing") {
    throw new VibeError(
      "PROJECT_STATE",
      `Cannot use "${printable(join(guards.root, path))}": it is not a directory`,
      { hint: "vibe keeps the project's VM there. Move what is there now out of the way." },
    );
  }
  guards.expect(path);
  guards.protect(path, "hide");
}

/**
 * Makes the directories that guards count on. On a file system that is read-only for us they cannot
 * be made, by the guest neither: what guards them is left out then.
 */
export async function makeDirectories(shares: PlacedShare[], paths: string[]): Promise<void> {
  for (const path of paths) {
    // The directory above is not a link; it was looked at.
    const above = await Deno.lstat(dirname(path)).catch(() => null);
    if (above?.isDirectory) await Deno.mkdir(path, { mode: 0o755 }).catch(() => {});
    if ((await Deno.lstat(path).catch(() => null))?.isDirectory) continue;
    for (const share of shares) {
      share.guards = share.guards.filter((guard) => join(share.source, guard.path) !== path);
    }
  }
}
