/** Running a script of the host in a guest with our agent: any size, any bytes. */

import type { AgentClient, Exec, Sinks } from "./client.ts";
import type { ExecRequest } from "./messages.ts";

/** A program text, and the name that it has in the guest's messages. */
export interface Script {
  /** A file name without directories. */
  name: string;
  content: Uint8Array;
}

/**
 * Its first argument is the script's size, the second its name. The script comes first on stdin, what
 * follows is the script's own. It is a file while it runs, so that `#!` works; one without that is
 * bash's. Signals are for the script alone, and the file goes when the script has ended. It is not in
 * /tmp: while the guest boots, systemd mounts an empty one over it.
 */
const RUNNER = `
umask 077
dir=$(mktemp -d "\${TMPDIR:-/var/tmp}/vibe-script.XXXXXX") || exit
trap 'rm -rf "$dir"' EXIT
head -c "$1" >"$dir/$2" || exit
chmod 700 "$dir/$2" || exit
trap : HUP INT QUIT TERM
umask 022
file=$dir/$2
shift 2
"$file" "$@"`;

/** The argument vector that runs a script whose bytes come first on stdin. */
export function scriptCommand(script: Script, args: string[] = []): string[] {
  const { name, content } = script;
  return ["bash", "-c", RUNNER, "bash", String(content.byteLength), name, ...args];
}

/**
 * Starts a script. Its exit status is the program's; 128 + n stands for signal n. Without more
 * input ({@link Exec.write} after this) call {@link Exec.closeStdin}.
 */
export function execScript(
  agent: AgentClient,
  script: Script,
  request: Omit<ExecRequest, "argv" | "stdin" | "pty">,
  sinks: Sinks,
): { exec: Exec; sent: Promise<void> } {
  const exec = agent.exec({ ...request, argv: scriptCommand(script), stdin: true }, sinks);
  return { exec, sent: exec.write(script.content) };
}
