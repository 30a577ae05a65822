/**
 * Which projects' files the user trusts: by path and by the SHA-256 of the bytes, so that neither a
 * copy elsewhere nor what a guest wrote into it afterwards is trusted. Kept in vibe's data directory,
 * which no guest is shown.
 */

import { join } from "node:path";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import { dataDir } from "../paths.ts";

/** One file that is trusted. */
export interface TrustEntry {
  /** Absolute, without symbolic links. */
  path: string;
  /** SHA-256 of the file's bytes, in hex. */
  digest: string;
  /** ISO 8601. */
  since: string;
}

const trustDir = () => join(dataDir(), "trust");

async function entryPath(path: string): Promise<string> {
  return join(trustDir(), `${(await sha256(new TextEncoder().encode(path))).slice(0, 16)}.json`);
}

/** SHA-256 in hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Trusts these bytes at this path, and no others there. */
export async function trust(path: string, digest: string): Promise<void> {
  await Deno.mkdir(trustDir(), { recursive: true, mode: 0o700 });
  const entry: TrustEntry = { path, digest, since: new Date().toISOString() };
  await writeFileWhole(await entryPath(path), JSON.stringify(entry) + "\n", 0o600);
}

/** The digest that is trusted at a path, or null. */
export async function trustedDigest(path: string): Promise<string | null> {
  return parse(await readTextIfPresent(await entryPath(path)), path)?.digest ?? null;
}

/** Trusts nothing at a path any more; false if nothing was. */
export async function revoke(path: string): Promise<boolean> {
  try {
    await Deno.remove(await entryPath(path));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** All that is trusted, by path. */
export async function trusted(): Promise<TrustEntry[]> {
  const found: TrustEntry[] = [];
  try {
    for await (const { name } of Deno.readDir(trustDir())) {
      if (!name.endsWith(".json")) continue;
      const entry = parse(await readTextIfPresent(join(trustDir(), name)));
      if (entry) found.push(entry);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** An entry that is damaged, or of another path, trusts nothing. */
function parse(text: string | null, expected?: string): TrustEntry | null {
  try {
    const { path, digest, since } = JSON.parse(text ?? "");
    const texts = [path, digest, since].every((value) => typeof value === "string");
    return texts && (expected === undefined || path === expected) ? { path, digest, since } : null;
  } catch {
    return null;
  }
}
