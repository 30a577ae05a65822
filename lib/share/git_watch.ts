/**
 * Watches Git directories while a guest can write to them: what must not appear there is moved out
 * of the way at once, and what must not change is compared.
 *
 * A mount guards what exists. But git also believes what may come: a `commondir` that leads it to
 * other hooks and settings, or a submodule of which only its index tells, with settings of its own
 * (`git status` on the host runs git in it, and that runs what they say).
 */

import { basename, dirname, join } from "node:path";
import { printable, reason, type VibeError } from "../errors.ts";
import { isThere } from "../files.ts";
import { run } from "../process.ts";
import { entryKind } from "./entry.ts";
import type { GitWatch } from "./git_guard.ts";
import { gitLinks } from "./git_settings.ts";
import { readRegularFile } from "./regular_file.ts";
import { PathWatch } from "./watch.ts";

/** Something that git on the host would have believed. */
export interface GitViolation {
  /**
   * - `appeared`: a file that redirects git
   * - `submodule`: a repository in a place that the index calls a submodule
   * - `changed`: settings, in the moment in which a change made on the host took their guard away
   * - `unwatched`: none of these can be noticed any more
   */
  kind: "appeared" | "submodule" | "changed" | "unwatched";
  /** Absolute path; from the guest. */
  path: string;
  /** Where it is now; null if it is still there. */
  movedTo: string | null;
  /** One line for the user, safe to print. */
  message: string;
}

/** How many of a guest's inventions are kept; further ones are deleted. */
const MAX_KEPT = 20;

/**
 * Watches until it is disposed of, and looks once more then: do that when the guest is gone.
 *
 * @param quarantine a directory that the guest does not see, made when it is needed.
 */
export function watchGit(
  watch: GitWatch,
  quarantine: string,
  onViolation: (violation: GitViolation) => void,
): AsyncDisposable {
  const guard = new Watcher(watch, quarantine, onViolation);
  const paths = new PathWatch(
    () => guard.paths(),
    () => guard.look(),
    (error) => guard.lost(error),
  );
  return {
    async [Symbol.asyncDispose]() {
      await paths[Symbol.asyncDispose]();
      await guard.look();
    },
  };
}

class Watcher {
  readonly #watch: GitWatch;
  readonly #quarantine: string;
  readonly #report: (violation: GitViolation) => void;
  /** The settings as they were, or as they were last reported. */
  readonly #texts = new Map<string, string | null>();
  /** Places of submodules that are not checked out, and the directories above them. */
  #waiting: string[] = [];
  readonly #reported = new Set<string>();
  #kept = 0;

  constructor(watch: GitWatch, quarantine: string, report: (violation: GitViolation) => void) {
    this.#watch = watch;
    this.#quarantine = quarantine;
    this.#report = report;
  }

  paths(): string[] {
    const { absent, settings, repositories } = this.#watch;
    const indexes = repositories.map(({ gitDir }) => join(gitDir, "index"));
    return [...absent, ...settings, ...indexes, ...this.#waiting];
  }

  async look(): Promise<void> {
    for (const path of this.#watch.absent) {
      if (isThere(path)) await this.#expel(path);
    }
    for (const path of this.#watch.settings) this.#compare(path, await readText(path));
    const waiting: string[] = [];
    for (const { gitDir, workTree } of this.#watch.repositories) {
      for (const link of await gitLinks(gitDir)) {
        const places = placesOf(workTree, link);
        const git = places.at(-1)!;
        if (this.#watch.guarded.includes(git)) continue;
        // git does not follow a link on the way to a submodule.
        const there = entryKind(workTree, link) === "directory" && isThere(git);
        if (there) await this.#disarm(git);
        waiting.push(...places);
      }
    }
    this.#waiting = waiting;
  }

  lost(error: VibeError): void {
    const message = `Git directories are not watched any more: ${error.message}`;
    this.#report({ kind: "unwatched", path: "", movedTo: null, message });
  }

  /** All directories above these are pinned, so the path leads where it says. */
  async #expel(path: string): Promise<void> {
    let movedTo: string | null = null;
    let problem = "";
    try {
      await Deno.mkdir(this.#quarantine, { recursive: true });
      movedTo = join(this.#quarantine, `${Date.now()}-${this.#kept}-${basename(path)}`);
      if (this.#kept++ < MAX_KEPT) await Deno.rename(path, movedTo);
      else {
        movedTo = null;
        await Deno.remove(path, { recursive: true });
      }
    } catch (error) {
      movedTo = null;
      problem = reason(error);
    }
    const now = movedTo ? `moved to "${movedTo}"` : problem ? `still there: ${problem}` : "deleted";
    this.#tell("appeared", path, movedTo, `the VM made "${path}", which redirects git: ${now}`);
  }

  /**
   * Renames a `.git` where it is. The guest could put a link in the place of a directory above it,
   * so the shell goes there first and looks where it has come to.
   */
  async #disarm(git: string): Promise<void> {
    const directory = dirname(git);
    const name = `.git.vibe-${Date.now()}`;
    const { success } = await run(["sh", "-c", RENAME, "sh", directory, name]);
    const movedTo = success ? join(directory, name) : null;
    const now = movedTo ? `renamed to "${name}"` : "still there: do not use git on the host";
    const what = `a repository appeared in "${directory}", which the index calls a submodule`;
    this.#tell("submodule", git, movedTo, `${what}: its .git is ${now}`);
  }

  #compare(path: string, after: string | null): void {
    const first = !this.#texts.has(path);
    const before = this.#texts.get(path) ?? null;
    this.#texts.set(path, after);
    if (first || after === before) return;
    const old = new Set((before ?? "").split("\n"));
    const added = (after ?? "").split("\n").map((line) => line.trim())
      .filter((line) => line !== "" && !old.has(line) && !old.has(`\t${line}`));
    const what = after === null ? "is gone" : `has new lines: ${added.join("; ") || "none"}`;
    this.#tell("changed", path, null, `"${path}" changed while the VM ran, and ${what}`);
  }

  #tell(kind: GitViolation["kind"], path: string, movedTo: string | null, message: string): void {
    const said = printable(message, 1000);
    // What stays in place would be told again at every look.
    if (movedTo === null && kind !== "changed" && this.#reported.has(said)) return;
    this.#reported.add(said);
    this.#report({ kind, path, movedTo, message: said });
  }
}

/** \\`$()\\` drops line ends at the end of a name, so a dot is put behind it. */
const RENAME = `cd -- "$1" && [ "$(pwd -P; printf .)" = "$1
." ] && mv -T -- .git "$2"`;

/** The directories below a work tree that lead to a submodule, and its `.git`. */
function placesOf(workTree: string, link: string): string[] {
  const names = [...link.split("/"), ".git"];
  return names.map((_, index) => join(workTree, ...names.slice(0, index + 1)));
}

async function readText(path: string): Promise<string | null> {
  const bytes = await readRegularFile(path);
  return bytes && new TextDecoder().decode(bytes);
}
