/** The share that a VM has without being asked: the project directory. */

import { basename } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { type DirectoryShares, shareDirectory } from "./directory.ts";
import type { GitWatch } from "./git_guard.ts";
import type { GitMode } from "./git_mode.ts";
import { isWithin } from "./mountinfo.ts";

/** The shares of a project: Git's files in it are always guarded somehow. */
export interface ProjectShares extends DirectoryShares {
  watch: GitWatch;
}

/** Where the guest sees a project: `/root/` and its name, whatever bytes that has. */
export function projectGuestPath(project: string): string {
  return `/root/${basename(project)}`;
}

/**
 * The shares of a project directory, as {@link shareDirectory} makes them.
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
  const guestPath = projectGuestPath(project);
  const request = { name: "project", source: project, guestPath, readOnly: false, git };
  const found = await shareDirectory(request, { state, project, disk });
  return { ...found, watch: found.watch! };
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
