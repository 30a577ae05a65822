/** How a command reaches the VM of its project, starting it where there is none. */

import { AgentClient } from "../agent/client.ts";
import { driverName } from "../driver/driver.ts";
import { printableLines, VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { type Instance, instancePaths } from "../paths.ts";
import type { VmPlan } from "../plan/plan.ts";
import type { SupervisorEvent, VmInfo } from "./control.ts";
import { fromFailure, SupervisorLink } from "./link.ts";
import { vmRuntime } from "./runtime.ts";
import type { StartReport } from "./supervise.ts";

/** What a command may want to tell its user while it waits. */
export interface AttachEvents {
  /** One line about what is being waited for. */
  waiting(text: string): void;
  /** One line that is worth keeping. */
  note(text: string): void;
}

/** An attached VM. While it is open, the VM lives. */
export class Attachment implements Disposable {
  /** Starts programs in the guest. Use it once {@link ready} has resolved. */
  readonly agent: AgentClient;
  /** For requests. */
  readonly link: SupervisorLink;
  /** What the VM was started with. */
  readonly info: Promise<VmInfo>;
  /** Resolves when programs can be started. @throws {VibeError} if that never comes. */
  readonly ready: Promise<void>;

  readonly #info = Promise.withResolvers<VmInfo>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #events: AttachEvents;
  #stopping = false;

  /** Use {@link attachRunning}. */
  constructor(conn: Deno.Conn, instance: Instance, events: AttachEvents) {
    this.#events = events;
    this.info = this.#info.promise;
    this.ready = this.#ready.promise;
    this.info.catch(() => {});
    this.ready.catch(() => {});
    this.link = new SupervisorLink(conn, instance, {
      onEvent: (event) => this.#onEvent(event),
      onFrame: (frame) => this.agent.onFrame(frame),
    });
    this.agent = new AgentClient(this.link.connection);
    this.link.tell({ request: "attach" });
    this.link.ended.then((why) => this.#ended(why));
  }

  /** Whether the VM has begun to stop. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Leaves. What still runs for this attachment in the guest is hung up. */
  [Symbol.dispose](): void {
    this.link[Symbol.dispose]();
  }

  #ended(why: VibeError): void {
    const end = this.#stopping && why.code === "SUPERVISOR_GONE" ? new StoppingError() : why;
    this.#info.reject(end);
    this.#ready.reject(end);
    this.agent.abort(end);
  }

  #onEvent(event: SupervisorEvent): void {
    switch (event.event) {
      case "vm":
        this.#info.resolve(event.vm);
        break;
      case "state":
        if (event.state === "ready") this.#ready.resolve();
        if (event.state === "stopping") this.#stopping = true;
        break;
      case "note":
        this.#events.note(event.text);
        break;
    }
  }
}

/** The VM is on its way down: a new one can be started when it is gone. */
export class StoppingError extends VibeError {
  constructor() {
    super("VM_STOPPING", "The VM was stopped");
  }
}

/** Attaches to a VM if it runs; null otherwise. */
export async function attachRunning(
  instance: Instance,
  events: AttachEvents,
): Promise<Attachment | null> {
  const { socket } = vmRuntime(instance);
  let conn: Deno.Conn;
  try {
    conn = await Deno.connect({ transport: "unix", path: socket });
  } catch {
    // No socket, or one that a killed supervisor left behind.
    return null;
  }
  return new Attachment(conn, instance, events);
}

/**
 * Attaches to the VM of a plan, starting it if it does not run. Of several commands at once, one
 * starts it and the others attach.
 *
 * @throws {VibeError} if it cannot be started.
 */
export async function attachOrStart(
  plan: VmPlan,
  events: AttachEvents,
): Promise<Attachment> {
  const paths = instancePaths(plan.instance);
  using _lock = await takeStartLock(paths.startLock, events);
  const running = await attachRunning(plan.instance, events);
  if (running) return running;
  await using _starter = await startSupervisor(plan, events);
  const attachment = await attachRunning(plan.instance, events);
  if (attachment) {
    // Only now does the supervisor know of us; until then it lives by our pipe.
    await attachment.info.catch(() => {});
    return attachment;
  }
  throw new VibeError("SUPERVISOR_GONE", "The VM's supervisor ended right after its start", {
    hint: `"${paths.supervisorLog}" may say why.`,
  });
}

async function takeStartLock(path: string, events: AttachEvents): Promise<FileLock> {
  const lock = await FileLock.tryTake(path);
  if (lock) return lock;
  events.waiting("Another vibe is starting this VM");
  return await FileLock.take(path);
}

/** The hidden first argument that makes a vibe process a supervisor. */
export const SUPERVISE = "__supervise";

/** vibe's own main module; that of the process is another one where vibe is used as a library. */
const MAIN = new URL("../../main.ts", import.meta.url).href;

/** On a Mac only an executable with the entitlement may start VMs. */
async function supervisorExecutable(): Promise<string> {
  if (driverName() !== "vz") return Deno.execPath();
  const { signedCopy } = await import("../macos/signed_copy.ts");
  return await signedCopy();
}

/** Starts a supervisor; resolves when it listens. It stops if this is let go with nobody attached. */
async function startSupervisor(plan: VmPlan, events: AttachEvents): Promise<AsyncDisposable> {
  const args = Deno.build.standalone ? [] : ["run", "--allow-all", "--no-prompt", MAIN];
  if (Deno.build.standalone && Deno.mainModule !== MAIN) {
    throw new VibeError("SUPERVISOR_NONE", "Cannot start a VM from a compiled program", {
      hint: "Run the program with `deno run`, or let it call the `vibe` command with --json.",
    });
  }
  const child = new Deno.Command(await supervisorExecutable(), {
    args: [...args, SUPERVISE],
    // The project may be removed while the VM runs; "/" stays.
    cwd: "/",
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(plan) + "\n"));
  let rest = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const report: StartReport = JSON.parse(line);
      if (report.event === "listening") {
        // Only now: with nothing else to wait for, the runtime would end this wait.
        child.unref();
        await child.stderr.cancel();
        return { [Symbol.asyncDispose]: () => writer.close().catch(() => {}) };
      }
      if (report.event === "failed") throw fromFailure(report.failure);
      events.waiting("Waiting for the last VM of this project to stop");
    }
  }
  const said = printableLines(await new Response(child.stderr).text());
  throw new VibeError("SUPERVISOR_FAILED", "The VM's supervisor ended before it was ready", {
    hint: said || undefined,
  });
}
