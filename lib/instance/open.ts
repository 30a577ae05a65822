/** The state directories of VMs, made when they are first asked for. */

import { join } from "node:path";
import { ExitCode, printable, reason, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { diskInstance, type Instance, namedInstance, projectInstance } from "../paths.ts";

/**
 * The VM of a directory, its state directory made.
 *
 * @throws {VibeError} `VIBE_DIR_BLOCKED`, `PROJECT_READ_ONLY`.
 */
export async function openProject(directory: string): Promise<Instance> {
  const project = await Deno.realPath(directory);
  const instance = await projectInstance(project);
  // So that the disk is never committed by accident.
  if (await openState(instance)) await writeFileWhole(join(instance.dir, ".gitignore"), "*\n");
  return instance;
}

/** The directory that a VM is for, or null: a disk image is used in the current one. */
export async function projectOf({ kind, title }: Instance): Promise<string | null> {
  if (kind === "project") return title;
  return kind === "disk" ? await Deno.realPath(Deno.cwd()) : null;
}

/**
 * The VM that is kept under a name, its state directory made.
 *
 * @throws {VibeError} `VM_NAME` for what cannot be a name; `VIBE_DIR_BLOCKED`, `PROJECT_READ_ONLY`.
 */
export async function openNamed(name: string): Promise<Instance> {
  checkVmName(name);
  const instance = await namedInstance(name);
  await openState(instance);
  return instance;
}

/** @throws {VibeError} `VM_NAME` for what cannot be a name, and so no path either. */
export function checkVmName(name: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) return;
  throw new VibeError("VM_NAME", `Cannot use "${printable(name)}" as the name of a VM`, {
    hint: "Names are lower-case letters, digits, dots, dashes and underscores.",
    exitCode: ExitCode.usage,
  });
}

/**
 * The VM of a disk image, its state directory made.
 *
 * @throws {VibeError} `DISK_MISSING`, and as {@link openState}.
 */
export async function openDisk(path: string): Promise<Instance> {
  const instance = await findDisk(path);
  await openState(instance);
  return instance;
}

/** The VM of a disk image; makes nothing. @throws {VibeError} `DISK_MISSING`. */
export async function findDisk(path: string): Promise<Instance> {
  const refused = (why: string, cause?: unknown) =>
    new VibeError("DISK_MISSING", `Cannot use the disk "${path}": ${why}`, { cause });
  try {
    const disk = await Deno.realPath(path);
    // Looked at first: opening a FIFO would wait for its other end.
    if (!(await Deno.stat(disk)).isFile) throw refused("it is not a regular file");
    (await Deno.open(disk, { read: true, write: true })).close();
    return await diskInstance(disk);
  } catch (error) {
    if (error instanceof VibeError) throw error;
    if (error instanceof Deno.errors.NotFound) throw refused("there is no such file", error);
    const denied = error instanceof Deno.errors.PermissionDenied || isReadOnly(error);
    throw refused(denied ? "you may not write to it" : reason(error), error);
  }
}

/**
 * Makes the state directory of a VM; true if it was not there.
 *
 * @throws {VibeError} `VIBE_DIR_BLOCKED`, `PROJECT_READ_ONLY`.
 */
export async function openState({ kind, dir, title }: Instance): Promise<boolean> {
  try {
    // A project's directory is there, or the user would not be in it.
    await Deno.mkdir(dir, { mode: 0o700, recursive: !dir.startsWith(`${title}/`) });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      if ((await Deno.lstat(dir)).isDirectory) return false;
      throw new VibeError("VIBE_DIR_BLOCKED", `Cannot use "${dir}": it is not a directory`);
    }
    const why = error instanceof Deno.errors.PermissionDenied || isReadOnly(error)
      ? "it is read-only for you"
      : reason(error);
    throw new VibeError("PROJECT_READ_ONLY", `Cannot make a VM in "${title}": ${why}`, {
      hint: kind === "project"
        ? `vibe keeps the VM's disk in "${dir}". Use a directory that you can write to, and ` +
          `share this one: --mount ${title}:project:read-only`
        : `vibe keeps the VM's files in "${dir}". VIBE_DATA names another place.`,
      cause: error,
    });
  }
}

function isReadOnly(error: unknown): boolean {
  return (error as { code?: string }).code === "EROFS";
}
