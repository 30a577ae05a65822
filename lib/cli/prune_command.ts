/** `vibe prune`. */

import { printable } from "../errors.ts";
import { findGarbage, type Garbage, type KeptBase, removeGarbage } from "../image/prune.ts";
import type { CliOptions } from "./options.ts";
import { formatTable, printError, printOut } from "./output.ts";
import { terminalProgress } from "./progress.ts";

/** What `vibe prune` takes. */
export interface PruneCliOptions extends CliOptions {
  dryRun?: boolean;
  missing?: boolean;
  json?: boolean;
}

/** Resolves to the exit code. */
export async function prune(options: PruneCliOptions): Promise<number> {
  using progress = terminalProgress(options.verbose ?? false);
  progress.step("Looking for what nothing uses");
  const findings = await findGarbage(options);
  const removed = options.dryRun
    ? findings.garbage
    : await removeGarbage(findings, options, progress);
  progress.done();
  const bytes = removed.reduce((sum, item) => sum + item.bytes, 0);
  if (options.json) {
    const kept = findings.kept.map(({ users, ...base }) => ({
      ...base,
      users: users.map(({ instance, state }) => ({ ...instance, state })),
    }));
    const report = { dryRun: options.dryRun ?? false, bytes, removed, kept };
    printOut(JSON.stringify(report, null, 2) + "\n");
    return 0;
  }
  if (removed.length > 0) printOut(formatTable(["What", "Size", "Path"], removed.map(row)));
  printOut(`${options.dryRun ? "Would free" : "Freed"} ${size(bytes)}.\n`);
  tellOutOfReach(findings.kept);
  return 0;
}

/** A base may be kept for a disk that is not mounted, or for a project that is long gone. */
function tellOutOfReach(kept: KeptBase[]): void {
  for (const { id, bytes, users } of kept) {
    const missing = users.filter(({ state }) => state === "missing");
    if (missing.length === 0 || missing.length < users.length) continue;
    const titles = missing.map(({ instance }) => `"${printable(instance.title)}"`).join(", ");
    printError(
      `vibe: kept "${id}" (${
        size(bytes)
      }) for VMs whose directories are not there now: ${titles}. ` +
        "If they were deleted: vibe prune --missing\n",
    );
  }
}

function row({ kind, path, bytes }: Garbage): string[] {
  return [kind, size(bytes), printable(path)];
}

function size(bytes: number): string {
  return bytes >= 1e8 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
