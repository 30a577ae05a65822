/**
 * The executable that runs virtual machines on a Mac. The entitlement for that belongs to the program
 * that runs, and Deno lacks it, so the supervisor runs in a copy of it (of Deno, or of vibe's own
 * binary) that is signed ad hoc with it. What the user typed stays as it is.
 */

import { dirname } from "node:path";
import { printable, reason, VibeError } from "../errors.ts";
import { isThere } from "../files.ts";
import { cacheDir } from "../paths.ts";
import { run, which } from "../process.ts";
import { ENTITLEMENTS, entitlementsPlist } from "./entitlements.ts";
import { signAdHoc } from "./sign.ts";

/** The name that the copy's signature has. */
export const IDENTIFIER = "vibe-supervisor";

async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(bytes).toHex().slice(0, 16);
}

/** What says which executable a copy was made of. */
const SOURCE_FILE = "source";

/** Removes copies of executables that are no more. */
async function removeOrphans(dir: string): Promise<void> {
  for await (const entry of Deno.readDir(dir)) {
    const source = await Deno.readTextFile(`${dir}/${entry.name}/${SOURCE_FILE}`).catch(() => null);
    if (source === null || isThere(source)) continue;
    await Deno.remove(`${dir}/${entry.name}`, { recursive: true }).catch(() => {});
  }
}

async function signWithCodesign(codesign: string, path: string): Promise<void> {
  const plist = `${path}.plist`;
  await Deno.writeFile(plist, entitlementsPlist(ENTITLEMENTS));
  try {
    const output = await run([
      ...[codesign, "--force", "--sign", "-", "--identifier", IDENTIFIER],
      ...["--entitlements", plist, path],
    ]);
    if (!output.success) throw new Error(output.stderr.trim() || `it ended with ${output.code}`);
  } finally {
    await Deno.remove(plist);
  }
}

async function signOurselves(path: string): Promise<void> {
  await Deno.writeFile(path, await signAdHoc(await Deno.readFile(path), IDENTIFIER, ENTITLEMENTS));
}

/** Signs with Apple's tool, and without it where that is missing or fails. */
async function sign(path: string): Promise<void> {
  const codesign = await which("codesign");
  let failure = "there is no codesign";
  if (codesign) {
    try {
      return await signWithCodesign(codesign, path);
    } catch (error) {
      failure = `codesign: ${printable(reason(error))}`;
    }
  }
  try {
    await signOurselves(path);
  } catch (error) {
    throw new VibeError(
      "MACOS_SIGN",
      `Cannot sign the supervisor "${path}": ${failure}; and without it: ${reason(error)}`,
      {
        cause: error,
        hint: "install Apple's tools with `xcode-select --install`, " +
          "or use Deno from deno.com, which is signed",
      },
    );
  }
}

/** Where a copy is taken from and put; the tests' own, otherwise those of this process. */
export interface SignedCopyOptions {
  source?: string;
  dir?: string;
}

/**
 * The path of a copy of the running executable that may run virtual machines. It is made once for
 * each version of each executable: under another name, signed, then renamed; older ones are removed.
 *
 * @throws {VibeError} `MACOS_SIGN`, or `MACOS_COPY` if there is no room for it.
 */
export async function signedCopy(options: SignedCopyOptions = {}): Promise<string> {
  const source = await Deno.realPath(options.source ?? Deno.execPath());
  const dir = options.dir ?? `${cacheDir()}/supervisor`;
  const { size, mtime } = await Deno.stat(source);
  const home = `${dir}/${await digest(source)}`;
  const key = await digest([size, mtime?.getTime(), Deno.version.deno, ...ENTITLEMENTS].join());
  const path = `${home}/${IDENTIFIER}-${key}`;
  if (isThere(path)) return path;

  await Deno.mkdir(home, { recursive: true, mode: 0o700 });
  await Deno.writeTextFile(`${home}/${SOURCE_FILE}`, source);
  const aside = await Deno.makeTempDir({ dir: home, prefix: "new-" });
  try {
    const copy = `${aside}/${IDENTIFIER}`;
    await copyContent(source, copy);
    await sign(copy);
    await Deno.rename(copy, path);
  } finally {
    await Deno.remove(aside, { recursive: true });
  }
  for await (const entry of Deno.readDir(home)) {
    if (entry.name.startsWith(IDENTIFIER) && `${home}/${entry.name}` !== path) {
      await Deno.remove(`${home}/${entry.name}`).catch(() => {});
    }
  }
  await removeOrphans(dirname(home));
  return path;
}

/**
 * Copies the bytes of an executable. Deno.copyFile would take its extended attributes along, and
 * with com.apple.quarantine Gatekeeper refuses what is signed ad hoc.
 */
async function copyContent(from: string, to: string): Promise<void> {
  try {
    const input = await Deno.open(from);
    const output = await Deno.open(to, { write: true, createNew: true, mode: 0o755 });
    await input.readable.pipeTo(output.writable);
  } catch (error) {
    throw new VibeError("MACOS_COPY", `Cannot copy "${from}" to "${to}": ${reason(error)}`, {
      cause: error,
      hint: "make room on that disk, or set VIBE_CACHE to a directory on another one",
    });
  }
}
