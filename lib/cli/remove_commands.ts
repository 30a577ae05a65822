/** `vibe rm`. */

import { ExitCode, printable, reason, VibeError } from "../errors.ts";
import { terminalConfirm } from "../host/ask.ts";
import { knownInstances } from "../instance/registry.ts";
import { removeVm } from "../instance/remove.ts";
import type { Instance } from "../paths.ts";
import { printError, printOut } from "./output.ts";
import { terminalProgress } from "./progress.ts";
import { findTarget, namedTarget, type Target } from "./target.ts";

/** What `vibe rm` takes. */
export interface RemoveOptions extends Target {
  all?: boolean;
  force?: boolean;
  yes?: boolean;
}

/** Removes the VMs that the words mean: directories, names or ids; without words, this directory's. */
export async function rm(words: string[], options: RemoveOptions): Promise<number> {
  const instances = await chosen(words, options);
  if (instances.length === 0) {
    if (Deno.stderr.isTerminal()) printError("vibe: there is no VM to remove.\n");
    return 0;
  }
  if (!options.yes && !await confirmed(instances)) return ExitCode.interrupted;
  using progress = terminalProgress(false);
  const failures: unknown[] = [];
  for (const instance of instances) {
    try {
      await removeVm(instance, { force: options.force ?? false, progress });
      printOut(`${printable(instance.title)}\n`);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 0) return 0;
  if (failures.length === 1) throw failures[0];
  throw new VibeError("VM_REMOVE", `Cannot remove ${failures.length} of the VMs`, {
    hint: failures.map(reason).join("\n"),
  });
}

async function chosen(words: string[], options: RemoveOptions): Promise<Instance[]> {
  if (options.all) return await knownInstances();
  if (words.length > 0) {
    const found = await Promise.all(words.map(namedTarget));
    return [...new Map(found.map((instance) => [instance.id, instance])).values()];
  }
  const here = await findTarget(options);
  return await Deno.lstat(here.dir).then(() => [here], () => []);
}

/** What was installed in them is gone for good, so nobody answers for an absent user. */
async function confirmed(instances: Instance[]): Promise<boolean> {
  const confirm = terminalConfirm();
  if (!confirm) {
    throw new VibeError("RM_UNCONFIRMED", "Cannot remove VMs without being told --yes", {
      hint: "There is no terminal to ask on.",
      exitCode: ExitCode.usage,
    });
  }
  const titles = instances.map(({ title }) => `  ${printable(title)}\n`).join("");
  const what = instances.length === 1 ? "this VM" : `these ${instances.length} VMs`;
  return await confirm(
    `${titles}Remove ${what}, with all that was installed there? Projects are left alone. [y/N] `,
  );
}
