/** One program in the guest, joined to this process's stdin, stdout and stderr. */

import type { Exec, Sink } from "../agent/client.ts";
import type { ExecRequest, ExitStatus } from "../agent/messages.ts";
import { rawMode, watchWindowSize, windowSize } from "../console/terminal.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import type { Attachment } from "../instance/attach.ts";

const SIGINT = 2;
const SIGPIPE = 13;
const SIGQUIT = 3;
/** Linux errno values that a shell has exit codes for. */
const ENOENT = 2;

/** Bytes read from stdin at once. */
const INPUT_CHUNK = 64 << 10;

/** What to run, and whether on a terminal. */
export interface SessionOptions extends Omit<ExecRequest, "pty" | "stdin" | "env"> {
  /** Give the program a terminal, and put ours in raw mode. */
  tty: boolean;
}

/**
 * Runs a program in the guest as if it were this process. Resolves to the exit code: its own,
 * 128 + n if signal n killed it, 126 or 127 if it could not be started.
 *
 * @throws {VibeError} if the VM goes away first.
 */
export async function runSession(vm: Attachment, options: SessionOptions): Promise<number> {
  const { tty, ...program } = options;
  using scope = new DisposableStack();
  let exec: Exec | null = null;
  const request: ExecRequest = { ...program, env: sessionEnv(tty), stdin: true };
  if (tty) {
    request.pty = windowSize();
    scope.use(rawMode());
    scope.use(watchWindowSize((size) => exec?.resize(size)));
  } else {
    // On a terminal these keys travel as bytes; here they come as signals.
    scope.use(onSignal("SIGINT", () => exec?.signal(SIGINT)));
    scope.use(onSignal("SIGQUIT", () => exec?.signal(SIGQUIT)));
  }
  const readerLeft = () => exec?.signal(SIGPIPE);
  exec = vm.agent.exec(request, {
    stdout: writer(Deno.stdout, readerLeft),
    stderr: writer(Deno.stderr, readerLeft),
  });
  pumpInput(exec);
  return exitCode(await exec.exit, program.argv);
}

function sessionEnv(tty: boolean): string[] {
  const names = tty ? ["TERM", "COLORTERM", "NO_COLOR"] : ["NO_COLOR"];
  return names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
}

/** Input flows for as long as the program takes it; a read that never ends is left behind. */
async function pumpInput(exec: Exec): Promise<void> {
  const buffer = new Uint8Array(INPUT_CHUNK);
  try {
    for (let count; (count = await Deno.stdin.read(buffer)) !== null;) {
      await exec.write(buffer.subarray(0, count));
    }
  } catch {
    // A terminal that was closed (EIO) is an end of input, too.
  }
  exec.closeStdin();
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

function exitCode(status: ExitStatus, argv: string[]): number {
  switch (status.kind) {
    case "exited":
      return status.code;
    case "signaled":
      return 128 + status.signal;
    case "failed":
      throw new VibeError(
        "EXEC_FAILED",
        `Cannot run "${argv[0] ?? "shell"}" in the guest: ${printable(status.message)}`,
        {
          exitCode: status.errno === ENOENT ? ExitCode.notFound : ExitCode.notExecutable,
        },
      );
  }
}
