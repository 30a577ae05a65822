/** Who has a file open: Linux tells the user of their own processes, and root of all. */

/** The processes that have a file open, by process id, with their programs' names. */
export async function whoHasOpen(path: string): Promise<{ pid: number; program: string }[]> {
  const found: { pid: number; program: string }[] = [];
  const file = await Deno.stat(path).catch(() => null);
  if (!file || Deno.build.os !== "linux") return found;
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name) || !await hasOpen(name, file)) continue;
    const program = await Deno.readTextFile(`/proc/${name}/comm`).catch(() => "?");
    found.push({ pid: Number(name), program: program.trim() });
  }
  return found;
}

async function hasOpen(pid: string, file: Deno.FileInfo): Promise<boolean> {
  const dir = `/proc/${pid}/fd`;
  try {
    for await (const { name } of Deno.readDir(dir)) {
      const open = await Deno.stat(`${dir}/${name}`).catch(() => null);
      if (open?.ino === file.ino && open?.dev === file.dev) return true;
    }
  } catch {
    // Another user's, or it has ended.
  }
  return false;
}
