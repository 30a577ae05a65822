/**
 * `--mount host:guest[:mode]`, parsed. Pure, but for one look at what is to be shared.
 *
 * Fields are separated by colons; `\:` is a colon in a path and `\\` a backslash.
 */

import { posix, resolve } from "node:path";
import { GIT_MODES, type GitMode } from "./git_mode.ts";
import { ExitCode, printable, reason, VibeError } from "../errors.ts";

/** A mount that was asked for. */
export interface MountSpec {
  /** Absolute path on the host. */
  host: string;
  /** Absolute, normal path in the guest. */
  guest: string;
  readOnly: boolean;
  /** Guard the repositories in it as those of the project are; none: it is shared as it is. */
  git?: GitMode;
}

const MODES: Record<string, { readOnly: boolean }> = {
  "read-write": { readOnly: false },
  "rw": { readOnly: false },
  "read-only": { readOnly: true },
  "ro": { readOnly: true },
};

const FORM = "The form is HOST:GUEST[:MODE]. MODE is read-write or read-only, and may have " +
  `git=${GIT_MODES.join("|")} after a comma; write \\: for a colon in a path.`;

/** Where nothing may be mounted, nor below: the guest would not work, or would not see it. */
const TAKEN = ["/proc", "/sys", "/dev", "/run", "/var/run"];

/**
 * Parses one `--mount`.
 *
 * @param cwd what a host path that is not absolute starts from.
 * @throws {VibeError} `MOUNT_SYNTAX`, `MOUNT_MODE`, `MOUNT_GUEST_PATH`.
 */
export function parseMount(spec: string, cwd: string): MountSpec {
  const [host, guest, mode = "read-write", ...more] = fields(spec);
  if (!host || !guest || more.length > 0) {
    throw invalid("MOUNT_SYNTAX", spec, "it has not two or three fields", FORM);
  }
  if (spec.includes("\0")) throw invalid("MOUNT_SYNTAX", spec, "it holds a NUL byte", FORM);
  return { host: resolve(cwd, host), guest: guestPath(guest, spec), ...parseMode(mode, spec) };
}

/** `read-only`, `read-write,git=guard`, `git=ro`. */
function parseMode(text: string, spec: string): Pick<MountSpec, "readOnly" | "git"> {
  const mode: Pick<MountSpec, "readOnly" | "git"> = { readOnly: false };
  const words = text.split(",");
  for (const [index, word] of words.entries()) {
    const git = GIT_MODES.find((name) => word === `git=${name}`);
    if (git && mode.git === undefined) mode.git = git;
    else if (index === 0 && Object.hasOwn(MODES, word)) Object.assign(mode, MODES[word]);
    else throw invalid("MOUNT_MODE", spec, `"${printable(word)}" is no mode`, FORM);
  }
  return mode;
}

/**
 * Parses all of them and refuses two at one guest path.
 *
 * @param taken guest paths that are in use already.
 * @throws {VibeError} as {@link parseMount}, and `MOUNT_DUPLICATE`.
 */
export function parseMounts(specs: string[], cwd: string, taken: string[] = []): MountSpec[] {
  const seen = new Set(taken);
  return specs.map((spec) => {
    const mount = parseMount(spec, cwd);
    if (seen.has(mount.guest)) {
      const what = `something else is mounted at "${printable(mount.guest)}" already`;
      const hint = "Choose another guest path; --no-default-mounts leaves the project out.";
      throw invalid("MOUNT_DUPLICATE", spec, what, hint);
    }
    seen.add(mount.guest);
    return mount;
  });
}

/**
 * The source of a mount with its symbolic links resolved: a directory or a regular file.
 *
 * @throws {VibeError} `MOUNT_SOURCE`.
 */
export async function mountSource({ host }: MountSpec): Promise<string> {
  const refused = (what: string, cause?: unknown) =>
    new VibeError("MOUNT_SOURCE", `Cannot mount "${printable(host)}": ${what}`, {
      hint: "Only directories and regular files that exist on the host can be shared.",
      exitCode: ExitCode.usage,
      cause,
    });
  let path: string;
  let info: Deno.FileInfo;
  try {
    path = await Deno.realPath(host);
    info = await Deno.lstat(path);
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    throw refused(missing ? "there is no such file or directory" : reason(error), error);
  }
  if (!info.isDirectory && !info.isFile) throw refused("it is a device, a socket or a FIFO");
  return path;
}

/** The spec that {@link parseMount} makes this of, wherever it is typed. */
export function formatMount({ host, guest, readOnly, git }: MountSpec): string {
  const field = (path: string) => path.replace(/\\(?=[:\\]|$)/g, "\\\\").replaceAll(":", "\\:");
  const mode = readOnly ? "read-only" : "read-write";
  return `${field(host)}:${field(guest)}:${mode}${git ? `,git=${git}` : ""}`;
}

function fields(spec: string): string[] {
  const found = [""];
  for (let at = 0; at < spec.length; at++) {
    const escaped = spec[at] === "\\" && /[:\\]/.test(spec[at + 1] ?? "");
    if (escaped) found[found.length - 1] += spec[++at];
    else if (spec[at] === ":") found.push("");
    else found[found.length - 1] += spec[at];
  }
  return found;
}

function guestPath(path: string, spec: string): string {
  const refused = (what: string, hint: string) => invalid("MOUNT_GUEST_PATH", spec, what, hint);
  if (path.split("/").includes("..")) {
    throw refused('the guest path has ".."', "Write the path that it comes to.");
  }
  if (path === "~" || path.startsWith("~/")) {
    throw refused('"~" means nothing there', "A relative guest path is under /root already.");
  }
  const normal = posix.resolve("/root", path);
  const within = TAKEN.find((dir) => normal === dir || normal.startsWith(`${dir}/`));
  if (normal === "/" || within) {
    const hint = "Choose a path of its own, such as /mnt/data, or a relative one under /root.";
    throw refused(`the guest itself needs "${within ?? "/"}"`, hint);
  }
  return normal;
}

function invalid(code: string, spec: string, what: string, hint: string): VibeError {
  return new VibeError(code, `Cannot use --mount "${printable(spec)}": ${what}`, {
    hint,
    exitCode: ExitCode.usage,
  });
}
