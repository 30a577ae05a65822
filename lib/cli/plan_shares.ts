/** Which host directories a VM gets, where, and what it may do to them. */

import { mountSource, parseMounts } from "../share/mount_spec.ts";
import type { InstancePaths } from "../paths.ts";
import type { PlannedMount, VmPlan } from "../plan.ts";
import type { VmOptions } from "./options.ts";
import { basename } from "node:path";

/** The part of a {@link VmPlan} that is about shares. */
export type PlannedShares = Pick<
  VmPlan,
  "mounts" | "mountSpecs" | "defaultMounts" | "git" | "workdir" | "watchedGitDirs"
>;

export async function planShares(paths: InstancePaths, options: VmOptions): Promise<PlannedShares> {
  const mountSpecs = options.mount ?? [];
  const mounts: PlannedMount[] = [];
  const guest = `/root/${basename(paths.project)}`;
  if (options.defaultMounts !== false) {
    mounts.push({
      name: "project",
      source: paths.project,
      readOnly: false,
      guards: [{ path: ".vibe", rule: "hide" }],
      guestPath: guest,
    });
  }
  for (
    const [i, spec] of parseMounts(mountSpecs, Deno.cwd(), mounts.map((m) => m.guestPath)).entries()
  ) {
    mounts.push({
      name: `mount-${i}`,
      source: await mountSource(spec),
      readOnly: spec.readOnly,
      guards: [],
      guestPath: spec.guest,
    });
  }
  return {
    mounts,
    mountSpecs,
    defaultMounts: options.defaultMounts !== false,
    git: options.git ?? "guard",
    workdir: options.defaultMounts !== false ? guest : null,
    watchedGitDirs: [],
  };
}
