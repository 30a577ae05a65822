/** The supervisor's process: started by a command, detached from its terminal. */

import { type Driver, driverName } from "../driver/driver.ts";
import { reason, VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { instancePaths } from "../paths.ts";
import type { VmPlan } from "../plan/plan.ts";
import type { Failure } from "./control.ts";
import { prepareDisk } from "./disk.ts";
import { register } from "./registry.ts";
import { notNew, removeState } from "./remove.ts";
import { readRecord } from "./record.ts";
import { KeptListener } from "./kept_listener.ts";
import { makeRuntime, removeRuntime, vmRuntime } from "./runtime.ts";
import { Supervisor } from "./supervisor.ts";

/** What the supervisor's stdout tells the command that started it: one JSON line each. */
export type StartReport =
  /** An earlier VM of this project is still stopping. */
  | { event: "waiting" }
  /** Commands can attach now. */
  | { event: "listening" }
  | { event: "failed"; failure: Failure };

/**
 * Reads a VmPlan, one line of JSON, from stdin and runs its VM. Resolves when the VM is gone. The end
 * of stdin says that the command which started us is attached, or gone.
 */
export async function supervise(): Promise<void> {
  try {
    const { line, end } = await readLine(Deno.stdin.readable);
    const plan: VmPlan = JSON.parse(line);
    await superviseVm(plan, end);
  } catch (error) {
    const failure = error instanceof VibeError
      ? { code: error.code, message: error.message, hint: error.hint }
      : { code: "SUPERVISOR_FAILED", message: reason(error) };
    report({ event: "failed", failure });
  }
}

async function superviseVm(plan: VmPlan, starterLeft: Promise<void>): Promise<void> {
  const paths = instancePaths(plan.instance);
  using _lock = await FileLock.tryTake(paths.lock) ?? await waitForLock(paths.lock);
  using log = openLog(paths.supervisorLog);
  await using _removal = await removalAtEnd(plan);
  const driver = await chooseDriver();
  const disk = await prepareDisk(plan, driver.name, log.write);
  // Only lists of VMs need it.
  if (plan.instance.kind !== "work") {
    await register(plan.instance).catch((error) => log.write(`cannot register: ${reason(error)}`));
  }
  const runtime = vmRuntime(plan.instance);
  await makeRuntime(runtime);
  try {
    const supervisor = new Supervisor(plan, disk, runtime, driver, log.write);
    const listener = new KeptListener(runtime, () => supervisor.runtimeLost());
    // A second one does not wait any longer.
    let asked = false;
    Deno.addSignalListener("SIGTERM", () => {
      supervisor.stop(asked);
      asked = true;
    });
    starterLeft.then(() => supervisor.starterLeft());
    report({ event: "listening" });
    await supervisor.run(listener);
  } finally {
    await removeRuntime(runtime);
  }
}

/** Removes a VM that was made for one command; the lock is held until then. */
async function removalAtEnd({ ephemeral, instance }: VmPlan): Promise<AsyncDisposable> {
  if (ephemeral && await readRecord(instancePaths(instance))) throw notNew(instance);
  return {
    async [Symbol.asyncDispose]() {
      if (ephemeral) await removeState(instance);
    },
  };
}

/** The first line of a stream, and its end. */
async function readLine(
  stream: ReadableStream<Uint8Array>,
): Promise<{ line: string; end: Promise<void> }> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("no plan was given");
    text += value;
  }
  const end = (async () => {
    while (!(await reader.read()).done);
  })();
  return { line: text.slice(0, text.indexOf("\n")), end };
}

async function waitForLock(path: string): Promise<FileLock> {
  report({ event: "waiting" });
  return await FileLock.take(path);
}

/** The driver of this host. */
export async function chooseDriver(): Promise<Driver> {
  return driverName() === "vz"
    ? (await import("../driver/vz.ts")).vzDriver
    : (await import("../driver/qemu.ts")).qemuDriver;
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
