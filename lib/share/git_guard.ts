/**
 * Keeps a guest from leaving behind what git on the host would run: hooks, and settings that name
 * programs. What it does and does not do for users is told in docs/security.md.
 */

import { dirname, join, resolve } from "node:path";
import type { Share } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";
import {
  type GitDirGuards,
  guardFile,
  guardGitDir,
  guardHooks,
  guardWorktreeDir,
  realPath,
} from "./git_dir.ts";
import type { Scan } from "./git_scan.ts";
import { gitLinks, readSettings, settingPaths } from "./git_settings.ts";
import type { GitMode } from "./git_mode.ts";
import { gitFileTarget, linkedWorktree } from "./git_worktree.ts";
import { GuardSet } from "./guard_set.ts";

/** A share and where the guest sees it. */
export interface PlacedShare extends Share {
  /** Absolute path in the guest. */
  guestPath: string;
  /** The guest sees what it changes of it, and the host does not. It is shared read-only then. */
  copy?: boolean;
}

/** What has to be watched while the VM runs, for a mount cannot guard what is not there. */
export interface GitWatch {
  /** Absolute paths that must not come into being. */
  absent: string[];
  /** Files with settings that must not change. */
  settings: string[];
  /** Repositories whose index may name submodules. */
  repositories: { gitDir: string; workTree: string }[];
  /** Every `.git` that was there, and is guarded, before the VM is started. */
  guarded: string[];
}

/** What {@link gitGuard} found to be necessary beside guards. */
export interface GitGuard {
  /** The Git directory of a linked worktree, which is outside the project. */
  shares: PlacedShare[];
  watch: GitWatch;
  /** Directories to be made before the VM starts; absolute. */
  directories: string[];
  /** What could not be guarded or will not work, for the user. */
  warnings: string[];
}

/**
 * Adds to `guards`, those of the project's share, what keeps its repositories safe.
 *
 * @param guestPath where the guest sees the project.
 * @param scan what is in it.
 * @param name of the share of a Git directory that is elsewhere.
 * @throws {VibeError} `GIT_UNGUARDABLE` if the project's own repository cannot be guarded.
 */
export async function gitGuard(
  guards: GuardSet,
  guestPath: string,
  mode: GitMode,
  scan: Scan,
  name: string,
): Promise<GitGuard> {
  const finder = new Finder(guards, guestPath, mode, name);
  if (mode !== "rw") await finder.find(scan);
  return finder.result();
}

class Finder {
  readonly #project: string;
  readonly #guestPath: string;
  readonly #name: string;
  readonly #mode: GitMode;
  /** The project first, then the Git directory of a linked worktree. */
  readonly #targets: GitDirGuards[] = [];
  readonly #shares: PlacedShare[] = [];
  readonly #absent = new Set<string>();
  readonly #settings = new Set<string>();
  readonly #gitDirs = new Set<string>();
  /** Git directories and the work trees that they are used with. */
  readonly #workTrees = new Map<string, string>();
  readonly #guarded = new Set<string>();
  readonly #warnings = new Set<string>();
  /** While the project's own repository is looked at, what cannot be guarded is an error. */
  #strict = false;

  constructor(guards: GuardSet, guestPath: string, mode: GitMode, name: string) {
    this.#name = name;
    this.#project = guards.root;
    this.#guestPath = guestPath;
    this.#mode = mode;
    this.#addTarget(guards);
  }

  async find(scan: Scan): Promise<void> {
    for (const { path, kind } of scan.repositories) {
      this.#strict = path === "";
      if (kind !== "bare") this.#repository(path);
    }
    this.#strict = false;
    // Submodules may have submodules: the map grows while it is walked through.
    for (const [gitDir, workTree] of this.#workTrees) await this.#guardLinks(gitDir, workTree);
    await this.#guardConfigured();
    if (!scan.complete) {
      this.#warnings.add(
        "This project has very many directories: Git repositories deep inside are not guarded.",
      );
    }
  }

  result(): GitGuard {
    const [, ...others] = this.#targets;
    return {
      shares: this.#shares.map((share, index) => ({
        ...share,
        guards: share.readOnly ? [] : others[index].guards.list(),
      })),
      watch: {
        absent: [...this.#absent],
        settings: [...this.#settings],
        repositories: [...this.#workTrees].map(([gitDir, workTree]) => ({ gitDir, workTree })),
        guarded: [...this.#guarded],
      },
      directories: this.#targets.flatMap(({ guards }) => guards.missing()),
      warnings: [...this.#warnings],
    };
  }

  /** The repository in a directory of the project; the project itself is the empty path. */
  #repository(path: string): void {
    const [project] = this.#targets;
    const git = path === "" ? ".git" : `${path}/.git`;
    const kind = project.guards.kind(git);
    if (kind === "link") project.problem(git, "it is a symbolic link");
    if (kind !== "directory" && kind !== "file") return;
    this.#guarded.add(join(this.#project, git));
    // Whatever the guest sees of it: what hooks and settings lead to may be elsewhere.
    if (kind === "file") guardFile(project, git);
    else guardGitDir(project, git);
    if (this.#mode === "hide") project.guards.protect(git, "hide");
    if (this.#mode === "ro") project.guards.protect(git, "read-only");
    const gitDir = kind === "directory"
      ? join(this.#project, git)
      : this.#elsewhere(path, join(this.#project, git));
    if (gitDir) this.#workTrees.set(gitDir, join(this.#project, path));
  }

  /** The Git directory that a `.git` file leads to, guarded; null if it is in none of our shares. */
  #elsewhere(path: string, gitFile: string): string | null {
    const pointer = gitFileTarget(gitFile);
    const gitDir = pointer && realPath(resolve(dirname(gitFile), pointer));
    const target = this.#targets.find(({ guards }) => gitDir && guards.below(gitDir) !== null);
    if (!gitDir || !target) return path === "" ? this.#linkedWorktree() : null;
    if (this.#gitDirs.has(gitDir)) return gitDir;
    const inside = target.guards.below(gitDir)!;
    if (target.guards.kind(`${inside}/commondir`) === "file") guardWorktreeDir(target, inside);
    else if (target.guards.kind(`${inside}/HEAD`) === "file") guardGitDir(target, inside);
    return gitDir;
  }

  #linkedWorktree(): string | null {
    const worktree = linkedWorktree(this.#project, this.#guestPath);
    if (!worktree) {
      this.#warnings.add(
        "Git will not work in the VM: the repository is outside of the project directory.",
      );
      return null;
    }
    const { common: source, guestPath } = worktree;
    guardGitDir(this.#addTarget(new GuardSet(source)), "");
    const readOnly = this.#mode === "ro";
    if (this.#mode !== "hide") {
      this.#shares.push({ name: this.#name, source, guestPath, readOnly, guards: [] });
    }
    return worktree.own;
  }

  /** Submodules that are checked out, also where no scan looks. */
  async #guardLinks(gitDir: string, workTree: string): Promise<void> {
    const [{ guards }] = this.#targets;
    for (const link of await gitLinks(gitDir)) {
      const path = guards.below(resolve(workTree, link));
      if (path === null || guards.kind(`${path}/.git`) === "missing") continue;
      if (!this.#guarded.has(join(this.#project, path, ".git"))) this.#repository(path);
    }
  }

  /** Files and hooks of the project that settings name. */
  async #guardConfigured(): Promise<void> {
    // Set once git was asked: do the user's own settings name hooks, for every repository?
    let everywhere: boolean | null = null;
    for (const gitDir of new Set([...this.#workTrees.keys(), ...this.#gitDirs])) {
      // Asking takes 3 ms; few repositories' settings name a file, and those have these words.
      const text = await readTextIfPresent(join(gitDir, "config")).catch(() => null);
      if (everywhere === false && !/include|hookspath/i.test(text ?? "")) continue;
      const settings = await readSettings(gitDir);
      const workTree = this.#workTrees.get(gitDir);
      const { files, hooks } = settingPaths(settings, workTree ?? "/", Deno.env.get("HOME"));
      for (const file of files) this.#guardNamed(file, guardFile);
      // Husky sets .husky/_, and runs from there what is beside it.
      if (hooks && workTree) this.#guardNamed(hooks.replace(/(\/\.husky)\/.*$/s, "$1"), guardHooks);
      everywhere ??= settings.some(({ key, file }) =>
        key === "core.hookspath" && !file?.startsWith(gitDir)
      );
    }
  }

  #guardNamed(path: string, guard: (to: GitDirGuards, path: string) => void): void {
    for (const target of this.#targets) {
      const inside = target.guards.below(path);
      if (inside) guard(target, inside);
    }
  }

  #addTarget(guards: GuardSet): GitDirGuards {
    const target: GitDirGuards = {
      guards,
      absent: this.#absent,
      settings: this.#settings,
      gitDirs: this.#gitDirs,
      writable: this.#mode === "guard",
      protectAnywhere: (path) =>
        this.#guardNamed(path, (to, inside) => to.guards.protect(inside, "read-only")),
      problem: (path, why) => this.#problem(join(guards.root, path), why),
      usable: (gitFile, isRelative) => this.#usable(gitFile, isRelative),
    };
    this.#targets.push(target);
    return target;
  }

  #usable(gitFile: string, isRelative: boolean): boolean {
    const path = realPath(gitFile);
    if (path === join(this.#project, ".git")) return true;
    const samePlace = isRelative || this.#guestPath === this.#project;
    return path !== null && samePlace && this.#targets[0].guards.below(path) !== null;
  }

  #problem(path: string, why: string): void {
    const message = `Cannot guard "${printable(path)}" from the VM: ${why}`;
    if (!this.#strict) {
      this.#warnings.add(`${message}. Look at it before you use git there on the host.`);
      return;
    }
    throw new VibeError("GIT_UNGUARDABLE", message, {
      hint: "Put in its place what it leads to. Or --git rw: then the VM may write all of .git," +
        " and hooks and settings are what the VM makes them.",
    });
  }
}
