/** The guest's clock is the host's, whatever happens to the machine. */

import { ok, strictEqual } from "node:assert/strict";
import { dirname } from "node:path";
import type { Driver, Vm } from "../../lib/driver/driver.ts";
import { prepareDisk } from "../../lib/instance/disk.ts";
import { openProject } from "../../lib/instance/open.ts";
import { KeptListener } from "../../lib/instance/kept_listener.ts";
import { makeRuntime, removeRuntime, vmRuntime } from "../../lib/instance/runtime.ts";
import { chooseDriver } from "../../lib/instance/supervise.ts";
import { Supervisor } from "../../lib/instance/supervisor.ts";
import { makePlan } from "../../lib/plan/make_plan.ts";
import { silentProgress } from "../../lib/progress.ts";
import { Project } from "../support/vibe.ts";

/** How long the machine stands still. */
const PAUSE_MS = 6000;

const sleep = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

/** Sets variables of this process, and resets them. */
function environment(variables: Record<string, string>): Disposable {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  return {
    [Symbol.dispose]() {
      for (const [name, value] of before) {
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
    },
  };
}

/** How far a time of the guest, in seconds, is from all that the host's clock has said since `before`. */
function differenceWithin(guest: number, before: number): number {
  const [earliest, latest] = [before / 1000, Date.now() / 1000];
  return guest < earliest ? guest - earliest : Math.max(guest - latest, 0);
}

/** A session that lives through it all, and runs what it is told. */
class Session implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;

  constructor(project: Project) {
    this.#child = project.spawn(["run", "sh"]);
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The guest's clock less the host's, in seconds, after a command. */
  async difference(command = ":"): Promise<number> {
    const before = Date.now();
    await this.#writer.write(new TextEncoder().encode(`${command} >/dev/null; date +%s.%N\n`));
    const { value } = await this.#reader.read();
    return differenceWithin(Number(value), before);
  }

  /** Sets the guest's clock. A correction that is under way, on a busy host, may undo it. */
  async set(date: string, isSet: (difference: number) => boolean): Promise<void> {
    for (let i = 0; i < 10; i++) if (isSet(await this.difference(`date -s ${date}`))) return;
    throw new Error(`The guest's clock does not stay at ${date}`);
  }

  /** Waits until the guest's clock is right: within a second. */
  async untilRight(seconds: number): Promise<void> {
    let difference = NaN;
    for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
      difference = await this.difference();
      if (Math.abs(difference) < 1) return;
      await sleep(100);
    }
    throw new Error(`After ${seconds} s the guest's clock is ${difference} s ahead`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel();
    await this.#child.stderr.cancel();
    await this.#child.status;
  }
}

Deno.test("the guest's clock follows the host's", async (t) => {
  await using project = await Project.create();
  await using session = new Session(project);
  await session.untilRight(60);

  await t.step("after its processor stood still, as it does when a host sleeps", async () => {
    const all = await project.processes(dirname(project.dir));
    const machines = all.filter(({ command }) => /^\S*qemu-system/.test(command));
    strictEqual(machines.length, 1, JSON.stringify(all));
    Deno.kill(machines[0].pid, "SIGSTOP");
    await sleep(PAUSE_MS);
    Deno.kill(machines[0].pid, "SIGCONT");
    await session.untilRight(20);
  });

  await t.step("for the next command, when it is behind", async () => {
    await session.set("@1000000000", (difference) => difference < -1e8);
    const before = Date.now();
    const { stdout } = await project.vibe(["run", "date", "+%s.%N"]);
    ok(Math.abs(differenceWithin(Number(stdout), before)) < 1, stdout);
  });

  await t.step("by itself, when it is ahead", async () => {
    await session.set("tomorrow", (difference) => difference > 80_000);
    await session.untilRight(60);
  });
});

Deno.test("the guest's clock is right at once when a driver resumes it", async () => {
  await using project = await Project.create();
  // The supervisor runs in this process, so that the driver is at hand.
  using _env = environment(project.env);
  const plan = await makePlan(await openProject(project.dir), {}, silentProgress, () => {});
  const driver = await chooseDriver();
  const started = Promise.withResolvers<Vm>();
  const observed: Driver = {
    name: driver.name,
    async start(...config) {
      const vm = await driver.start(...config);
      started.resolve(vm);
      return vm;
    },
  };
  const runtime = vmRuntime(plan.instance);
  await makeRuntime(runtime);
  const listener = new KeptListener(runtime, () => {});
  const disk = await prepareDisk(plan, driver.name, () => {});
  const ended = new Supervisor(plan, disk, runtime, observed, () => {}).run(listener);
  {
    await using session = new Session(project);
    await session.untilRight(60);
    const vm = await started.promise;
    await vm.pause();
    await sleep(PAUSE_MS);
    await vm.resume();
    const difference = await session.difference();
    ok(Math.abs(difference) < 1, `${difference} s ahead`);
  }
  await ended;
  await removeRuntime(runtime);
});
