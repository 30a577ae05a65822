/** The share that a VM has without being asked: the project directory. */

import { basename } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import type { Guard } from "../driver/driver.ts";
import { gitGuard, type GitWatch, type PlacedShare } from "./git_guard.ts";
import type { GitMode } from "./git_mode.ts";
import { type Repository, scanRepositories } from "./git_scan.ts";
import { guardDisk, GuardSet, hideOwnFiles } from "./guard_set.ts";
import { isWithin } from "./mountinfo.ts";

/** The shares of a project, and what goes with them. Plain data. */
export interface ProjectShares {
  /** The project first; a linked worktree's Git directory may follow. */
  shares: PlacedShare[];
  /** For `watchGit`. */
  watch: GitWatch;
  /** The repositories in it, for `newRepositories` at the VM's end. */
  repositories: Repository[];
  /** For the user. */
  warnings: string[];
}

/** Where the guest sees a project: `/root/` and its name, whatever bytes that has. */
export function projectGuestPath(project: string): string {
  return `/root/${basename(project)}`;
}

/**
 * The shares of a project directory. Its `.vibe` is hidden if the VM's state is there, which must
 * exist before the VM starts; so is every `.vibe` further down, or one VM could rewrite the disk of
 * another. Its `vibe.toml` cannot be written, or the guest would loosen what it tightens.
 *
 * @param project absolute, without symbolic links.
 * @param home the user's home directory.
 * @param state the VM's state directory, `.vibe` in the project unless given.
 * @param disk a disk image that the VM uses in place; the guest may not write to its file.
 * @throws {VibeError} `PROJECT_TOO_WIDE`, `PROJECT_STATE`, `GIT_UNGUARDABLE`.
 */
export async function projectShares(
  project: string,
  git: GitMode,
  home: string | undefined = Deno.env.get("HOME"),
  state: string = `${project}/.vibe`,
  disk?: string,
): Promise<ProjectShares> {
  await refuseTooWide(project, home);
  const guards = new GuardSet(project);
  const inside = state === `${project}/.vibe`;
  const kind = guards.kind(".vibe");
  if (inside && kind !== "directory" && kind !== "missing") {
    throw new VibeError(
      "PROJECT_STATE",
      `Cannot use "${printable(project)}/.vibe": it is not a directory`,
      { hint: "vibe keeps the project's VM there. Move what is there now out of the way." },
    );
  }
  const guestPath = projectGuestPath(project);
  const scan = scanRepositories(project);
  // The project's own VM, where another one is started in its directory.
  if (!inside) guards.protect(".vibe", "hide");
  if (disk) guardDisk(guards, disk);
  guards.protect("vibe.toml", "read-only");
  for (const path of scan.projects) {
    guards.protect(`${path}/.vibe`, "hide");
    guards.protect(`${path}/vibe.toml`, "read-only");
  }
  hideOwnFiles(guards);
  const { shares, watch, warnings } = await gitGuard(guards, guestPath, git, scan);
  const own: Guard[] = inside ? [{ path: ".vibe", rule: "hide" }] : [];
  const share: PlacedShare = {
    name: "project",
    source: project,
    guestPath,
    readOnly: false,
    guards: [...own, ...guards.list()],
  };
  return { shares: [share, ...shares], watch, repositories: scan.repositories, warnings };
}

async function refuseTooWide(project: string, home: string | undefined): Promise<void> {
  const real = home ? await Deno.realPath(home).catch(() => home) : "/";
  if (!isWithin(real, project)) return;
  const what = project === "/"
    ? "it is the whole file system"
    : project === real
    ? "it is your home directory"
    : "your home directory is in it";
  throw new VibeError("PROJECT_TOO_WIDE", `Cannot share "${printable(project)}": ${what}`, {
    hint: "The VM would see and could change everything there, keys and passwords included." +
      " Run vibe in a project's directory.\n" +
      "To share it on purpose: vibe --no-default-mounts --mount DIRECTORY:/mnt/host",
    exitCode: ExitCode.usage,
  });
}
