/** Which host directories a VM gets, where, and what it may do to them. */

import { printable, VibeError } from "../errors.ts";
import type { Instance } from "../paths.ts";
import { DEFAULTS } from "./limits.ts";
import type { PlannedMount, VmPlan } from "./plan.ts";
import { scanRepositories } from "../share/git_scan.ts";
import { guardDisk, GuardSet, hideOwnFiles, ownDirectories } from "../share/guard_set.ts";
import { mountSource, type MountSpec, parseMounts } from "../share/mount_spec.ts";
import { isWithin } from "../share/mountinfo.ts";
import { projectShares } from "../share/project.ts";
import { userShares } from "../share/user_shares.ts";
import type { VmOptions } from "./options.ts";

/** The part of a {@link VmPlan} that is about shares. */
export type PlannedShares = Pick<
  VmPlan,
  "mounts" | "mountSpecs" | "defaultMounts" | "git" | "gitWatch" | "repositories" | "workdir"
>;

/**
 * The shares that options ask for.
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
  // What cannot be parsed is told before anything is looked at.
  const cwd = Deno.cwd();
  parseMounts(mountSpecs, cwd);
  const directory = defaultMounts ? await projectOf(instance) : null;
  const disk = diskOf(instance);
  const project = directory === null
    ? null
    : await projectShares(directory, git, undefined, instance.dir, disk);
  project?.warnings.forEach(warn);
  const mounts: PlannedMount[] = project?.shares ?? [];
  const specs = parseMounts(mountSpecs, cwd, mounts.map((mount) => mount.guestPath));
  if (project) {
    const taken = [...mounts.map((mount) => mount.guestPath), ...specs.map(({ guest }) => guest)];
    mounts.push(...userShares(Deno.env.get("HOME"), taken));
  }
  for (const [index, spec] of specs.entries()) {
    mounts.push(await explicitMount(`mount-${index}`, spec, instance));
  }
  return {
    mounts,
    mountSpecs,
    defaultMounts,
    git,
    gitWatch: project?.watch ?? null,
    repositories: project?.repositories ?? [],
    workdir: project ? mounts[0].guestPath : null,
  };
}

/** The directory that a VM is for: a disk image is used in the current one. */
async function projectOf({ kind, title }: Instance): Promise<string | null> {
  if (kind === "project") return title;
  return kind === "disk" ? await Deno.realPath(Deno.cwd()) : null;
}

function diskOf(instance: Instance): string | undefined {
  return instance.kind === "disk" ? instance.title : undefined;
}

/** A `--mount`. Nothing in it is guarded but the disks of VMs, this one's and others'. */
export async function explicitMount(
  name: string,
  spec: MountSpec,
  instance: Instance,
): Promise<PlannedMount> {
  const source = await mountSource(spec);
  if ([instance.dir, ...ownDirectories()].some((own) => isWithin(source, own))) {
    throw new VibeError("MOUNT_STATE", `Cannot mount "${printable(source)}": it is vibe's own`, {
      hint: "A VM that can write a disk image could make the host read any file.",
    });
  }
  const guards = new GuardSet(source);
  if (guards.kind("") === "directory") {
    const own = guards.below(instance.dir);
    if (own) guards.protect(own, "hide");
    for (const other of scanRepositories(source).projects) guards.protect(`${other}/.vibe`, "hide");
    hideOwnFiles(guards);
    const disk = diskOf(instance);
    if (disk) guardDisk(guards, disk);
  } else if (source === diskOf(instance)) {
    throw new VibeError("MOUNT_STATE", `Cannot mount "${printable(source)}": it is the VM's disk`);
  }
  const { guest: guestPath, readOnly } = spec;
  return { name, source, guestPath, readOnly, guards: guards.list() };
}
