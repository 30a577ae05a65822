/** `vibe mount add`, `rm` and `ls`. */

import { posix } from "node:path";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { connect, type SupervisorLink } from "../instance/link.ts";
import type { Instance } from "../paths.ts";
import { explicitMount } from "../plan/plan_shares.ts";
import { parseMount } from "../share/mount_spec.ts";
import { formatMounts, printOut } from "./output.ts";
import { findTarget, type Target } from "./target.ts";

/** Shares what a `--mount` value says with the VM that runs. */
export async function mountAdd(spec: string, target: Target): Promise<number> {
  const instance = await findTarget(target);
  const parsed = parseMount(spec, Deno.cwd());
  if (parsed.git) throw cannotGuard(spec);
  const { shares: [mount] } = await explicitMount("added", parsed, instance);
  using link = await running(instance);
  await link.request("mountAdd", { mount });
  return 0;
}

/** What is guarded is also watched, from before the VM is started. */
function cannotGuard(spec: string): VibeError {
  return new VibeError(
    "MOUNT_MODE",
    `Cannot add "${printable(spec)}": git= is for VMs that start`,
    {
      hint: `Start it with: vibe --mount ${printable(spec)}`,
      exitCode: ExitCode.usage,
    },
  );
}

/** Takes away what is shared at a guest path; a relative one is below /root. */
export async function mountRemove(guest: string, force: boolean, target: Target): Promise<number> {
  using link = await running(await findTarget(target));
  await link.request("mountRemove", { guest: posix.resolve("/root", guest), force });
  return 0;
}

/** Prints what is shared. */
export async function mountList(options: Target & { json?: boolean }): Promise<number> {
  using link = await running(await findTarget(options));
  const { vm: { mounts } } = await link.request("status", {});
  printOut(options.json ? JSON.stringify(mounts, null, 2) + "\n" : formatMounts(mounts));
  return 0;
}

async function running(instance: Instance): Promise<SupervisorLink> {
  const link = await connect(instance, { onEvent() {} });
  if (link) return link;
  throw new VibeError("VM_STOPPED", `The VM of "${printable(instance.title)}" does not run`, {
    hint: "`vibe --mount HOST:GUEST` starts it with more shared.",
  });
}
