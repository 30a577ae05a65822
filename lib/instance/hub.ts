/**
 * The supervisor's switch: frames from each command go to the guest agent under a stream number
 * of the supervisor's own, and answers go back. It buffers nothing itself: credit, which runs
 * from end to end, bounds what is under way, and the guest is held to it.
 */

import { AgentClient } from "../agent/client.ts";
import type { FrameConnection } from "../agent/connection.ts";
import { Errno } from "../agent/errno.ts";
import { type Frame, FrameType, ProtocolError } from "../agent/frame.ts";
import {
  Channel,
  decodeCredit,
  decodeExit,
  decodeHello,
  encodeExec,
  encodeFailure,
  execCredits,
  type ExecRequest,
  execSummary,
  type ExitStatus,
} from "../agent/messages.ts";
import type { SessionInfo } from "./control.ts";

/** What a program of the supervisor's own may say, in bytes. */
const OWN_CREDIT = 4096;

const NOTHING = new Uint8Array();

/** One command (terminal, script) that is attached. */
export interface Client {
  readonly connection: Pick<FrameConnection, "send" | "forward">;
  /** Its stream numbers -> ours. */
  readonly streams: Map<number, Stream>;
  lastStream: number;
  /** The supervisor's own, which need not wait until commands may come. */
  own?: boolean;
}

interface Stream {
  readonly id: number;
  /** Bytes the guest may still send, by channel. */
  readonly credit: { [Channel.stdout]: number; [Channel.stderr]: number };
  /** Gets the frames; null once the client has gone. */
  deliver: ((frame: Frame) => void) | null;
  /** For a client's program. */
  session?: SessionInfo;
}

/** Switches frames between the clients of one VM and its agent. */
export class Hub {
  readonly #streams = new Map<number, Stream>();
  #agent: FrameConnection | null = null;
  #lastStream = 0;
  #greetings = 0;
  /** Commands may open streams: the shares are mounted, and the VM is not stopping. */
  accepting = false;

  /** How many agents there were, one after another. */
  get greetings(): number {
    return this.#greetings;
  }

  /** The agent said HELLO: from now on its streams can be opened. */
  attachAgent(agent: FrameConnection): void {
    this.detachAgent("the guest agent started anew");
    this.#agent = agent;
    this.#greetings++;
  }

  /** The VM has ended. Its streams stay open: what is said to their clients next ends them. */
  loseAgent(): void {
    this.#agent = null;
    this.accepting = false;
  }

  /** Ends every stream: clients are told `why`. */
  detachAgent(why: string): void {
    const payload = encodeFailure(Errno.EIO, why);
    for (const [id, stream] of this.#streams) {
      stream.deliver?.({ stream: id, type: FrameType.exit, payload });
    }
    this.#streams.clear();
    this.#agent = null;
  }

  /**
   * A request of the supervisor itself (MOUNT, CLOCK, POWEROFF), resolved by the guest's EXIT.
   *
   * @throws if there is no agent.
   */
  request(type: number, payload: Uint8Array): Promise<ExitStatus> {
    const result = Promise.withResolvers<ExitStatus>();
    const stream = this.#open(0, 0, (frame) => {
      if (frame.type !== FrameType.exit) {
        throw new ProtocolError(`frame type ${frame.type} answers a request`);
      }
      result.resolve(decodeExit(frame.payload));
    });
    this.#agent!.send(stream.id, type, payload);
    return result.promise;
  }

  /**
   * Runs a program for the supervisor itself. `onOutput` is told whenever it says something, which
   * may be no more than {@link OWN_CREDIT} bytes in all.
   *
   * @throws if there is no agent.
   */
  exec(request: ExecRequest, onOutput: () => void): Promise<ExitStatus> {
    const result = Promise.withResolvers<ExitStatus>();
    const stream = this.#open(OWN_CREDIT, OWN_CREDIT, (frame) => {
      if (frame.type === FrameType.stdout) onOutput();
      if (frame.type === FrameType.exit) result.resolve(decodeExit(frame.payload));
    });
    this.#agent!.send(stream.id, FrameType.exec, encodeExec(request, OWN_CREDIT));
    return result.promise;
  }

  /** What the clients run at the moment. */
  sessions(): SessionInfo[] {
    return [...this.#streams.values()].flatMap(({ session }) => session ? [session] : []);
  }

  /** Makes a client out of a new connection. */
  addClient(connection: Client["connection"]): Client {
    return { connection, streams: new Map(), lastStream: 0 };
  }

  /** Starts programs for the supervisor itself, also before commands may. */
  ownClient(): AgentClient {
    const client = this.addClient({
      send: (stream, type, payload = NOTHING) => agent.onFrame({ stream, type, payload }),
      forward: (frame, stream) => agent.onFrame({ ...frame, stream }),
    });
    client.own = true;
    const agent = new AgentClient({
      send: (stream, type, payload = NOTHING) =>
        this.onClientFrame(client, { stream, type, payload }),
    });
    return agent;
  }

  /** The client is gone: its programs are hung up, and what they still say is dropped. */
  removeClient(client: Client): void {
    for (const stream of client.streams.values()) {
      stream.deliver = null;
      this.#agent?.send(stream.id, FrameType.hangup);
    }
    client.streams.clear();
  }

  /** A frame from a client. @throws {ProtocolError} if it is out of place. */
  onClientFrame(client: Client, frame: Frame): void {
    if (frame.type === FrameType.exec) {
      this.#openFor(client, frame);
      return;
    }
    const stream = client.streams.get(frame.stream);
    if (!stream) {
      // It crossed with the stream's EXIT.
      if (frame.stream > 0 && frame.stream <= client.lastStream) return;
      throw new ProtocolError(`frame type ${frame.type} for stream ${frame.stream}`);
    }
    if (frame.type === FrameType.credit) {
      const { channel, bytes } = decodeCredit(frame.payload);
      if (channel === Channel.stdin) throw new ProtocolError("CREDIT for one's own input");
      stream.credit[channel] += bytes;
    }
    this.#agent?.forward(frame, stream.id);
  }

  /** A frame from the guest. @throws {ProtocolError} if the guest does what it must not. */
  onAgentFrame(frame: Frame): void {
    const stream = this.#streams.get(frame.stream);
    if (!stream) throw new ProtocolError(`frame type ${frame.type} for stream ${frame.stream}`);
    switch (frame.type) {
      case FrameType.stdout:
        this.#charge(stream, Channel.stdout, frame.payload.byteLength);
        break;
      case FrameType.stderr:
        this.#charge(stream, Channel.stderr, frame.payload.byteLength);
        break;
      case FrameType.credit:
        if (decodeCredit(frame.payload).channel !== Channel.stdin) {
          throw new ProtocolError("CREDIT for the guest's own output");
        }
        break;
      case FrameType.exit:
        decodeExit(frame.payload);
        this.#streams.delete(frame.stream);
        break;
      default:
        throw new ProtocolError(`frame type ${frame.type} on an open stream`);
    }
    stream.deliver?.(frame);
  }

  #openFor(client: Client, frame: Frame): void {
    const { stream: number } = frame;
    if (number <= client.lastStream) throw new ProtocolError(`EXEC reuses stream ${number}`);
    client.lastStream = number;
    if (!this.#agent || !(this.accepting || client.own)) {
      const payload = encodeFailure(Errno.EAGAIN, "the VM is not ready");
      client.connection.send(number, FrameType.exit, payload);
      return;
    }
    const credits = execCredits(frame.payload);
    const stream = this.#open(credits.stdout, credits.stderr, (answer) => {
      if (answer.type === FrameType.exit) client.streams.delete(number);
      client.connection.forward(answer, number);
    });
    stream.session = { ...execSummary(frame.payload), since: new Date().toISOString() };
    client.streams.set(number, stream);
    this.#agent.forward(frame, stream.id);
  }

  #open(stdout: number, stderr: number, deliver: (frame: Frame) => void): Stream {
    if (!this.#agent) throw new Error("the guest agent is not connected");
    const id = ++this.#lastStream;
    const credit = { [Channel.stdout]: stdout, [Channel.stderr]: stderr };
    const stream: Stream = { id, credit, deliver };
    this.#streams.set(id, stream);
    return stream;
  }

  #charge(stream: Stream, channel: 1 | 2, bytes: number): void {
    stream.credit[channel] -= bytes;
    if (stream.credit[channel] < 0) throw new ProtocolError("the guest sent beyond its credit");
  }
}

/** Reads the agent's HELLO. @throws {ProtocolError} on a version that is not ours. */
export function checkHello(frame: Frame, version: number): string {
  if (frame.stream !== 0) throw new ProtocolError("HELLO on a stream");
  const hello = decodeHello(frame.payload);
  if (hello.version !== version) {
    throw new ProtocolError(`it speaks version ${hello.version}, not ${version}`);
  }
  return hello.build;
}
