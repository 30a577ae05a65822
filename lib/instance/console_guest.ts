/**
 * A guest without our agent: all there is of it is its system console, and so one shell. The first
 * command that opens a stream starts that shell, whoever comes later shares it: all see the same
 * screen and type at the same keyboard. When the shell ends, every stream does, with its status.
 *
 * The console waits for the commands: what none of them takes stays in the guest. One that stops
 * taking while others go on loses the oldest of what it has missed.
 */

import type { FrameConnection } from "../agent/connection.ts";
import { Errno } from "../agent/errno.ts";
import { type Frame, FrameType, ProtocolError } from "../agent/frame.ts";
import {
  Channel,
  decodeCredit,
  decodeExec,
  decodeResize,
  encodeCredit,
  encodeExited,
  encodeFailure,
  execCredits,
  type WindowSize,
} from "../agent/messages.ts";
import { typeEndOfInput } from "../console/end_of_input.ts";
import { Dialogue } from "../console/dialogue.ts";
import { ConsoleShell, encodeSize, POWER_OFF } from "../console/login.ts";
import { MarkScanner } from "../console/marks.ts";
import type { ByteStream, Vm } from "../driver/driver.ts";
import { reason, VibeError } from "../errors.ts";
import type { PlannedMount } from "../plan/plan.ts";
import { ConsoleStream } from "./console_stream.ts";
import type { SessionInfo } from "./control.ts";
import type { Guest, GuestClient } from "./guest.ts";

/** What the keys of a terminal send for a signal. */
const SIGNAL_KEYS: Record<number, number> = { 2: 0x03, 3: 0x1c, 20: 0x1a };

/** Bytes of the screen that a latecomer is shown. */
const RECENT = 16 << 10;
/** Milliseconds from the word that starts the user's shell to the shell. Generous. */
const START_MS = 60_000;
/** The size of a window that nobody has told. */
const DEFAULT_SIZE: WindowSize = { rows: 24, columns: 80 };
/** Terminals that every Debian knows; xterm stands for the others. */
const TERMS = /^(xterm(-256)?(color)?|screen(-256color)?|tmux(-256color)?|linux|vt[12][02]0|dumb)$/;

/** A started VM, its shell at the console, and what is known of the user's. */
interface Session {
  vm: Vm;
  dialogue: Dialogue;
  marks: MarkScanner;
  /** There once the login is done. */
  shell: ConsoleShell | null;
  /** The port at which the guest listens for {@link encodeSize}. */
  port: ByteStream | null;
  /** When the user's shell was asked for, ISO 8601; null if there is none. */
  started: string | null;
  /** Between its marks. */
  open: boolean;
  /** Resolves when it has begun. */
  opened: PromiseWithResolvers<void>;
}

/** See the head of this file. */
export class ConsoleGuest implements Guest {
  /** Each of its waits has a limit of its own, and says better what was waited for. */
  readonly bootTimeout = 1_200_000;
  readonly #mounts: PlannedMount[];
  readonly #workdir: string | null;
  readonly #log: (line: string) => void;
  readonly #startMs: number;
  readonly #streams = new Set<ConsoleStream>();
  #session: Session | null = null;
  #accepting = false;
  /** By any of the commands. */
  #lastTyped: number | undefined;
  #recent = new Uint8Array();
  #writing: Promise<void> = Promise.resolve();
  #room = Promise.withResolvers<void>();

  constructor(
    mounts: PlannedMount[],
    workdir: string | null,
    log: (line: string) => void,
    startMs = START_MS,
  ) {
    this.#mounts = mounts;
    this.#workdir = workdir;
    this.#log = log;
    this.#startMs = startMs;
  }

  connect(connection: FrameConnection): GuestClient {
    const streams = new Map<number, ConsoleStream>();
    let last = 0;
    return {
      onFrame: (frame) => {
        if (frame.type === FrameType.exec) {
          if (frame.stream <= last) throw new ProtocolError(`EXEC reuses stream ${frame.stream}`);
          last = frame.stream;
          const stream = this.#open(connection, frame);
          if (stream) streams.set(frame.stream, stream);
          return;
        }
        const stream = streams.get(frame.stream);
        if (!stream) throw new ProtocolError(`frame type ${frame.type} for stream ${frame.stream}`);
        this.#onFrame(connection, stream, frame);
      },
      leave: () => {
        for (const stream of streams.values()) this.#streams.delete(stream);
        this.#wake();
      },
    };
  }

  async serve(vm: Vm): Promise<void> {
    const nonce = crypto.randomUUID().slice(0, 8);
    const dialogue = new Dialogue((bytes) => this.#type(vm, bytes));
    const session: Session = {
      vm,
      dialogue,
      marks: new MarkScanner(nonce),
      shell: null,
      port: null,
      started: null,
      open: false,
      opened: Promise.withResolvers(),
    };
    this.#session = session;
    vm.exited.then(() => dialogue.end(new VibeError("VM_ENDED", "The VM ended")));
    const shell = await ConsoleShell.logIn(dialogue, nonce);
    this.#log("logged in at the console");
    await shell.mount(this.#mounts);
    if (await shell.listen()) session.port = vm.agent;
    session.shell = shell;
    this.#accepting = true;
  }

  /** The one console may be in use by a program. */
  mount(): Promise<never> {
    return Promise.reject(noLiveMounts());
  }

  unmount(): Promise<never> {
    return Promise.reject(noLiveMounts());
  }

  async open(): Promise<void> {}

  async onConsole(chunk: Uint8Array): Promise<void> {
    const session = this.#session;
    if (!session) return;
    for (const event of session.marks.push(chunk)) {
      if (event.kind === "start") {
        session.open = true;
        session.opened.resolve();
      } else if (event.kind === "end") this.#endStreams(encodeExited(event.status));
      else if (session.open) this.#broadcast(event.bytes);
      else session.dialogue.hear(event.bytes);
    }
    while (this.#streams.size > 0 && [...this.#streams].every((stream) => stream.full)) {
      await this.#room.promise;
    }
  }

  async powerOff(vm: Vm): Promise<boolean> {
    this.#accepting = false;
    const port = this.#session?.port;
    // Where the shell does not listen, the power button is all there is.
    if (port) await writeAll(port, POWER_OFF).catch(() => {});
    else await vm.requestStop().catch((error) => this.#log(reason(error)));
    return true;
  }

  sessions(): SessionInfo[] {
    const since = this.#session?.started;
    return since ? [...this.#streams].map(() => ({ argv: [], tty: true, since })) : [];
  }

  /** Nobody could ask. */
  async waitForWork(): Promise<void> {}

  #open(connection: FrameConnection, frame: Frame): ConsoleStream | null {
    const refuse = (errno: number, why: string) => {
      connection.send(frame.stream, FrameType.exit, encodeFailure(errno, why));
      return null;
    };
    const session = this.#session;
    if (!session?.shell || !this.#accepting) return refuse(Errno.EAGAIN, "the VM is not ready");
    const { argv, env, pty } = decodeExec(frame.payload);
    if (argv.length > 0) return refuse(Errno.ENOSYS, "this guest has no agent, only a console");
    const { stdout } = execCredits(frame.payload);
    const stream = new ConsoleStream(connection, frame.stream, stdout, () => this.#wake());
    this.#streams.add(stream);
    const size = pty ?? DEFAULT_SIZE;
    if (session.started) {
      stream.push(this.#recent);
      this.#resize(size);
      return stream;
    }
    session.started = new Date().toISOString();
    const term = env?.find((pair) => TERMS.test(pair.replace(/^TERM=/, "")))?.slice(5);
    this.#start(session.shell, session, size, term ?? "xterm-256color").catch((error) => {
      this.#endStreams(encodeFailure(Errno.EIO, reason(error)));
    });
    return stream;
  }

  /** Starts the user's shell, and waits until it has begun. */
  async #start(
    shell: ConsoleShell,
    session: Session,
    size: WindowSize,
    term: string,
  ): Promise<void> {
    session.opened = Promise.withResolvers();
    const begun = session.opened.promise.then(() => true);
    await shell.start(size, term, this.#workdir);
    const { dialogue } = session;
    if (await dialogue.within(begun, this.#startMs)) return;
    throw dialogue.late(this.#startMs, { code: "CONSOLE_SILENT", what: "a shell at the console" });
  }

  #onFrame(connection: FrameConnection, stream: ConsoleStream, frame: Frame): void {
    if (frame.type === FrameType.credit) {
      const { channel, bytes } = decodeCredit(frame.payload);
      if (channel === Channel.stdin) throw new ProtocolError("CREDIT for one's own input");
      if (channel === Channel.stdout) stream.addCredit(bytes);
      return;
    }
    // It crossed with the end of the shell.
    if (!this.#streams.has(stream)) return;
    const { vm } = this.#session!;
    switch (frame.type) {
      case FrameType.stdin: {
        const bytes = frame.payload.slice();
        this.#lastTyped = bytes.at(-1) ?? this.#lastTyped;
        this.#type(vm, bytes).then(
          () => {
            const credit = encodeCredit(Channel.stdin, bytes.byteLength);
            if (this.#streams.has(stream)) connection.send(frame.stream, FrameType.credit, credit);
          },
          // The VM has ended, which everybody is told.
          () => {},
        );
        break;
      }
      case FrameType.eof:
        // Others still type: the end of one's input is not the end of the shell.
        if (this.#streams.size > 1) this.#leave(stream, encodeExited(0));
        else this.#endInput(vm, stream).catch(() => {});
        break;
      case FrameType.resize:
        this.#resize(decodeResize(frame.payload));
        break;
      case FrameType.signal: {
        const key = SIGNAL_KEYS[frame.payload[0]];
        if (key !== undefined) this.#type(vm, Uint8Array.of(key)).catch(() => {});
        break;
      }
      case FrameType.hangup:
      case FrameType.terminate:
        this.#leave(stream, encodeFailure(Errno.EIO, "hung up"));
        break;
      default:
        throw new ProtocolError(`frame type ${frame.type} on an open stream`);
    }
  }

  /** Writes to the console, after what is being written already. */
  #type(vm: Vm, bytes: Uint8Array): Promise<void> {
    const written = this.#writing.then(() => writeAll(vm.console, bytes));
    this.#writing = written.catch(() => {});
    return written;
  }

  /** Of the only one that types, until it has ended the shell or somebody else types, too. */
  async #endInput(vm: Vm, stream: ConsoleStream): Promise<void> {
    const alone = () => this.#streams.has(stream) && this.#streams.size === 1;
    await typeEndOfInput((bytes) => this.#type(vm, bytes), this.#lastTyped, () => !alone());
    if (this.#streams.has(stream)) this.#leave(stream, encodeExited(0));
  }

  #leave(stream: ConsoleStream, exit: Uint8Array): void {
    this.#streams.delete(stream);
    stream.end(exit);
    this.#wake();
  }

  #resize(size: WindowSize): void {
    const port = this.#session?.port;
    if (port && size.rows > 0 && size.columns > 0) writeAll(port, encodeSize(size)).catch(() => {});
  }

  #broadcast(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#recent.byteLength + bytes.byteLength);
    joined.set(this.#recent);
    joined.set(bytes, this.#recent.byteLength);
    this.#recent = joined.slice(-RECENT);
    for (const stream of this.#streams) stream.push(bytes);
  }

  /** The user's shell is gone; the next stream starts another. */
  #endStreams(exit: Uint8Array): void {
    const session = this.#session!;
    session.open = false;
    session.started = null;
    this.#recent = new Uint8Array();
    for (const stream of this.#streams) stream.end(exit);
    this.#streams.clear();
    this.#wake();
  }

  #wake(): void {
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }
}

async function writeAll(stream: ByteStream, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) at += await stream.write(bytes.subarray(at));
}

function noLiveMounts(): VibeError {
  const message = "Cannot change the shares of a VM that runs: its guest has no agent";
  return new VibeError("MOUNT_NO_AGENT", message, { hint: "Restart it with --mount." });
}
