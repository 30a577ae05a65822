/** The one error type that reaches users, and the exit codes that go with it. */

/** Exit codes of vibe itself. A command in the guest passes its own through. */
export const ExitCode = {
  /** vibe could not do what was asked (host, image, VM): nothing the guest command said. */
  failure: 125,
  /** The command exists in the guest but cannot be executed. */
  notExecutable: 126,
  /** There is no such command in the guest. */
  notFound: 127,
  /** The command line makes no sense. */
  usage: 2,
  /** What `--expect` waits for did not come in time. */
  expectFailed: 123,
  /** The command in the guest took longer than `--timeout`. */
  timedOut: 124,
  /** Interrupted by Ctrl-C before a guest command ran, or while `--expect` waited. */
  interrupted: 130,
} as const;

/** What a {@link VibeError} may carry beside its code and message. */
export interface VibeErrorOptions {
  /** What to do next, one or a few lines. */
  hint?: string;
  /** The process's exit code; {@link ExitCode.failure} unless given. */
  exitCode?: number;
  /** The error underneath, shown with `--verbose`. */
  cause?: unknown;
}

/**
 * An error for the user: what was being done, to what (quoted), and what is wrong, in one line
 * of `message`; what to do next in `hint`; and a stable `code` such as `PROJECT_READ_ONLY` for
 * programs.
 */
export class VibeError extends Error {
  /** What `Error.prototype.name` says. */
  override readonly name = "VibeError";
  /** Stable, for programs. */
  readonly code: string;
  /** What to do next, one or a few lines. */
  readonly hint?: string;
  /** What the `vibe` command exits with. */
  readonly exitCode: number;

  /** `message`: one line. */
  constructor(code: string, message: string, options: VibeErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? ExitCode.failure;
  }
}

/** The message of anything that was thrown. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Text from the guest (or from a file a guest could write) made safe to print in our own
 * messages: control characters, line ends too, become visible escapes, and it is cut at `max`
 * characters.
 */
export function printable(text: string, max = 300): string {
  const safe = text.replace(
    /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return safe.length > max ? safe.slice(0, max) + "…" : safe;
}

/** Like {@link printable}, for a text of several lines. */
export function printableLines(text: string): string {
  return text.trim().split(/\r?\n/).map((line) => printable(line)).join("\n");
}
