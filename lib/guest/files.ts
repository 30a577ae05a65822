/** Files in the guest, read and written through programs there. */

import type { AgentClient, Exec } from "../agent/client.ts";
import { Collector } from "../agent/collect.ts";
import type { ExitStatus } from "../agent/messages.ts";
import { feed, type Input, readableOutput } from "../agent/web_streams.ts";
import { printable, VibeError } from "../errors.ts";

/** Most bytes of a complaint that are kept. */
const COMPLAINT = 4096;
/** How long a program that is not wanted any more has to clean up. */
const GRACE_MS = 2000;

/**
 * Writes beside the file and renames: whoever reads it finds the old content or all of the new. Its
 * words are the path and the mode; nothing of them is ever part of the script.
 */
const WRITE = `
aside=
trap '[ "$aside" ] && rm -f -- "$aside"' EXIT
trap 'exit 1' HUP INT TERM
aside=$(mktemp -- "$1.XXXXXXXX") || exit
cat >"$aside" && chmod -- "$2" "$aside" && mv -fT -- "$aside" "$1"`;

/** How a file is read or written. */
export interface GuestFileOptions {
  /** Name or number of the user who does it; root if left out. */
  user?: string;
  /** Gives up. The promise or the stream then fails with the signal's reason. */
  signal?: AbortSignal;
}

/** How a file is written. */
export interface GuestWriteOptions extends GuestFileOptions {
  /** Its permissions; 0o644 if left out. */
  mode?: number;
}

/**
 * Writes a file whole or not at all. A link of that name is replaced, not followed.
 *
 * @param path absolute, or below the user's home. Its directory must be there.
 * @throws {VibeError} `GUEST_FILE_NOT_FOUND` for a directory that is not there, `GUEST_FILE`.
 */
export async function writeGuestFile(
  agent: AgentClient,
  path: string,
  content: Input,
  options: GuestWriteOptions = {},
): Promise<void> {
  const { user, signal } = options;
  signal?.throwIfAborted();
  const mode = (options.mode ?? 0o644).toString(8);
  const complaint = new Collector(COMPLAINT);
  const argv = ["sh", "-c", WRITE, "sh", plain(path), mode];
  const exec = agent.exec({ argv, user, stdin: true }, {
    stdout: complaint.sink,
    stderr: complaint.sink,
  });
  const fed = feed(exec, content).then(() => null, (error) => {
    giveUp(exec);
    return { error };
  });
  const status = await withSignal(exec, signal);
  // It may have ended without reading all of it; then there is nothing to wait for.
  const failure = isSuccess(status) ? await fed : await Promise.race([fed, null]);
  if (failure) throw failure.error;
  if (!isSuccess(status)) throw refused("write", path, status, complaint);
}

/**
 * Reads a file as it comes. The stream fails with what {@link writeGuestFile} would throw.
 *
 * @param path absolute, or below the user's home.
 */
export function readGuestFile(
  agent: AgentClient,
  path: string,
  options: GuestFileOptions = {},
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const output = readableOutput();
  const complaint = new Collector(COMPLAINT);
  const exec = agent.exec({
    argv: ["cat", "--", plain(path)],
    user: options.user,
    stdin: false,
  }, {
    stdout: (chunk) =>
      output.sink(chunk).catch((error) => {
        giveUp(exec);
        throw error;
      }),
    stderr: complaint.sink,
  });
  withSignal(exec, options.signal).then((status) => {
    if (isSuccess(status)) output.end();
    else output.end(refused("read", path, status, complaint));
  }, output.end);
  return output.readable;
}

/**
 * Lets the shell remove what it began. A signal that meets it while it starts `cat` passes that by,
 * which then needs an end of its input; the shell has got the signal, and goes no further.
 */
function giveUp(exec: Exec): void {
  exec.terminate(GRACE_MS);
  exec.closeStdin();
}

/** @throws the signal's reason once the program has ended. */
async function withSignal(exec: Exec, signal?: AbortSignal): Promise<ExitStatus> {
  const abort = () => giveUp(exec);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  try {
    const status = await exec.exit;
    if (!isSuccess(status)) signal?.throwIfAborted();
    return status;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function isSuccess(status: ExitStatus): boolean {
  return status.kind === "exited" && status.code === 0;
}

/** `-` is standard input to cat. */
function plain(path: string): string {
  return path.startsWith("/") ? path : `./${path}`;
}

function refused(
  verb: string,
  path: string,
  status: ExitStatus,
  complaint: Collector,
): VibeError {
  const said = new TextDecoder().decode(complaint.bytes()).trim().split("\n").at(-1)!;
  // "cat: ./x: No such file or directory"
  const why = status.kind === "failed"
    ? status.message
    : said.slice(said.lastIndexOf(": ") + 1).trim() || "the program that does it was killed";
  const code = why === "No such file or directory" ? "GUEST_FILE_NOT_FOUND" : "GUEST_FILE";
  return new VibeError(
    code,
    `Cannot ${verb} "${printable(path)}" in the guest: ${printable(why)}`,
  );
}
