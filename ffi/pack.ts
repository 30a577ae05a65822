/**
 * Builds the dylib and packs it into `dylib_data.ts`: `deno task build:dylib`.
 *
 * The result is committed. A checkout on a Mac then runs without a compiler, JSR and npm publish what
 * the tree holds, and the build is reproducible, so the tests can rebuild it and compare. It is made by
 * the cross-build (Linux, clang-19), whose bytes the tests execute.
 */

import { fileURLToPath } from "node:url";
import { run } from "../lib/process.ts";
import { type PackedLibrary, sha256 } from "./library.ts";

const SOURCE = new URL("../dylib-src/", import.meta.url);
const DATA = new URL("dylib_data.ts", import.meta.url);

async function* files(dir: URL): AsyncGenerator<URL> {
  for await (const entry of Deno.readDir(dir)) {
    if (entry.isDirectory) yield* files(new URL(`${entry.name}/`, dir));
    else yield new URL(entry.name, dir);
  }
}

/** A digest of everything that the build reads, whoever built it. */
export async function sourceDigest(): Promise<string> {
  const found = await Array.fromAsync(files(SOURCE));
  const lines = await Promise.all(
    found.filter((f) => !f.pathname.endsWith(".md")).map(async (file) =>
      `${await sha256(await Deno.readFile(file))} ${file.href.slice(SOURCE.href.length)}\n`
    ),
  );
  return await sha256(new TextEncoder().encode(lines.sort().join("")));
}

/** What `dylib_data.ts` says of a dylib. */
export async function pack(
  dylib: Uint8Array<ArrayBuffer>,
): Promise<PackedLibrary & { sources: string }> {
  const stream = new Blob([dylib]).stream().pipeThrough(new CompressionStream("gzip"));
  const gzip = new Uint8Array(await new Response(stream).arrayBuffer()).toBase64();
  return { sources: await sourceDigest(), sha256: await sha256(dylib), gzip };
}

if (import.meta.main) {
  const output = await Deno.makeTempFile();
  const built = await run([fileURLToPath(new URL("build.sh", SOURCE)), output]);
  if (!built.success) throw new Error(`Cannot build the dylib:\n${built.stderr}`);
  const dylib = await Deno.readFile(output);
  await Deno.remove(output);
  const { sources, sha256, gzip } = await pack(dylib);
  await Deno.writeTextFile(
    DATA,
    `/** The dylib of dylib-src/, made by \`deno task build:dylib\`. Not for editing. */

/** Digest of the sources, digest of the dylib, and the dylib itself. */
export const packed = {
  sources: "${sources}",
  sha256: "${sha256}",
  gzip:
    "${gzip}",
};
`,
  );
  console.log(`${fileURLToPath(DATA)}: a dylib of ${dylib.length} bytes as ${gzip.length} of text`);
}
