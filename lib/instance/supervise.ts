/** The supervisor's process: started by a command, detached from its terminal. */

import { createOverlay, requireBase } from "../image/clone.ts";
import type { Driver } from "../driver/driver.ts";
import { reason, VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { instancePaths } from "../paths.ts";
import type { VmPlan } from "../plan.ts";
import type { Failure } from "./control.ts";
import { readRecord, writeRecord } from "./record.ts";
import { makeRuntime, removeRuntime, vmRuntime } from "./runtime.ts";
import { Supervisor } from "./supervisor.ts";

/** What the supervisor's stdout tells the command that started it: one JSON line each. */
export type StartReport =
  /** An earlier VM of this project is still stopping. */
  | { event: "waiting" }
  /** Commands can attach now. */
  | { event: "listening" }
  | { event: "failed"; failure: Failure };

/** Reads a VmPlan from stdin and runs its VM. Resolves when the VM is gone. */
export async function supervise(): Promise<void> {
  try {
    const plan: VmPlan = JSON.parse(await new Response(Deno.stdin.readable).text());
    await superviseVm(plan);
  } catch (error) {
    const failure = error instanceof VibeError
      ? { code: error.code, message: error.message, hint: error.hint }
      : { code: "SUPERVISOR_FAILED", message: reason(error) };
    report({ event: "failed", failure });
  }
}

async function superviseVm(plan: VmPlan): Promise<void> {
  const paths = instancePaths(plan.project);
  using _lock = await FileLock.tryTake(paths.lock) ?? await waitForLock(paths.lock);
  using log = openLog(paths.supervisorLog);
  const driver = await chooseDriver();
  await prepareDisk(plan);
  const runtime = await vmRuntime(plan.project);
  await makeRuntime(runtime);
  try {
    const listener = Deno.listen({ transport: "unix", path: runtime.socket });
    const supervisor = new Supervisor(plan, runtime, driver, log.write);
    Deno.addSignalListener("SIGTERM", () => supervisor.stop());
    report({ event: "listening" });
    await supervisor.run(listener);
  } finally {
    await removeRuntime(runtime);
  }
}

async function waitForLock(path: string): Promise<FileLock> {
  report({ event: "waiting" });
  return await FileLock.take(path);
}

/** The driver of this host. */
export async function chooseDriver(): Promise<Driver> {
  if (Deno.build.os === "linux") return (await import("../driver/qemu.ts")).qemuDriver;
  throw new VibeError("DRIVER_NONE", `Cannot run a VM on "${Deno.build.os}": no driver for it`);
}

/** Makes the overlay at the first start; later, makes sure that what it stands on is there. */
async function prepareDisk(plan: VmPlan): Promise<void> {
  const paths = instancePaths(plan.project);
  await requireBase(plan.base.id, plan.base.disk);
  if (await readRecord(paths) !== null) return;
  await createOverlay(plan.base.disk, paths.disk);
  await writeRecord(paths, {
    version: 1,
    image: plan.image,
    base: plan.base.id,
    created: new Date().toISOString(),
  });
}

/** A log that starts over with each VM. It never fails: a full disk must not end the VM. */
function openLog(path: string): Disposable & { write(line: string): void } {
  const file = Deno.openSync(path, { write: true, create: true, truncate: true, mode: 0o600 });
  return {
    write(line) {
      try {
        const text = `${new Date().toISOString()} ${line}\n`;
        file.writeSync(new TextEncoder().encode(text));
      } catch {
        // Nowhere to say it.
      }
    },
    [Symbol.dispose]: () => file.close(),
  };
}

function report(event: StartReport): void {
  try {
    Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(event) + "\n"));
  } catch {
    // The command that started us has gone; others may still attach.
  }
}
