/** What programs that call vibe are told about a command: `--json` and `--result`. */

import { Collector } from "../agent/collect.ts";
import type { Sinks } from "../agent/client.ts";
import { signalName } from "../agent/signals.ts";
import { ExitCode, reason, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import type { RunOptions } from "./run_options.ts";
import type { SessionEnd } from "./session.ts";

/** The most that is kept of each output with `--json`. */
const MAX_OUTPUT = 16 << 20;

/** One line of JSON. */
export interface RunReport {
  /** Of this vibe process; see "Exit codes" in docs/cli.md. */
  exitCode: number;
  /** The command's own exit status; null if it has none. */
  status: number | null;
  /** What killed it, such as `SIGKILL`; null if nothing did. */
  signal: string | null;
  timedOut: boolean;
  /** From the command's start to its end, in milliseconds; null if it was never started. */
  durationMs: number | null;
  /** How much it said, in bytes. */
  stdoutBytes: number;
  stderrBytes: number;
  /** What it said, with `--json`. Bytes that are not UTF-8 become U+FFFD. */
  stdout?: string;
  stderr?: string;
  /** With `--json`: there was more than the 16 MiB of each that are kept. */
  truncated?: boolean;
  /** What vibe has to say when it is not the command that failed. */
  error: { code: string; message: string; hint: string | null } | null;
}

/**
 * Runs a command and reports on it. Resolves to the exit code.
 *
 * @param join runs the command; with sinks, its output goes there.
 * @param exitCodeOf as in `session.ts`, for this command.
 * @throws what either of them throws, once that has been reported.
 */
export async function reportedRun(
  { json, result }: RunOptions,
  join: (sinks?: Sinks) => Promise<SessionEnd>,
  exitCodeOf: (end: SessionEnd) => number,
): Promise<number> {
  const kept = json
    ? { stdout: new Collector(MAX_OUTPUT), stderr: new Collector(MAX_OUTPUT) }
    : null;
  let end: SessionEnd | null = null;
  let exitCode = 0;
  let failure: unknown = null;
  try {
    end = await join(kept ? { stdout: kept.stdout.sink, stderr: kept.stderr.sink } : undefined);
    exitCode = exitCodeOf(end);
  } catch (error) {
    failure = error;
    exitCode = error instanceof VibeError ? error.exitCode : ExitCode.failure;
  }
  const report = reportOf(end, exitCode, failure);
  if (result !== undefined) await write(result, JSON.stringify(report) + "\n");
  if (kept) {
    const decoder = new TextDecoder();
    report.stdout = decoder.decode(kept.stdout.bytes());
    report.stderr = decoder.decode(kept.stderr.bytes());
    report.truncated = kept.stdout.truncated || kept.stderr.truncated;
    await print(JSON.stringify(report) + "\n");
  }
  if (failure) throw failure;
  return exitCode;
}

/** The report on a command, without its output. */
export function reportOf(end: SessionEnd | null, exitCode: number, failure: unknown): RunReport {
  const status = end?.status ?? null;
  return {
    exitCode,
    status: status?.kind === "exited" ? status.code : null,
    signal: status?.kind === "signaled" ? signalName(status.signal) : null,
    timedOut: end?.endedBy === "timeout",
    durationMs: end && status?.kind !== "failed" ? end.durationMs : null,
    stdoutBytes: end?.bytes.stdout ?? 0,
    stderrBytes: end?.bytes.stderr ?? 0,
    error: failure === null ? null : {
      code: failure instanceof VibeError ? failure.code : "UNEXPECTED",
      message: reason(failure),
      hint: failure instanceof VibeError ? failure.hint ?? null : null,
    },
  };
}

/** A descriptor of ours, whatever it leads to. */
const DESCRIPTOR = /^\/(dev\/fd|proc\/self\/fd)\/|^\/dev\/std(out|err)$/;

/** A regular file gets the line whole; what else there is (a pipe, /dev/fd/3) gets it written to. */
async function write(path: string, line: string): Promise<void> {
  try {
    const info = await Deno.stat(path).catch(() => null);
    if (!DESCRIPTOR.test(path) && (!info || info.isFile)) await writeFileWhole(path, line);
    else await Deno.writeTextFile(path, line, { append: true });
  } catch (error) {
    throw new VibeError("RESULT_FILE", `Cannot write the result to "${path}": ${reason(error)}`, {
      cause: error,
    });
  }
}

async function print(line: string): Promise<void> {
  const bytes = new TextEncoder().encode(line);
  for (let at = 0; at < bytes.byteLength;) at += await Deno.stdout.write(bytes.subarray(at));
}
