/**
 * The tree of bind mounts that virtiofsd serves, as an fstab for one call of mount(8), and as what
 * mountinfo must say afterwards. Pure.
 *
 * One process for all: `mount --all` of 7 binds takes 2 ms where 7 calls take 16. And no path is
 * ever a word of a shell script or of an option: fstab has an escape for every byte.
 */

import type { Guard } from "../driver/driver.ts";
import { isWithin, type Mount, mountOf, mountsBelow, pathInMount } from "./mountinfo.ts";

/** Paths of the directory that the tree is built in; nothing else may write there. */
export interface TreeLayout {
  /** Holds one mount point per share: what the guest sees as the top of the tag. */
  tree: string;
  /** What a hidden directory looks like. */
  emptyDir: string;
  /** What a hidden file looks like. */
  emptyFile: string;
}

/** A share whose paths were looked at. */
export interface CheckedShare {
  name: string;
  source: string;
  kind: "directory" | "file";
  readOnly: boolean;
  guards: (Guard & { kind: "directory" | "file" })[];
}

/** One bind mount, in the order in which they must be made. */
export interface Bind {
  source: string;
  target: string;
  readOnly: boolean;
  /** Mount options, in fstab's words. */
  options: string[];
}

/** The binds, and what must be visible afterwards at each mount point. */
export interface MountPlan {
  binds: Bind[];
  expected: Map<string, Mount>;
}

/**
 * Plans the tree of `shares`.
 *
 * @param mounts what is mounted on this host now.
 */
export function planMounts(shares: CheckedShare[], layout: TreeLayout, mounts: Mount[]): MountPlan {
  const planner = new Planner(mounts);
  // `shared`, so that what is bound later reaches the daemon's own mount namespace, too; and
  // read-only, or the guest could fill the runtime directory with files beside the shares.
  planner.bind(layout.tree, layout.tree, true, ["shared"]);
  for (const share of shares) bindShare(planner, share, layout);
  return { binds: planner.binds, expected: planner.expected };
}

/**
 * Plans one more share, in `layout.tree`, which is there.
 *
 * @param mounts what is mounted in the namespace now.
 */
export function planShare(share: CheckedShare, layout: TreeLayout, mounts: Mount[]): MountPlan {
  const planner = new Planner(mounts);
  bindShare(planner, share, layout);
  return { binds: planner.binds, expected: planner.expected };
}

function bindShare(planner: Planner, share: CheckedShare, layout: TreeLayout): void {
  const top = `${layout.tree}/${share.name}`;
  planner.bind(share.source, top, share.readOnly);
  for (const guard of share.guards.toSorted((a, b) => depth(a.path) - depth(b.path))) {
    const target = `${top}/${guard.path}`;
    const empty = guard.kind === "directory" ? layout.emptyDir : layout.emptyFile;
    const source = guard.rule === "hide" ? empty : target;
    planner.bind(source, target, share.readOnly || guard.rule !== "pin");
  }
}

/** The binds as an fstab. */
export function fstab(binds: Bind[]): string {
  return binds.map(({ source, target, options }) =>
    `${encode(source)} ${encode(target)} none ${options.join(",")} 0 0\n`
  ).join("");
}

/**
 * The mount points that do not lead to what was planned: nothing is mounted, or something else (a
 * path became a symbolic link before it was mounted), or it can be written to.
 */
export function brokenMounts(plan: MountPlan, mounts: Mount[]): string[] {
  return [...plan.expected.values()].filter((expected) => {
    const actual = mountOf(mounts, expected.point);
    return actual?.point !== expected.point || actual.device !== expected.device ||
      actual.root !== expected.root ||
      (expected.flags.includes("ro") && !actual.flags.includes("ro"));
  }).map((mount) => mount.point);
}

/**
 * The binds that make these mount points again while the tree is in use. A mount spreads to the
 * daemon's namespace as it is when it is made; that it becomes read-only afterwards does not. So a
 * read-only one is made at a path beside the tree first, and bound from there.
 *
 * @param beside a path outside of the tree for a mount point in it, of the same kind.
 */
export function bindsAgain(
  plan: MountPlan,
  points: string[],
  beside: (point: string) => string,
): Bind[] {
  return plan.binds.filter(({ target }) => points.includes(target)).flatMap((bind) => {
    if (!bind.readOnly) return [bind];
    const aside = beside(bind.target);
    return [{ ...bind, target: aside }, { ...bind, source: aside, options: ["rbind"] }];
  });
}

/** Plays the binds through, as the kernel will do them. */
class Planner {
  readonly binds: Bind[] = [];
  readonly expected = new Map<string, Mount>();
  readonly #mounts: Mount[];
  #nextId: number;

  constructor(mounts: Mount[]) {
    this.#mounts = [...mounts];
    this.#nextId = Math.max(0, ...mounts.map((mount) => mount.id)) + 1;
  }

  bind(source: string, target: string, readOnly: boolean, propagation: string[] = []): void {
    const from = mountOf(this.#mounts, source);
    if (!from) throw new Error(`no file system is mounted at "${source}"`);
    // Recursive, or file systems mounted inside a share would be missing; and in a user namespace
    // the kernel does not let a mount be bound without those that cover parts of it.
    const inner = mountsBelow(this.#mounts, source).map((mount) => ({
      ...mount,
      point: target + (source === "/" ? mount.point : mount.point.slice(source.length)),
    })).sort((a, b) => depth(a.point) - depth(b.point));
    const options = ["rbind", ...propagation];
    if (readOnly) options.push("ro", ...kept(from.flags));
    this.binds.push({ source, target, readOnly, options });
    for (const point of this.expected.keys()) {
      if (isWithin(point, target)) this.expected.delete(point);
    }
    const root = pathInMount(from, source);
    this.#add({ ...from, root, point: target, flags: readOnly ? ["ro"] : from.flags });
    for (const mount of inner) this.#add(mount);
    if (!readOnly) return;
    // `ro` is a matter of one mount: those inside need it, too.
    for (const { point } of inner) {
      if (!mountOf(this.#mounts, point)!.flags.includes("ro")) this.bind(point, point, true);
    }
  }

  #add(mount: Mount): void {
    const parent = mountOf(this.#mounts, mount.point)!.id;
    const made = { ...mount, id: this.#nextId++, parent };
    this.#mounts.push(made);
    this.expected.set(made.point, made);
  }
}

/**
 * The flags that a remount must repeat: in a user namespace the kernel refuses one that would
 * lift them, and mount(8) before 2.39 lifts all it is not told.
 */
function kept(flags: string[]): string[] {
  const repeat = ["nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"];
  const found = repeat.filter((flag) => flags.includes(flag));
  const atime = flags.includes("noatime") || flags.includes("relatime");
  return atime ? found : [...found, "strictatime"];
}

function depth(path: string): number {
  return path.split("/").length;
}

/** fstab separates by blanks, begins comments with # and undoes `\ooo` in every field. */
function encode(path: string): string {
  return path.replace(/[\s\\#"']/g, (char) => {
    const octal = char.charCodeAt(0).toString(8).padStart(3, "0");
    return char.charCodeAt(0) < 0x80 ? `\\${octal}` : char;
  });
}
