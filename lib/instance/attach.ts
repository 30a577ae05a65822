/** How a command reaches the VM of its project, starting it where there is none. */

import { AgentClient } from "../agent/client.ts";
import { FrameConnection } from "../agent/connection.ts";
import { FrameType, PROTOCOL_VERSION } from "../agent/frame.ts";
import { encodeHello, FROM_SUPERVISOR } from "../agent/messages.ts";
import { printableLines, VibeError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { type Instance, instancePaths } from "../paths.ts";
import type { VmPlan } from "../plan/plan.ts";
import { decodeEvent, type Failure, type SupervisorEvent, type VmInfo } from "./control.ts";
import { checkHello } from "./hub.ts";
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
  /** What the VM was started with. */
  readonly info: Promise<VmInfo>;
  /** Resolves when programs can be started. @throws {VibeError} if that never comes. */
  readonly ready: Promise<void>;

  readonly #connection: FrameConnection;
  readonly #info = Promise.withResolvers<VmInfo>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #events: AttachEvents;
  #end: VibeError | null = null;

  /** Use {@link attach}. */
  constructor(conn: Deno.Conn, events: AttachEvents) {
    this.#connection = new FrameConnection(conn, FROM_SUPERVISOR);
    this.#events = events;
    this.agent = new AgentClient(this.#connection);
    this.info = this.#info.promise;
    this.ready = this.#ready.promise;
    this.info.catch(() => {});
    this.ready.catch(() => {});
    this.#connection.send(0, FrameType.hello, encodeHello("vibe"));
    this.#receive();
  }

  /** Leaves. What still runs for this attachment in the guest is hung up. */
  [Symbol.dispose](): void {
    this.#connection.close();
  }

  async #receive(): Promise<void> {
    try {
      await this.#connection.receive((frame) => {
        if (frame.type === FrameType.hello) checkHello(frame, PROTOCOL_VERSION);
        else if (frame.type === FrameType.control) this.#onEvent(decodeEvent(frame.payload));
        else this.agent.onFrame(frame);
      });
    } catch (error) {
      this.#end ??= new VibeError("SUPERVISOR_PROTOCOL", "The VM's supervisor cannot be followed", {
        cause: error,
        hint: "It may be of another version: leave the VM's other sessions and start again.",
      });
    }
    const end = this.#end ?? new VibeError(
      "SUPERVISOR_GONE",
      "The VM has ended: its supervisor is gone",
      { hint: "Run `vibe` again to start it; its supervisor.log may say more." },
    );
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
        if (event.state === "stopping") this.#end ??= new StoppingError();
        break;
      case "note":
        this.#events.note(event.text);
        break;
      case "failed":
        this.#end = fromFailure(event.failure);
        break;
      case "ended":
        this.#end = new VibeError("VM_ENDED", endMessage(event.exit.reason, event.exit.detail));
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

function endMessage(why: string, detail: string): string {
  switch (why) {
    case "poweroff":
      return "The VM was powered off from inside";
    case "panic":
      return "The VM ended: its kernel panicked, or it was rebooted from inside";
    case "killed":
      return "The VM ended: its hypervisor was killed";
    default:
      return `The VM ended: ${detail}`;
  }
}

function fromFailure({ code, message, hint }: Failure): VibeError {
  return new VibeError(code, message, { hint });
}

/** Attaches to a VM if it runs; null otherwise. */
export async function attachRunning(
  instance: Instance,
  events: AttachEvents,
): Promise<Attachment | null> {
  const { socket } = vmRuntime(instance);
  try {
    return new Attachment(await Deno.connect({ transport: "unix", path: socket }), events);
  } catch {
    // No socket, or one that a killed supervisor left behind.
    return null;
  }
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

/** On a Mac only an executable with the entitlement may start VMs. */
async function supervisorExecutable(): Promise<string> {
  if (Deno.build.os !== "darwin") return Deno.execPath();
  const { signedCopy } = await import("../macos/signed_copy.ts");
  return await signedCopy();
}

/** Starts a supervisor; resolves when it listens. It stops if this is let go with nobody attached. */
async function startSupervisor(plan: VmPlan, events: AttachEvents): Promise<AsyncDisposable> {
  const args = Deno.build.standalone ? [] : ["run", "--allow-all", "--no-prompt", Deno.mainModule];
  const child = new Deno.Command(await supervisorExecutable(), {
    args: [...args, SUPERVISE],
    // The project may be removed while the VM runs; "/" stays.
    cwd: "/",
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  child.unref();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(plan) + "\n"));
  let rest = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const report: StartReport = JSON.parse(line);
      if (report.event === "listening") {
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
