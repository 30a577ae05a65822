/** Programs in the guest, as a library's user sees them. */

import type { AgentClient, Exec, Sink, Sinks } from "../agent/client.ts";
import { Collector } from "../agent/collect.ts";
import { exitWithin, type LimitedExit } from "../agent/limit.ts";
import { signalName, signalNumber } from "../agent/signals.ts";
import { feed, readableOutput, sinkInto, writableInput } from "../agent/web_streams.ts";
import { printable, VibeError } from "../errors.ts";
import type { ExecOptions, SpawnOptions } from "./options.ts";

/** The most of each output that a result holds, in bytes. */
const MAX_OUTPUT = 16 << 20;

/** How a program ended. */
export interface ProgramStatus {
  /** Its exit status; null if a signal killed it. */
  code: number | null;
  /** What killed it, such as `"SIGKILL"`; null if nothing did. */
  signal: string | null;
  /** Whether its time was up. */
  timedOut: boolean;
  /** Whether its exit status is 0, and it was in time. */
  success: boolean;
  /** From its start to its end, in milliseconds. */
  durationMs: number;
}

/** How a program ended, and what it said. */
export interface ExecResult extends ProgramStatus {
  /** As text; bytes that are not UTF-8 become U+FFFD. */
  stdout: string;
  /** Likewise. */
  stderr: string;
  /** As they came, at most {@link ExecOptions.maxOutput} bytes. */
  stdoutBytes: Uint8Array<ArrayBuffer>;
  /** Likewise. */
  stderrBytes: Uint8Array<ArrayBuffer>;
  /** Whether there was more than is kept. */
  truncated: boolean;
}

/** What runs a program: where, and in what directory unless told otherwise. */
export interface Runner {
  agent: AgentClient;
  workdir: string | null;
  /** Seconds. */
  timeout: number;
}

/** A program that runs. */
export class Program {
  /** Its input. Close it, or the program may wait for more. */
  readonly stdin: WritableStream<Uint8Array>;
  /** Its output. A program that writes a lot waits until it is read; cancel what you do not want. */
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Its errors; empty with a terminal. As {@link stdout}. */
  readonly stderr: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * How it ended, once its output was taken.
   *
   * Rejects with a {@link VibeError}: `EXEC_FAILED` if it could not be started, `VM_*` if the VM
   * went away; or with the reason of an {@link SpawnOptions.signal}.
   */
  readonly status: Promise<ProgramStatus>;

  readonly #exec: Exec;

  /** Use {@link Vm.spawn}. */
  constructor(runner: Runner, argv: string[], options: SpawnOptions) {
    const stdout = readableOutput();
    const stderr = readableOutput();
    const { exec, status } = start(runner, argv, options, true, {
      stdout: stdout.sink,
      stderr: stderr.sink,
    });
    this.#exec = exec;
    this.stdin = writableInput(exec);
    this.stdout = stdout.readable;
    this.stderr = stderr.readable;
    this.status = status;
    status.then(() => [stdout, stderr].forEach((output) => output.end()), (error) => {
      for (const output of [stdout, stderr]) output.end(error);
    });
  }

  /**
   * Sends a signal to its process group, or to the foreground of its terminal.
   *
   * @throws {VibeError} `SIGNAL_UNKNOWN`.
   */
  kill(signal: string = "SIGTERM"): void {
    const number = signalNumber(signal);
    if (number === null) {
      throw new VibeError("SIGNAL_UNKNOWN", `Cannot send "${printable(signal)}": it is no signal`);
    }
    this.#exec.signal(number);
  }

  /** Tells its terminal a new size. */
  resize(size: { rows: number; columns: number }): void {
    this.#exec.resize(size);
  }
}

/**
 * Runs a program to its end and keeps what it says. See {@link Vm.exec}.
 *
 * @param head what it reads before {@link ExecOptions.stdin}.
 */
export async function execProgram(
  runner: Runner,
  argv: string[],
  options: ExecOptions,
  head?: Uint8Array,
): Promise<ExecResult> {
  using scope = new DisposableStack();
  const kept = [0, 1].map(() => new Collector(options.maxOutput ?? MAX_OUTPUT));
  const sinkFor = (which: 0 | 1, stream?: WritableStream<Uint8Array>): Sink =>
    stream ? scope.use(sinkInto(stream)).sink : kept[which].sink;
  const input = [head, options.stdin].filter((part) => part !== undefined);
  const { exec, status } = start(runner, argv, options, input.length > 0, {
    stdout: sinkFor(0, options.stdout),
    stderr: sinkFor(1, options.stderr),
  });
  // A program without the rest of its input is not what was asked for.
  const failed = feed(exec, ...input).then(() => new Promise<never>(() => {}), (error) => {
    exec.hangup();
    throw error;
  });
  const end = await Promise.race([status, failed]);
  const [stdoutBytes, stderrBytes] = kept.map((collector) => collector.bytes());
  const decoder = new TextDecoder();
  return {
    ...end,
    stdout: decoder.decode(stdoutBytes),
    stderr: decoder.decode(stderrBytes),
    stdoutBytes,
    stderrBytes,
    truncated: kept.some((collector) => collector.truncated),
  };
}

function start(
  { agent, workdir, timeout }: Runner,
  argv: string[],
  options: SpawnOptions,
  stdin: boolean,
  sinks: Sinks,
): { exec: Exec; status: Promise<ProgramStatus> } {
  options.signal?.throwIfAborted();
  const started = performance.now();
  const exec = agent.exec({
    argv,
    env: Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
    cwd: options.cwd ?? workdir ?? undefined,
    user: options.user,
    pty: options.tty,
    stdin,
    cgroup: true,
  }, sinks);
  const timeoutMs = (options.timeout ?? timeout) * 1000;
  const status = exitWithin(exec, { timeoutMs, signal: options.signal }).then((end) => {
    if (end.endedBy === "signal") throw options.signal!.reason;
    return statusOf(end, argv, Math.round(performance.now() - started));
  });
  // Whoever only reads the output need not look at it.
  status.catch(() => {});
  return { exec, status };
}

function statusOf(
  { status, endedBy }: LimitedExit,
  argv: string[],
  durationMs: number,
): ProgramStatus {
  if (status?.kind === "failed") {
    const what = printable(argv[0] ?? "shell");
    throw new VibeError(
      "EXEC_FAILED",
      `Cannot run "${what}" in the guest: ${printable(status.message)}`,
    );
  }
  const timedOut = endedBy === "timeout";
  const code = status?.kind === "exited" ? status.code : null;
  return {
    code,
    signal: status?.kind === "signaled" ? signalName(status.signal) : null,
    timedOut,
    success: code === 0 && !timedOut,
    durationMs,
  };
}
