/** The directory that a tree of shares is built in, and the shares looked at before. */

import { join } from "node:path";
import type { Share } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import { type EntryKind, entryKind } from "./entry.ts";
import type { CheckedShare, TreeLayout } from "./mount_plan.ts";

/** The names that the tree is built from, in `shares/` of the runtime directory. */
export interface Layout extends TreeLayout {
  dir: string;
  /** Mount points beside the tree, while guards are put back or shares added. */
  again: string;
  fstab: string;
}

/** Makes that directory, and a mount point per share. */
export async function prepareTree(runtimeDir: string, shares: CheckedShare[]): Promise<Layout> {
  const dir = `${runtimeDir}/shares`;
  const layout = {
    dir,
    tree: `${dir}/tree`,
    emptyDir: `${dir}/empty`,
    emptyFile: `${dir}/empty-file`,
    again: `${dir}/again`,
    fstab: `${dir}/fstab`,
  };
  await removeTree(dir);
  for (const path of [dir, layout.tree, layout.emptyDir]) await Deno.mkdir(path);
  await Deno.writeTextFile(layout.emptyFile, "");
  for (const { name, kind } of shares) await makePoint(`${layout.tree}/${name}`, kind);
  // Whatever the umask is: this is what the guest sees.
  for (const path of [layout.tree, layout.emptyDir]) await Deno.chmod(path, 0o755);
  return layout;
}

/** Makes what a directory, or else a file, can be mounted on. */
export async function makePoint(path: string, kind: EntryKind): Promise<void> {
  if (kind === "directory") await Deno.mkdir(path);
  else await Deno.writeTextFile(path, "");
}

/** Removes what {@link prepareTree} made. The mounts are not here: they were in the namespace. */
export async function removeTree(dir: string): Promise<void> {
  try {
    await Deno.remove(dir, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Looks at every path of a share without following a link. @throws {VibeError} */
export function checkShare(share: Share): CheckedShare {
  const solid = (path: string) => {
    const kind = entryKind(share.source, path);
    if (kind === "directory" || kind === "file") return kind;
    const why = {
      link: "it is, or is below, a symbolic link",
      missing: "it does not exist",
      other: "it is neither a directory nor a regular file",
    }[kind];
    throw new VibeError(
      "SHARE_SOURCE",
      `Cannot share "${printable(join(share.source, path))}" with the VM: ${why}`,
    );
  };
  return {
    ...share,
    kind: solid(""),
    guards: share.guards.map((guard) => ({ ...guard, kind: solid(guard.path) })),
  };
}
