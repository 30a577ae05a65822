/**
 * Where the dylib comes from. It travels inside the program as text, because files beside a module
 * are not fetched for a `jsr:` import, and is written to the cache before it is loaded. The same
 * path serves a checkout, `jsr:`, npm and a compiled binary.
 */

import { cacheDir, type Env } from "../lib/paths.ts";

/** The dylib as `deno task build` packs it. */
export interface PackedLibrary {
  /** Hexadecimal digest of the dylib. */
  sha256: string;
  /** Base64 of the dylib, gzipped. */
  gzip: string;
}

/** Hexadecimal SHA-256. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** The bytes that were packed. @throws if they are not those that the digest was made of. */
export async function unpack(packed: PackedLibrary): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([Uint8Array.fromBase64(packed.gzip)]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (await sha256(bytes) !== packed.sha256) throw new Error("the packed dylib is damaged");
  return bytes;
}

async function isIntact(path: string, digest: string): Promise<boolean> {
  const bytes = await Deno.readFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  });
  return bytes !== null && await sha256(bytes) === digest;
}

/**
 * Puts the dylib into `dir` unless it is there, whole, already. It is written aside and renamed,
 * those of other versions are removed. Answers its path, which is named by its digest.
 */
export async function install(packed: PackedLibrary, dir: string): Promise<string> {
  const name = `libvibe_vz-${packed.sha256.slice(0, 16)}.dylib`;
  const path = `${dir}/${name}`;
  if (await isIntact(path, packed.sha256)) return path;
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  const aside = await Deno.makeTempFile({ dir, prefix: `${name}.` });
  await Deno.writeFile(aside, await unpack(packed));
  await Deno.rename(aside, path);
  for await (const entry of Deno.readDir(dir)) {
    if (entry.name.startsWith("libvibe_vz-") && !entry.name.startsWith(name)) {
      await Deno.remove(`${dir}/${entry.name}`).catch(() => {}); // another process was faster
    }
  }
  return path;
}

/**
 * The path of the dylib, in the cache and verified. `VIBE_VZ_LIBRARY` names another one: one that
 * was built by hand, or the tests' double.
 */
export async function installLibrary(env: Env = Deno.env): Promise<string> {
  const other = env.get("VIBE_VZ_LIBRARY");
  if (other) return other;
  const { packed } = await import("./dylib_data.ts");
  return await install(packed, `${cacheDir(env)}/lib`);
}
