/** Collecting the guards of one share. */

import { isAbsolute, relative } from "node:path";
import type { Guard } from "../driver/driver.ts";
import { cacheDir, configDir, dataDir } from "../paths.ts";
import { type EntryKind, entryKind, withAncestors } from "./entry.ts";

const STRENGTH: Record<Guard["rule"], number> = { pin: 0, "read-only": 1, hide: 2 };

/** The guards of the share of one directory. Paths are relative to it. */
export class GuardSet {
  /** The directory that is shared: absolute, without links. */
  readonly root: string;
  readonly #expected = new Set<string>();
  readonly #rules = new Map<string, Guard["rule"]>();

  constructor(root: string) {
    this.root = root;
  }

  /** What is at a path, or will be; see {@link entryKind}. */
  kind(path: string): EntryKind {
    const kind = entryKind(this.root, path);
    return kind === "missing" && this.#expected.has(path) ? "directory" : kind;
  }

  /** Counts on a directory that is made before the VM starts; see `makeDirectories`. */
  expect(path: string): void {
    this.#expected.add(path);
  }

  /** The absolute paths of directories that are counted on, and are not there yet. */
  missing(): string[] {
    return [...this.#expected].filter((path) => entryKind(this.root, path) === "missing")
      .map((path) => `${this.root}/${path}`);
  }

  /** The relative path of an absolute one; null if it is not below the root. */
  below(path: string): string | null {
    const inside = relative(this.root, path);
    return inside === "" || isAbsolute(inside) || inside.split("/")[0] === ".." ? null : inside;
  }

  /**
   * Guards what is at a path, and pins the directories above it, or the guest would rename one and
   * put its own in the same place. Does nothing but tell if that is no directory or regular file.
   */
  protect(path: string, rule: Guard["rule"]): EntryKind {
    const kind = this.kind(path);
    if (kind !== "directory" && kind !== "file") return kind;
    for (const above of withAncestors(path)) this.#add(above, above === path ? rule : "pin");
    return kind;
  }

  /** All guards, without those that another one makes needless. */
  list(): Guard[] {
    return [...this.#rules].filter(([path, rule]) =>
      withAncestors(path).slice(0, -1).every((above) => {
        const outer = this.#rules.get(above);
        return outer !== "hide" && (outer !== "read-only" || rule === "hide");
      })
    ).map(([path, rule]) => ({ path, rule }));
  }

  #add(path: string, rule: Guard["rule"]): void {
    const present = this.#rules.get(path);
    if (!present || STRENGTH[present] < STRENGTH[rule]) this.#rules.set(path, rule);
  }
}

/** The directories that hold what vibe trusts: programs it runs, disks, the user's settings. */
export const ownDirectories = () => [cacheDir(), dataDir(), configDir()];

/** Keeps the guest from writing to the file of its own disk, under the hypervisor's feet. */
export function guardDisk(guards: GuardSet, disk: string): void {
  const inside = guards.below(disk);
  if (inside) guards.protect(inside, "read-only");
}

/** Hides vibe's own files from the guest of a share that is so wide that it holds them. */
export function hideOwnFiles(guards: GuardSet): void {
  for (const dir of ownDirectories()) {
    const inside = guards.below(dir);
    if (inside) guards.protect(inside, "hide");
  }
}
