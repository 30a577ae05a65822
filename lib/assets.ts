/** Files that are part of the program: the same call from a checkout, a package or a binary. */

/**
 * The bytes of a file of this package, by its path from the package's top, such as
 * `provision/agent/main.c`. Read from disk, from the compiled binary or from the registry that
 * serves this module.
 */
export async function readAsset(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`../${path}`, import.meta.url);
  if (url.protocol === "file:") return await Deno.readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`Cannot read "${path}" of vibe: HTTP ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
