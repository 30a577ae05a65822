/** A command's connection to a supervisor: greetings, requests and their answers. */

import { FrameConnection } from "../agent/connection.ts";
import { type Frame, FrameType, PROTOCOL_VERSION } from "../agent/frame.ts";
import { decodeHello, encodeHello, FROM_SUPERVISOR } from "../agent/messages.ts";
import { printable, VibeError } from "../errors.ts";
import type { Instance } from "../paths.ts";
import { VERSION } from "../version.ts";
import {
  CONTROL_VERSION,
  type ControlRequest,
  decodeControl,
  encodeControl,
  type Failure,
  helloText,
  parseHello,
  type RequestArgs,
  type RequestName,
  type RequestResult,
  type SupervisorEvent,
} from "./control.ts";
import { vmRuntime } from "./runtime.ts";

/** How long a supervisor may take to greet; it does so at once, unless it is suspended or gone wrong. */
const GREETING_MS = 15_000;

/** What a link hands on. */
export interface LinkHandlers {
  /** Not replies, which go to whoever asked. */
  onEvent(event: SupervisorEvent): void;
  /** Frames of streams. */
  onFrame?(frame: Frame): void;
}

/** A connection that asks and is told. It does not keep the VM alive by itself. */
export class SupervisorLink implements Disposable {
  /** For streams. */
  readonly connection: FrameConnection;
  /** Resolves at the connection's end, to why it ended. */
  readonly ended: Promise<VibeError>;
  readonly #instance: Instance;
  readonly #handlers: LinkHandlers;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #greeting: ReturnType<typeof setTimeout>;
  #lastId = 0;
  #end: VibeError | null = null;

  constructor(conn: Deno.Conn, instance: Instance, handlers: LinkHandlers) {
    this.connection = new FrameConnection(conn, FROM_SUPERVISOR);
    this.#instance = instance;
    this.#handlers = handlers;
    this.connection.send(0, FrameType.hello, encodeHello(helloText()));
    this.#greeting = setTimeout(() => this.#silent(), GREETING_MS);
    this.ended = this.#receive();
  }

  /** Why the connection will end, if that was said already. */
  get end(): VibeError | null {
    return this.#end;
  }

  /** Sends a request that has no answer of its own. */
  tell(request: ControlRequest & { request: "attach" }): void {
    this.connection.send(0, FrameType.control, encodeControl(request));
  }

  /**
   * Asks and waits for the answer.
   *
   * @throws {VibeError} what the supervisor answers, or why it is gone.
   */
  request<N extends RequestName>(name: N, args: RequestArgs<N>): Promise<RequestResult<N>> {
    if (this.#end) return Promise.reject(this.#end);
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    const message = { ...args, request: name, id } as ControlRequest;
    this.connection.send(0, FrameType.control, encodeControl(message));
    return answer.promise as Promise<RequestResult<N>>;
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }

  #silent(): void {
    this.#end ??= new VibeError(
      "SUPERVISOR_SILENT",
      `Cannot use the VM of "${printable(this.#instance.title)}": its supervisor does not answer`,
      { hint: "It may be suspended. `vibe stop --force` ends it, and the VM with it." },
    );
    this.connection.close();
  }

  async #receive(): Promise<VibeError> {
    try {
      await this.connection.receive((frame) => {
        if (frame.type === FrameType.hello) this.#greeted(frame);
        else if (frame.type === FrameType.control) this.#onEvent(decodeControl(frame.payload));
        else this.#handlers.onFrame?.(frame);
      });
    } catch (error) {
      this.#end ??= error instanceof VibeError ? error : new VibeError(
        "SUPERVISOR_PROTOCOL",
        `The VM's supervisor cannot be followed`,
        { cause: error, hint: "`vibe restart` starts it anew." },
      );
    }
    clearTimeout(this.#greeting);
    this.connection.close();
    this.#end ??= new VibeError(
      "SUPERVISOR_GONE",
      "The VM has ended: its supervisor is gone",
      { hint: "Run `vibe` again to start it; `vibe logs --supervisor` may say more." },
    );
    for (const { reject } of this.#pending.values()) reject(this.#end);
    this.#pending.clear();
    return this.#end;
  }

  #greeted(frame: Frame): void {
    clearTimeout(this.#greeting);
    const hello = decodeHello(frame.payload);
    const { control, version } = parseHello(hello.build);
    if (hello.version === PROTOCOL_VERSION && control === CONTROL_VERSION) return;
    throw otherVersion(this.#instance, version);
  }

  #onEvent(event: SupervisorEvent): void {
    if (event.event !== "reply") {
      if (event.event === "failed") this.#end ??= fromFailure(event.failure);
      if (event.event === "ended") this.#end = ended(event);
      this.#handlers.onEvent(event);
      return;
    }
    const answer = this.#pending.get(event.id);
    this.#pending.delete(event.id);
    if ("failure" in event) answer?.reject(fromFailure(event.failure));
    else answer?.resolve(event.value);
  }
}

/** Connects to the supervisor of a VM; null if none listens. */
export async function connect(
  instance: Instance,
  handlers: LinkHandlers,
): Promise<SupervisorLink | null> {
  const { socket } = vmRuntime(instance);
  try {
    const conn = await Deno.connect({ transport: "unix", path: socket });
    return new SupervisorLink(conn, instance, handlers);
  } catch {
    // No socket, or one that a killed supervisor left behind.
    return null;
  }
}

/** The VM runs, but under another build of vibe. */
export function otherVersion({ title }: Instance, version: string): VibeError {
  return new VibeError(
    "VM_OTHER_VERSION",
    `The VM of "${title}" was started by another version of vibe: ${version}, this is ${VERSION}`,
    {
      hint: "`vibe restart` stops it, which ends its open sessions, and starts it with this one.",
    },
  );
}

/** What was said on the other side. */
export function fromFailure({ code, message, hint }: Failure): VibeError {
  return new VibeError(code, message, { hint });
}

function ended({ exit, console }: SupervisorEvent & { event: "ended" }): VibeError {
  const hint = console ? `Last lines of its console:\n${console}` : undefined;
  const say = (message: string, code = "VM_ENDED") => new VibeError(code, message, { hint });
  switch (exit.reason) {
    case "poweroff":
      return say("The VM was powered off from inside", "VM_POWERED_OFF");
    case "panic":
      return say("The VM ended: its kernel panicked, or it was rebooted from inside");
    case "killed":
      return say("The VM ended: its hypervisor was killed");
    case "failed":
      return say(`The VM ended: ${exit.detail}`);
  }
}
