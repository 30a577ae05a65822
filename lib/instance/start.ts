/** From options to an attached VM: look for it, prepare what is missing, start it, wait. */

import { printable, VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";
import { type Instance, instancePaths } from "../paths.ts";
import type { VmOptions } from "../plan/options.ts";
import { shellWord } from "../process.ts";
import type { VmPlan } from "../plan/plan.ts";
import type { Progress } from "../progress.ts";
import { type Attachment, attachOrStart, attachRunning, StoppingError } from "./attach.ts";
import type { VmInfo } from "./control.ts";
import { notNew } from "./remove.ts";

/** An attached VM that is ready, and what it was started with. */
export interface ReadyVm extends Disposable {
  attachment: Attachment;
  info: VmInfo;
}

/** Who is told what happens on the way. */
export interface StartEvents {
  progress: Progress;
  /** One line that is worth keeping. Without it, what can wait is kept for the next who listens. */
  note?(text: string): void;
  /** What a VM is started with; a running one is only asked for the options given. */
  complete?(): Promise<VmOptions>;
  /** See {@link makePlan}. `signal` also ends the waiting for a boot. */
  unattended?: { signal?: AbortSignal };
}

/**
 * Attaches to a VM whose state directory is there, starting it if need be; resolves once programs
 * can be started in it.
 *
 * @throws {VibeError} if that cannot be.
 */
export async function startVm(
  instance: Instance,
  options: VmOptions,
  { progress, note, complete = () => Promise.resolve(options), unattended }: StartEvents,
): Promise<ReadyVm> {
  const signal = unattended?.signal;
  const events = {
    waiting: (text: string) => progress.step(text),
    note: (text: string) => {
      progress.done();
      note?.(text);
    },
  };
  if (note) await showNotices(instance, events.note);
  // The plan that we made; whether it is the one that the VM was started from is another matter.
  let reset: string | null = null;
  const onPlan = (plan: VmPlan) => reset = plan.reset;
  const isOurs = (info: VmInfo) => info.reset !== null && info.reset === reset;
  for (;;) {
    signal?.throwIfAborted();
    const running = await attachRunning(instance, events);
    const attachment = running ??
      await startFresh(instance, await complete(), progress, events, onPlan, unattended);
    const leave = () => attachment[Symbol.dispose]();
    signal?.addEventListener("abort", leave);
    try {
      const info = await attachment.info;
      if (running && options.rm) throw notNew(instance);
      const obstacle = options.reset && !isOurs(info)
        ? runsAlready(info)
        : otherOptions(options, info);
      if (obstacle) await stopUnused(attachment, obstacle);
      const { keep, idle } = options;
      if (keep || idle !== undefined) {
        await attachment.link.request("keep", { on: keep, idleMinutes: idle });
      }
      progress.step("Booting");
      await attachment.ready;
      progress.done();
      return { attachment, info, [Symbol.dispose]: leave };
    } catch (error) {
      leave();
      signal?.throwIfAborted();
      // We came as its last session left. When it is gone, a new one can start.
      if (!isStopping(error, attachment)) throw error;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }
}

/** Whether what failed did so because the VM is on its way down; a request just finds it gone. */
function isStopping(error: unknown, { stopping }: Attachment): boolean {
  return error instanceof StoppingError ||
    (stopping && error instanceof VibeError && error.code === "SUPERVISOR_GONE");
}

/** What a supervisor had to say when nobody listened. */
async function showNotices(instance: Instance, note: (text: string) => void) {
  const { notices } = instancePaths(instance);
  const text = await readTextIfPresent(notices);
  if (text === null) return;
  await Deno.remove(notices).catch(() => {});
  for (const line of text.split("\n").filter(Boolean)) note(line);
}

async function startFresh(
  instance: Instance,
  options: VmOptions,
  progress: Progress,
  events: Parameters<typeof attachOrStart>[1],
  onPlan: (plan: VmPlan) => void,
  unattended: StartEvents["unattended"],
): Promise<Attachment> {
  // Loaded only now: a VM that runs already needs none of it.
  const { makePlan } = await import("../plan/make_plan.ts");
  // Outside the lock: it may take minutes, and another command may do it at the same time.
  const plan = await makePlan(instance, options, progress, events.note, unattended);
  unattended?.signal?.throwIfAborted();
  onPlan(plan);
  progress.step("Starting");
  return await attachOrStart(plan, events);
}

/** What was asked for must hold, or the user would believe what is not so. */
function otherOptions(options: VmOptions, info: VmInfo): VibeError | null {
  const differs: string[] = [];
  const check = (flag: string, wanted: unknown, actual: unknown) => {
    if (wanted !== undefined && wanted !== actual) differs.push(`${flag} ${actual}`);
  };
  check("--cpus", options.cpus, info.cpus);
  check("--ram", options.ram, info.memoryMiB);
  check("--git", options.git, info.git);
  check("--network", options.network, info.network);
  check("--image", options.image, info.image);
  check("--disk", options.disk, +(info.diskBytes / 2 ** 30).toFixed(2));
  for (const spec of options.mount ?? []) {
    if (!info.mountSpecs.includes(spec)) differs.push(`no --mount ${spec}`);
  }
  if (options.defaultMounts === false && info.defaultMounts) differs.push("the default mounts");
  if (options.homeMounts && !info.homeMounts) differs.push("no --home-mounts");
  if (differs.length === 0) return null;
  return new VibeError(
    "VM_DIFFERS",
    `The VM of "${info.instance.title}" already runs, with ${differs.join(", ")}`,
    { hint: `Leave these options out, or restart it with them: ${restartCommand(options, info)}` },
  );
}

/**
 * Makes way for another VM, if nobody uses this one: its last session may just have left.
 *
 * @throws {VibeError} `obstacle` if somebody does; {@link StoppingError} when it has made way.
 */
async function stopUnused({ link }: Attachment, obstacle: VibeError): Promise<never> {
  const { sessions, keep, heldBy } = await link.request("status", {});
  if (sessions.length > 0 || keep || heldBy) throw obstacle;
  await link.request("stop", { force: false });
  await link.ended;
  throw new StoppingError();
}

/** A disk that is in use cannot be thrown away. */
function runsAlready({ instance }: VmInfo): VibeError {
  return new VibeError("VM_RUNNING", `Cannot reset the VM of "${instance.title}": it runs`, {
    hint: "Leave its shells (it then stops) and try again.",
  });
}

/** What to type for a VM as it was asked for. */
function restartCommand(options: VmOptions, { instance }: VmInfo): string {
  const { cpus, ram, git, network, disk, image, mount = [] } = options;
  const valued: [string, unknown][] = [
    ["--name", instance.kind === "named" ? instance.title : undefined],
    ["--cpus", cpus],
    ["--ram", ram],
    ["--git", git],
    ["--network", network],
    ["--disk", disk],
    ["--image", image],
    ...mount.map((spec): [string, string] => ["--mount", spec]),
  ];
  const words = valued.flatMap(([flag, value]) => value === undefined ? [] : [flag, `${value}`]);
  if (options.defaultMounts === false) words.push("--no-default-mounts");
  if (options.homeMounts) words.push("--home-mounts");
  return ["vibe restart", ...words.map((word) => printable(shellWord(word)))].join(" ");
}
