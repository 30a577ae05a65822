/**
 * What a finished disk says about itself: its kernel, the modules that an initrd needs, what is
 * installed. Read from the disk on the host, so that it is the same for an image that was built
 * here, for a foreign one that has never run, and for one that a guest has changed.
 */

import { printable, VibeError } from "../../errors.ts";
import { Ext4Error } from "./ext4.ts";
import { findRoot, type Root } from "./root.ts";

/** The system on a disk. */
export interface DiskSystem {
  /** What the kernel is told as `root=`. */
  root: string;
  /** The distribution's code name for the release, or its id: `trixie`, `alpine`. */
  suite: string;
  /** `debian-13`: fits into the ids of bases. */
  title: string;
  kernelRelease: string;
  /** As it lies in /boot. */
  kernel: Uint8Array<ArrayBuffer>;
  /** In the order to load them, compressed as they are: Linux unpacks them itself. */
  modules: { name: string; content: Uint8Array<ArrayBuffer> }[];
  /** Name -> version of Debian packages. */
  packages: Record<string, string>;
}

/**
 * What it takes to reach the disk, the agent's port, the network and the shares. Debian's cloud
 * kernel has most of it built in, its generic kernel almost nothing. ext4 asks for crc32c by its
 * purpose, not by a module's name, so that is named here.
 */
const NEEDED = [
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "virtio_net",
  "crc32c_generic",
  "ext4",
  "virtiofs",
];

const MAX_KERNEL = 128 << 20;
const MAX_MODULE = 16 << 20;
const MAX_LIST = 64 << 20;

/**
 * Reads a disk that no VM has open.
 *
 * @param what names the disk in messages.
 * @throws {VibeError} `DISK_NO_SYSTEM` if nothing on it can be booted here; `DISK_UNCLEAN` with
 * `requireClean`, if it was not unmounted.
 */
export async function readSystem(
  disk: string,
  what: string,
  { requireClean = false } = {},
): Promise<DiskSystem> {
  using file = await Deno.open(disk, { read: true });
  try {
    const root = await findRoot(file);
    if (!root) throw new Ext4Error("no ext4 file system with a Linux on it was found");
    if (requireClean && !root.files.clean) {
      throw new VibeError("DISK_UNCLEAN", `Cannot use the disk of ${what}: it was not unmounted`, {
        hint: "The machine was ended before it had shut down.",
      });
    }
    return await readRoot(root);
  } catch (error) {
    if (!(error instanceof Ext4Error)) throw error;
    const why = printable(error.message);
    throw new VibeError("DISK_NO_SYSTEM", `Cannot boot the disk of ${what}: ${why}`, {
      hint: "vibe boots systems that have their root, with /boot on it, on ext4.",
    });
  }
}

async function readRoot({ files, device }: Root): Promise<DiskSystem> {
  const { kernelRelease, kernel, dependencies } = await newestKernel(files);
  const modules: DiskSystem["modules"] = [];
  for (const path of modulesToLoad(dependencies, NEEDED)) {
    const content = await files.readFile(`/lib/modules/${kernelRelease}/${path}`, MAX_MODULE);
    if (!content) throw new Ext4Error(`the kernel's module "${path}" is missing`);
    modules.push({ name: path.slice(path.lastIndexOf("/") + 1), content });
  }
  const release = parseRelease(await files.readText("/etc/os-release", 1 << 16) ?? "");
  const status = await files.readText("/var/lib/dpkg/status", MAX_LIST) ?? "";
  return {
    root: device,
    suite: release.VERSION_CODENAME || release.ID || "unknown",
    title: [release.ID || "linux", release.VERSION_ID].filter(Boolean).join("-")
      .toLowerCase().replace(/[^a-z0-9.]+/g, "-").slice(0, 40),
    kernelRelease,
    kernel,
    modules,
    packages: parseStatus(status),
  };
}

async function newestKernel(files: Root["files"]) {
  const releases = (await files.readDir("/boot"))
    .flatMap((name) => name.match(/^vmlinuz-([\w.+~-]{1,100})$/)?.[1] ?? [])
    .sort((a, b) => compareVersions(b, a));
  for (const kernelRelease of releases) {
    const dependencies = await files.readText(
      `/lib/modules/${kernelRelease}/modules.dep`,
      MAX_LIST,
    );
    if (dependencies === null) continue;
    const kernel = await files.readFile(`/boot/vmlinuz-${kernelRelease}`, MAX_KERNEL);
    if (!kernel) continue;
    if (!isKernel(kernel)) {
      throw new Ext4Error(`the kernel ${kernelRelease} is not one for this computer's processor`);
    }
    return { kernelRelease, kernel, dependencies };
  }
  throw new Ext4Error("there is no kernel with its modules in /boot");
}

/** As people order versions: numbers by their value. */
export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** Whether this host's processor boots it (kernel documentation: arch/x86/boot, arch/arm64/booting). */
function isKernel(image: Uint8Array): boolean {
  const at = Deno.build.arch === "aarch64" ? 0x38 : 0x202;
  const magic = Deno.build.arch === "aarch64" ? "ARM\x64" : "HdrS";
  return new TextDecoder().decode(image.subarray(at, at + 4)) === magic;
}

/**
 * Paths of modules in the order to load them, for `needed` and what these need. One that is not
 * listed is built into the kernel. A line of modules.dep says "module: needs needs-of-needs"; to
 * load, it is read backwards.
 */
export function modulesToLoad(dependencies: string, needed: string[]): string[] {
  const lines = new Map<string, string[]>();
  for (const line of dependencies.split("\n")) {
    const [path, ...needs] = line.replace(":", "").split(/\s+/).filter(Boolean);
    const name = path?.match(/^[\w./+-]*?([\w-]+)\.ko(\.\w+)?$/)?.[1];
    if (name) lines.set(name.replaceAll("-", "_"), [path, ...needs]);
  }
  const paths = needed.flatMap((name) => lines.get(name)?.toReversed() ?? []);
  return [...new Set(paths)].filter((path) =>
    /^[\w./+-]+$/.test(path) && !path.split("/").includes("..")
  );
}

/** `NAME=value` or `NAME="value"` lines, as in os-release. */
function parseRelease(text: string): Record<string, string | undefined> {
  const lines = text.split("\n").map((line) => line.match(/^([A-Z_]+)="?([^"]*)"?$/));
  return Object.fromEntries(lines.flatMap((match) => match ? [[match[1], match[2]]] : []));
}

/** The installed packages of dpkg's status file. */
export function parseStatus(text: string): Record<string, string> {
  const packages: [string, string][] = [];
  for (const paragraph of text.split("\n\n")) {
    const field = (name: string) => paragraph.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
    const [name, version] = [field("Package"), field("Version")];
    if (name && version && field("Status")?.endsWith(" installed")) packages.push([name, version]);
  }
  return Object.fromEntries(packages.sort(([a], [b]) => a < b ? -1 : 1));
}
