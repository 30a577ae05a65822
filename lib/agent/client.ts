/** Running programs in the guest: the side that opens streams. */

import type { FrameConnection } from "./connection.ts";
import { type Frame, FrameType, MAX_DATA, ProtocolError, STDIN_CREDIT } from "./frame.ts";
import {
  Channel,
  decodeCredit,
  decodeExit,
  encodeCredit,
  encodeExec,
  encodeResize,
  encodeTerminate,
  type ExecRequest,
  type ExitStatus,
  type WindowSize,
} from "./messages.ts";

/**
 * Bytes of output that may be under way per channel. One round trip under software emulation
 * takes about 2 ms, so at 100 MB/s some 200 KiB are in flight; four times that never waits.
 */
const OUTPUT_WINDOW = 1 << 20;
/** Credit is given back in lumps of this size. */
const CREDIT_LUMP = OUTPUT_WINDOW / 4;

/** What frames are sent by. */
type FrameSender = Pick<FrameConnection, "send">;

/** Takes a program's output; the next chunk comes when the promise resolves. */
export type Sink = (chunk: Uint8Array) => Promise<void>;

/** Where a program's output goes. With a pty, all of it goes to `stdout`. */
export interface Sinks {
  stdout: Sink;
  stderr: Sink;
}

/** Opens streams over one connection and hands their frames to them. */
export class AgentClient {
  readonly #connection: FrameSender;
  readonly #streams = new Map<number, Exec>();
  #lastStream = 0;
  #broken: Error | null = null;

  constructor(connection: FrameSender) {
    this.#connection = connection;
  }

  /** Starts a program. Output flows to the sinks at once. */
  exec(request: ExecRequest, sinks: Sinks): Exec {
    const id = ++this.#lastStream;
    const exec = new Exec(this.#connection, id, sinks);
    if (this.#broken) exec.abort(this.#broken);
    else {
      this.#connection.send(id, FrameType.exec, encodeExec(request, OUTPUT_WINDOW));
      this.#streams.set(id, exec);
      exec.exit.finally(() => this.#streams.delete(id)).catch(() => {});
    }
    return exec;
  }

  /** Handles a frame for one of the streams. @throws {ProtocolError} for any other. */
  onFrame(frame: Frame): void {
    const exec = this.#streams.get(frame.stream);
    if (!exec) throw new ProtocolError(`frame type ${frame.type} for stream ${frame.stream}`);
    exec.onFrame(frame);
  }

  /** The connection is gone: every stream that still runs fails with `error`. */
  abort(error: Error): void {
    this.#broken = error;
    for (const exec of this.#streams.values()) exec.abort(error);
  }
}

/** One program in the guest. */
export class Exec {
  /** How it ended, after all of its output has been taken. Rejects if the VM went away. */
  readonly exit: Promise<ExitStatus>;

  readonly #connection: FrameSender;
  readonly #id: number;
  readonly #outputs: [Output, Output];
  readonly #settled = Promise.withResolvers<ExitStatus>();
  #stdinCredit = STDIN_CREDIT;
  #creditArrived = Promise.withResolvers<void>();
  #ended = false;

  /** Use {@link AgentClient.exec}. */
  constructor(connection: FrameSender, id: number, sinks: Sinks) {
    this.#connection = connection;
    this.#id = id;
    this.#outputs = [
      new Output(sinks.stdout, (bytes) => this.#giveCredit(Channel.stdout, bytes)),
      new Output(sinks.stderr, (bytes) => this.#giveCredit(Channel.stderr, bytes)),
    ];
    this.exit = this.#settled.promise;
    this.exit.catch(() => {});
  }

  /**
   * Sends input, waiting while the program does not read. Resolves when all is on its way, or the
   * program has ended.
   */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength && !this.#ended;) {
      if (this.#stdinCredit === 0) {
        await this.#creditArrived.promise;
        continue;
      }
      const count = Math.min(bytes.byteLength - at, this.#stdinCredit, MAX_DATA);
      this.#stdinCredit -= count;
      this.#send(FrameType.stdin, bytes.subarray(at, at + count));
      at += count;
    }
  }

  /** No more input will come. */
  closeStdin(): void {
    this.#send(FrameType.eof);
  }

  /** Tells the program's terminal its new size. */
  resize(size: WindowSize): void {
    this.#send(FrameType.resize, encodeResize(size));
  }

  /** Sends a Linux signal by number. */
  signal(number: number): void {
    this.#send(FrameType.signal, new Uint8Array([number]));
  }

  /** Ends the program as a closed terminal does: SIGHUP, then SIGKILL. */
  hangup(): void {
    this.#send(FrameType.hangup);
  }

  /**
   * SIGTERM now, and SIGKILL after `graceMs` if it still runs. With {@link ExecRequest.cgroup}, to
   * all that it started; {@link exit} comes when that is gone, too.
   */
  terminate(graceMs: number): void {
    this.#send(FrameType.terminate, encodeTerminate(graceMs));
  }

  /** For {@link AgentClient}. */
  onFrame(frame: Frame): void {
    switch (frame.type) {
      case FrameType.stdout:
      case FrameType.stderr:
        this.#outputs[frame.type === FrameType.stdout ? 0 : 1].push(frame.payload.slice());
        break;
      case FrameType.credit: {
        const { channel, bytes } = decodeCredit(frame.payload);
        if (channel !== Channel.stdin) throw new ProtocolError("CREDIT for an output");
        this.#stdinCredit += bytes;
        this.#wakeWriter();
        break;
      }
      case FrameType.exit: {
        const status = decodeExit(frame.payload);
        this.#end();
        Promise.all(this.#outputs.map((output) => output.drained())).then(
          () => this.#settled.resolve(status),
          (error) => this.#settled.reject(error),
        );
        break;
      }
      default:
        throw new ProtocolError(`frame type ${frame.type} on a program's stream`);
    }
  }

  /** For {@link AgentClient}. */
  abort(error: Error): void {
    this.#end();
    Promise.allSettled(this.#outputs.map((output) => output.drained()))
      .then(() => this.#settled.reject(error));
  }

  #end(): void {
    this.#ended = true;
    this.#wakeWriter();
  }

  #wakeWriter(): void {
    this.#creditArrived.resolve();
    this.#creditArrived = Promise.withResolvers<void>();
  }

  #giveCredit(channel: Channel, bytes: number): void {
    this.#send(FrameType.credit, encodeCredit(channel, bytes));
  }

  #send(type: number, payload?: Uint8Array): void {
    if (!this.#ended) this.#connection.send(this.#id, type, payload);
  }
}

/** Chunks of one channel on their way to a sink; credit goes back as they are taken. */
class Output {
  readonly #sink: Sink;
  readonly #giveCredit: (bytes: number) => void;
  readonly #queue: Uint8Array[] = [];
  #pumping: Promise<void> | null = null;
  #taken = 0;
  #sinkFailed = false;

  constructor(sink: Sink, giveCredit: (bytes: number) => void) {
    this.#sink = sink;
    this.#giveCredit = giveCredit;
  }

  push(chunk: Uint8Array): void {
    this.#queue.push(chunk);
    this.#pumping ??= this.#pump();
  }

  /** Resolves when everything that came has been taken. */
  async drained(): Promise<void> {
    await this.#pumping;
  }

  async #pump(): Promise<void> {
    for (let chunk; (chunk = this.#queue.shift());) {
      // A reader that left (`vibe run … | head`) must not stop the program; its output is dropped
      // and whoever made the sink decides what to do.
      // There is an await in every round, so that this never ends before push() has kept it.
      await (this.#sinkFailed ? null : this.#sink(chunk).catch(() => this.#sinkFailed = true));
      this.#taken += chunk.byteLength;
      if (this.#taken >= CREDIT_LUMP) {
        this.#giveCredit(this.#taken);
        this.#taken = 0;
      }
    }
    this.#pumping = null;
  }
}
