/** Ending a VM from outside, whatever state it is in. */

import { VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { type Instance, instancePaths } from "../paths.ts";
import type { Progress } from "../progress.ts";
import { isLocked, lockHolders } from "./holder.ts";
import { connect, type SupervisorLink } from "./link.ts";

/** How long a supervisor may take to say that it was heard. */
const ANSWER_MS = { graceful: 10_000, force: 2000 };
/** It ends by force what does not stop in 30 seconds; then there is little left to do. */
const STOP_MS = 60_000;

/** How {@link stopVm} stops. */
export interface StopOptions {
  /** Pull the plug. */
  force: boolean;
  progress: Progress;
}

/**
 * Stops a VM and waits until it is gone: until another could be started. Resolves to false if it
 * did not run.
 *
 * @throws {VibeError} `VM_STUCK` if it cannot be stopped, or not in this way.
 */
export async function stopVm(instance: Instance, options: StopOptions): Promise<boolean> {
  const { lock } = instancePaths(instance);
  using link = await connect(instance, { onEvent() {} });
  if (!link && !await isLocked(lock)) return false;
  options.progress.step(`Stopping the VM of "${instance.title}"`);
  try {
    if (link && await asked(link, options.force)) await within(STOP_MS, link.ended, instance);
    else await signal(instance, options.force);
  } finally {
    options.progress.done();
  }
  return true;
}

/** Asks over the socket. False if nobody there understands. */
async function asked(link: SupervisorLink, force: boolean): Promise<boolean> {
  const request = link.request("stop", { force }).then(() => true, (error) => {
    // It may have ended meanwhile.
    return (error as VibeError).code !== "VM_OTHER_VERSION";
  });
  return await Promise.race([request, after(force ? ANSWER_MS.force : ANSWER_MS.graceful, false)]);
}

/** Ends a supervisor that cannot be asked; the kernel ends the VM with it. */
async function signal(instance: Instance, force: boolean): Promise<void> {
  const { lock } = instancePaths(instance);
  for (const pid of await lockHolders(lock)) {
    try {
      Deno.kill(pid, force ? "SIGKILL" : "SIGTERM");
    } catch {
      // It has just ended.
    }
  }
  const free = FileLock.take(lock).then((held) => held[Symbol.dispose]());
  await within(STOP_MS, free, instance);
}

async function within(
  milliseconds: number,
  gone: Promise<unknown>,
  instance: Instance,
): Promise<void> {
  const ended = await Promise.race([gone.then(() => true), after(milliseconds, false)]);
  if (ended) return;
  throw new VibeError(
    "VM_STUCK",
    `Cannot stop the VM of "${instance.title}": its supervisor does not end`,
    { hint: "`vibe stop --force` pulls the plug." },
  );
}

/** A value, later; the process does not wait for it. */
function after<T>(milliseconds: number, value: T): Promise<T> {
  return new Promise((resolve) => {
    Deno.unrefTimer(setTimeout(() => resolve(value), milliseconds));
  });
}
