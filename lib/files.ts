/** Files that are whole or not there at all. */

/**
 * Writes a file aside, syncs it and renames it into place: whoever looks finds the old content or
 * the new, also after a crash or on a full disk.
 */
export async function writeFileWhole(
  path: string,
  content: string | Uint8Array<ArrayBuffer>,
  mode = 0o644,
): Promise<void> {
  const aside = `${path}.${Deno.pid}.partial`;
  try {
    using file = await Deno.open(aside, { write: true, create: true, truncate: true, mode });
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    for (let at = 0; at < bytes.byteLength;) at += await file.write(bytes.subarray(at));
    await file.syncData();
    await Deno.rename(aside, path);
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    throw error;
  }
}

/** The text of a file, or null if there is none. */
export async function readTextIfPresent(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Whether something has that name, if only a link that leads nowhere. */
export function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
