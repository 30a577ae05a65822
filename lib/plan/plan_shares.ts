/** Which host directories a VM gets, where, and what it may do to them. */

import { printable, VibeError } from "../errors.ts";
import { projectOf } from "../instance/open.ts";
import type { Instance } from "../paths.ts";
import { type DirectoryShares, shareDirectory } from "../share/directory.ts";
import type { GitWatch } from "../share/git_guard.ts";
import { ownDirectories } from "../share/guard_set.ts";
import { formatMount, mountSource, type MountSpec, parseMounts } from "../share/mount_spec.ts";
import { isWithin } from "../share/mountinfo.ts";
import { projectGuestPath, projectShares } from "../share/project.ts";
import { userShares } from "../share/user_shares.ts";
import { DEFAULTS } from "./limits.ts";
import type { VmOptions } from "./options.ts";
import type { VmPlan } from "./plan.ts";

/** The part of a {@link VmPlan} that is about shares. */
export interface PlannedShares extends
  Pick<
    VmPlan,
    | "mounts"
    | "mountSpecs"
    | "defaultMounts"
    | "homeMounts"
    | "git"
    | "gitWatch"
    | "repositories"
    | "workdir"
  > {
  /** What is shared as `--mount` values, the project too, but for the user's own directories. */
  explicit: string[];
  /** For `makeDirectories`. */
  directories: string[];
}

/**
 * The shares that options ask for. Changes nothing.
 *
 * @param warn told, one line each, what the user should know about them.
 * @throws {VibeError} `MOUNT_*`, `PROJECT_*`, `GIT_UNGUARDABLE`.
 */
export async function planShares(
  instance: Instance,
  options: VmOptions,
  warn: (text: string) => void,
): Promise<PlannedShares> {
  const git = options.git ?? DEFAULTS.git;
  const mountSpecs = options.mount ?? [];
  const defaultMounts = options.defaultMounts !== false;
  const project = await projectOf(instance);
  // What cannot be parsed is told before anything is looked at.
  const cwd = Deno.cwd();
  parseMounts(mountSpecs, cwd);
  const all: DirectoryShares[] = [];
  const explicit: string[] = [];
  if (defaultMounts && project !== null) {
    const guest = projectGuestPath(project);
    all.push(await projectShares(project, git, undefined, instance.dir, diskOf(instance)));
    explicit.push(formatMount({ host: project, guest, readOnly: false, git }));
  }
  const taken = () => all.flatMap(({ shares }) => shares.map(({ guestPath }) => guestPath));
  const specs = parseMounts(mountSpecs, cwd, taken());
  const homeMounts = options.homeMounts ?? all.length > 0;
  if (homeMounts) {
    const asked = [...taken(), ...specs.map(({ guest }) => guest)];
    const shares = userShares(Deno.env.get("HOME"), asked);
    if (shares.length > 0) all.push({ shares, ...NOTHING_ELSE });
  }
  for (const [index, spec] of specs.entries()) {
    all.push(await explicitMount(`mount-${index}`, spec, instance));
    explicit.push(formatMount(spec));
  }
  const ofProject = all.find(({ shares: [share] }) => share.source === project);
  for (const { warnings } of all) warnings.forEach(warn);
  return {
    mounts: all.flatMap(({ shares }) => shares),
    mountSpecs,
    defaultMounts,
    explicit,
    homeMounts,
    git,
    gitWatch: joinWatches(all.flatMap(({ watch }) => watch ?? [])),
    repositories: ofProject?.repositories ?? [],
    workdir: ofProject?.shares[0].guestPath ?? null,
    directories: all.flatMap(({ directories }) => directories),
  };
}

function diskOf(instance: Instance): string | undefined {
  return instance.kind === "disk" ? instance.title : undefined;
}

/** A `--mount`. Nothing in it is guarded but vibe's own files, unless it says `git=`. */
export async function explicitMount(
  name: string,
  spec: MountSpec,
  instance: Instance,
): Promise<DirectoryShares> {
  const source = await mountSource(spec);
  if ([instance.dir, ...ownDirectories()].some((own) => isWithin(source, own))) {
    throw new VibeError("MOUNT_STATE", `Cannot mount "${printable(source)}": it is vibe's own`, {
      hint: "A VM that can write a disk image could make the host read any file.",
    });
  }
  if (source === diskOf(instance)) {
    throw new VibeError("MOUNT_STATE", `Cannot mount "${printable(source)}": it is the VM's disk`);
  }
  const { guest: guestPath, readOnly } = spec;
  // What cannot be written needs fewer guards.
  const git = readOnly && spec.git && spec.git !== "hide" ? "ro" : spec.git;
  const share = { name, source, guestPath, readOnly };
  if ((await Deno.lstat(source)).isDirectory) {
    const project = await projectOf(instance);
    const own = { state: instance.dir, project, disk: diskOf(instance) };
    return await shareDirectory({ ...share, git }, own);
  }
  return { shares: [{ ...share, guards: [] }], ...NOTHING_ELSE };
}

const NOTHING_ELSE = { watch: null, repositories: [], directories: [], warnings: [] };

function joinWatches(watches: GitWatch[]): GitWatch | null {
  if (watches.length === 0) return null;
  return {
    absent: watches.flatMap(({ absent }) => absent),
    settings: watches.flatMap(({ settings }) => settings),
    repositories: watches.flatMap(({ repositories }) => repositories),
    guarded: watches.flatMap(({ guarded }) => guarded),
  };
}
