/**
 * A program that makes the disk of a `--base`, as `disk.raw` in a directory: BASE DIR. Prints its
 * peak memory in kB. For tests that kill it or take its disk away.
 */

import { VibeError } from "../../lib/errors.ts";
import { ensureSourceDisk, parseBase } from "../../lib/image/sources.ts";
import { silentProgress } from "../../lib/progress.ts";

const [base, dir] = Deno.args;
const source = await parseBase(base);
if (source.kind === "debian") throw new Error("debian has no disk");
try {
  await ensureSourceDisk(source, { dir, progress: silentProgress });
} catch (error) {
  if (!(error instanceof VibeError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  Deno.exit(error.exitCode);
}
console.log(Deno.readTextFileSync("/proc/self/status").match(/VmHWM:\s+(\d+) kB/)![1]);
