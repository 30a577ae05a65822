/** Options become a plan: one value that holds everything a VM is started from. */

import { terminalAsk } from "../host/ask.ts";
import { requireBridge } from "../host/bridge.ts";
import { abortOnInterrupt } from "../host/interrupt.ts";
import { ExitCode, VibeError } from "../errors.ts";
import { type Base, readBase } from "../image/base.ts";
import { DEFAULT_IMAGE, findImage } from "../image/catalog.ts";
import { missingBase } from "../image/clone.ts";
import { diskSize } from "../instance/disk.ts";
import { findHooks } from "../instance/hooks.ts";
import { projectOf } from "../instance/open.ts";
import { readRecord } from "../instance/record.ts";
import { notNew } from "../instance/remove.ts";
import { type Instance, instancePaths } from "../paths.ts";
import { DEFAULTS } from "./limits.ts";
import { makeDirectories } from "../share/directory.ts";
import { parseNetwork } from "./network.ts";
import { type Means, preparing } from "./means.ts";
import type { VmOutline, VmPlan } from "./plan.ts";
import type { Progress } from "../progress.ts";
import type { VmOptions } from "./options.ts";
import { planDiskImage, type PlannedSource } from "./plan_disk_image.ts";
import { planShares } from "./plan_shares.ts";

const GIB = 2 ** 30;

/**
 * The plan for a VM, with everything it needs in place: programs on the host, the
 * image, the agent. What is missing is installed or built.
 *
 * @param warn told, one line each, what the user should know about it.
 * @param unattended nobody is to be asked, and Ctrl-C is not ours: `signal` gives up instead.
 * @throws {VibeError} if that cannot be, or may not.
 */
export async function makePlan(
  instance: Instance,
  options: VmOptions,
  progress: Progress,
  warn: (text: string) => void,
  unattended?: { signal?: AbortSignal },
): Promise<VmPlan> {
  using interrupt = unattended ? null : abortOnInterrupt();
  const means = preparing({
    yes: options.yes,
    ask: unattended ? undefined : terminalAsk(),
    progress,
    signal: unattended ? unattended.signal : interrupt?.signal,
  });
  const outline = await outlinePlan(instance, options, means, warn);
  const { explicit: _, directories, boot, diskBytes, ...plan } = outline;
  if (!boot || diskBytes === null) throw new Error("what was prepared is not there");
  await makeDirectories(plan.mounts, directories);
  return { ...plan, boot, diskBytes };
}

/**
 * The plan for a VM as far as it can be known with these means.
 *
 * @param warn told, one line each, what the user should know about it.
 * @throws {VibeError} for what cannot be done.
 */
export async function outlinePlan(
  instance: Instance,
  options: VmOptions,
  means: Means,
  warn: (text: string) => void,
): Promise<VmOutline> {
  // What is wrong with the command line should show before minutes of work.
  const shares = await planShares(instance, options, warn);
  const network = await planNetwork(options.network);
  const source = instance.kind === "disk"
    ? await planDiskImage(instance, options, means)
    : await planImage(instance, options, means);
  // At a console nothing can be run unseen.
  const hooks = source.login === "agent" ? await findHooks(await projectOf(instance), warn) : [];
  return {
    ...shares,
    ...source,
    instance,
    hooks,
    verbose: options.verbose ?? false,
    cpus: options.cpus ?? DEFAULTS.cpus,
    memoryMiB: options.ram ?? DEFAULTS.ram,
    network,
    keep: options.keep ?? false,
    idleMinutes: options.idle || null,
    ephemeral: options.rm ?? false,
  };
}

/** What a VM with a disk of its own is made from, or was when it was started for the first time. */
async function planImage(
  instance: Instance,
  options: VmOptions,
  means: Means,
): Promise<PlannedSource> {
  const paths = instancePaths(instance);
  // A reset is also the way out of a damaged record.
  const present = await readRecord(paths).catch((error) => {
    if (options.reset) return null;
    throw error;
  });
  if (present && options.rm) throw notNew(instance);
  const record = options.reset ? null : present;
  if (record && options.image !== undefined && options.image !== record.image) {
    throw new VibeError(
      "IMAGE_DIFFERS",
      `The VM of "${instance.title}" was made from the image "${record.image}"`,
      { hint: `\`vibe --reset --image ${options.image}\` throws its disk away and makes it anew.` },
    );
  }
  const image = options.image ?? present?.image ?? DEFAULT_IMAGE;
  // All that will be needed is asked for at once.
  const building = !record && image === DEFAULT_IMAGE && !await findImage(image);
  await means.host(building ? ["run", "image", "agent"] : ["run"]);
  const base = record ? await recordedBase(record.base) : await means.image(image);
  const boot = base && await means.boot(base);
  return {
    image,
    base: base && { id: base.id, disk: base.disk },
    diskImage: null,
    diskBytes: base && grownSize(record ? await diskSize(paths) : null, base, options.disk),
    reset: options.reset ? crypto.randomUUID() : null,
    // The disk is ours, and may have grown.
    boot: boot && { kind: "kernel", ...boot, args: [...boot.args, "vibe.grow"] },
    login: "agent",
  };
}

/** On Linux what a bridge takes is known before; Virtualization.framework says by itself. */
async function planNetwork(name: string = DEFAULTS.network): Promise<VmPlan["network"]> {
  const network = parseNetwork(name);
  if (typeof network === "object" && Deno.build.os === "linux") await requireBridge(network.bridge);
  return network;
}

async function recordedBase(id: string): Promise<Base> {
  const base = await readBase(id);
  if (!base) throw missingBase(id);
  return base;
}

/**
 * How large the VM's disk is to be.
 *
 * @param present its size; null if it is yet to be made.
 * @param asked in GiB.
 * @throws {VibeError} `DISK_SHRINK`.
 */
function grownSize(present: number | null, base: Base, asked: number | undefined): number {
  const least = present ?? base.info.diskBytes;
  if (asked === undefined || asked * GIB === least) return least;
  if (asked * GIB > least) return asked * GIB;
  const whose = present ? "the VM's disk has" : "its image's has";
  throw new VibeError(
    "DISK_SHRINK",
    `Cannot make the disk smaller: ${whose} ${+(least / GIB).toFixed(2)} GiB, ` +
      `and --disk asks for ${asked}`,
    { hint: "A disk only grows. Leave --disk out, or ask for more.", exitCode: ExitCode.usage },
  );
}
