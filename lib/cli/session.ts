/** One program in the guest, joined to this process's stdin, stdout and stderr. */

import type { Exec, Sink, Sinks } from "../agent/client.ts";
import { Errno } from "../agent/errno.ts";
import { exitWithin, type LimitedExit } from "../agent/limit.ts";
import type { ExecRequest } from "../agent/messages.ts";
import { typeEndOfInput } from "../console/end_of_input.ts";
import { DetachKeys } from "../console/detach.ts";
import { rawMode, watchWindowSize, windowSize } from "../console/terminal.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import { type Attachment, StoppingError } from "../instance/attach.ts";
import { printError } from "./output.ts";

const SIGINT = 2;
const SIGPIPE = 13;
const SIGQUIT = 3;

/** Bytes read from stdin at once. */
const INPUT_CHUNK = 64 << 10;

/** What to run, and how. */
export interface SessionOptions extends Omit<ExecRequest, "pty" | "stdin" | "env" | "cgroup"> {
  /** Give the program a terminal, and put ours in raw mode. */
  tty: boolean;
  /** Seconds after which it and all that it started is ended; none or 0 for no limit. */
  timeout?: number;
  /** Where its output goes instead of our own stdout and stderr. */
  sinks?: Sinks;
  /** Give the program a terminal of its own even if we have none. */
  pty?: boolean;
  /** Told as soon as the program is asked for. */
  onStart?: (exec: Exec) => void;
  /** Our input reaches the program only then, and only then our terminal is in raw mode. */
  inputAfter?: Promise<void>;
  /** The end of our input is typed. For a shell on a terminal of its own, while we have none. */
  typeEnd?: boolean;
}

/** How a session went. */
export interface SessionEnd extends LimitedExit {
  /** From the program's start to its end. */
  durationMs: number;
  /** Bytes of output that came. With a terminal all of it is stdout. */
  bytes: { stdout: number; stderr: number };
}

/**
 * Runs a program in the guest as if it were this process. Resolves to the exit code, as
 * {@link exitCodeOf} has it.
 *
 * @throws {VibeError} if the VM goes away first, or what {@link exitCodeOf} throws.
 */
export async function runSession(vm: Attachment, options: SessionOptions): Promise<number> {
  return exitCodeOf(await joinSession(vm, options), options);
}

/**
 * Runs a program in the guest as if it were this process.
 *
 * @throws {VibeError} if the VM goes away first.
 */
export async function joinSession(vm: Attachment, options: SessionOptions): Promise<SessionEnd> {
  const { tty, timeout, sinks, pty, onStart, inputAfter, typeEnd, ...program } = options;
  using scope = new DisposableStack();
  let exec: Exec | null = null;
  const request: ExecRequest = { ...program, env: sessionEnv(tty), stdin: true };
  if (timeout) request.cgroup = true;
  if (tty || pty) request.pty = windowSize();
  if (tty) {
    if (!inputAfter) scope.use(rawMode());
    scope.use(watchWindowSize((size) => exec?.resize(size)));
  } else {
    // On a terminal these keys travel as bytes; here they come as signals.
    scope.use(onSignal("SIGINT", () => exec?.signal(SIGINT)));
    scope.use(onSignal("SIGQUIT", () => exec?.signal(SIGQUIT)));
  }
  const readerLeft = () => exec?.signal(SIGPIPE);
  const bytes = { stdout: 0, stderr: 0 };
  const started = performance.now();
  exec = vm.agent.exec(request, countedSinks(sinks ?? stdoutSinks(readerLeft), bytes));
  onStart?.(exec);
  const left = Promise.withResolvers<null>();
  const keys = detachKeys(tty);
  const leaves = (chunk: Uint8Array) => {
    if (!keys?.typed(chunk, performance.now())) return false;
    left.resolve(null);
    return true;
  };
  if (inputAfter) {
    const started = exec;
    inputAfter.then(() => {
      if (scope.disposed) return;
      if (tty) scope.use(rawMode());
      pumpInput(started, leaves, typeEnd);
    });
  } else pumpInput(exec, leaves, typeEnd);
  const ended = exitWithin(exec, { timeoutMs: (timeout ?? 0) * 1000 });
  const end = await Promise.race([ended, left.promise]) ?? await detach(vm);
  // The guest ended it because someone stopped the VM.
  const finished = end.status?.kind === "exited" && end.status.code === 0;
  if (vm.stopping && !finished && end.endedBy !== "timeout") {
    throw vm.link.end ?? new StoppingError();
  }
  return { ...end, durationMs: Math.round(performance.now() - started), bytes };
}

/** None without a terminal, or with `VIBE_DETACH=off`. */
function detachKeys(tty: boolean): DetachKeys | null {
  return tty && Deno.env.get("VIBE_DETACH") !== "off" ? new DetachKeys() : null;
}

/** Leaves the VM running. The program is hung up with its terminal; tmux is what keeps one. */
async function detach(vm: Attachment): Promise<LimitedExit> {
  await vm.link.request("keep", { on: true });
  // Whatever comes next begins a line; the terminal is still raw.
  printError("\r\n");
  return { status: { kind: "exited", code: 0 }, endedBy: null };
}

function sessionEnv(tty: boolean): string[] {
  const names = tty ? ["TERM", "COLORTERM", "NO_COLOR"] : ["NO_COLOR"];
  return names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
}

/** Input flows for as long as the program takes it; a read that never ends is left behind. */
async function pumpInput(
  exec: Exec,
  isLast: (chunk: Uint8Array) => boolean,
  typeEnd = false,
): Promise<void> {
  const buffer = new Uint8Array(INPUT_CHUNK);
  let last: number | undefined;
  try {
    for (let count; (count = await Deno.stdin.read(buffer)) !== null;) {
      const chunk = buffer.subarray(0, count);
      if (isLast(chunk)) return;
      await exec.write(chunk);
      last = chunk.at(-1);
    }
  } catch {
    // A terminal that was closed (EIO) is an end of input, too.
  }
  if (!typeEnd) return exec.closeStdin();
  let ended = false;
  exec.exit.catch(() => {}).then(() => ended = true);
  await typeEndOfInput((bytes) => exec.write(bytes), last, () => ended);
}

/** Our own stdout and stderr; `readerLeft` is told when nobody reads them any more. */
export function stdoutSinks(readerLeft: () => void): Sinks {
  return { stdout: writer(Deno.stdout, readerLeft), stderr: writer(Deno.stderr, readerLeft) };
}

/** The same sinks, with what they take added to `bytes`. */
export function countedSinks(sinks: Sinks, bytes: SessionEnd["bytes"]): Sinks {
  const counted = (name: keyof Sinks): Sink => (chunk) => {
    bytes[name] += chunk.byteLength;
    return sinks[name](chunk);
  };
  return { stdout: counted("stdout"), stderr: counted("stderr") };
}

function writer(to: typeof Deno.stdout, onReaderGone: () => void): Sink {
  return async (chunk) => {
    try {
      for (let at = 0; at < chunk.byteLength;) at += await to.write(chunk.subarray(at));
    } catch (error) {
      onReaderGone();
      throw error;
    }
  };
}

function onSignal(signal: Deno.Signal, listener: () => void): Disposable {
  Deno.addSignalListener(signal, listener);
  return { [Symbol.dispose]: () => Deno.removeSignalListener(signal, listener) };
}

/**
 * The exit code for a program's end: its own, or 128 + n if signal n killed it.
 *
 * @throws {VibeError} `RUN_TIMEOUT` (exit code 124); `EXEC_FAILED` if it could not be started (126 or
 *   127).
 */
export function exitCodeOf(end: LimitedExit, { argv, timeout }: SessionOptions): number {
  const what = argv[0] ?? "shell";
  const { status, endedBy } = end;
  if (endedBy === "timeout" || status === null) {
    const fate = status ? "was ended" : "the guest does not say that it ended";
    throw new VibeError(
      "RUN_TIMEOUT",
      `Cannot finish "${what}": it took longer than ${timeout} s and ${fate}`,
      { exitCode: ExitCode.timedOut },
    );
  }
  switch (status.kind) {
    case "exited":
      return status.code;
    case "signaled":
      return 128 + status.signal;
    case "failed":
      if (status.errno === Errno.EIO) {
        throw new VibeError("SESSION_LOST", `Lost "${what}": ${printable(status.message)}`);
      }
      throw new VibeError(
        "EXEC_FAILED",
        `Cannot run "${what}" in the guest: ${printable(status.message)}`,
        {
          exitCode: status.errno === Errno.ENOENT ? ExitCode.notFound : ExitCode.notExecutable,
        },
      );
  }
}
