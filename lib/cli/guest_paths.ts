/** Paths in the guest of a VM that runs, for completion. */

import { attachRunning } from "../instance/attach.ts";
import { projectInstance } from "../paths.ts";
import type { Candidate } from "./complete.ts";

/** Tab must not hang on a guest that is busy. */
const TIMEOUT_MS = 1500;

/** More than anybody reads. */
const MAX_BYTES = 64 << 10;

/** Lists `$1*` below `/root`, a slash after directories. Names with line ends are left out. */
const LIST = `cd /root; for f in "$1"*; do case $f in *'
'*) continue ;; esac; [ -d "$f" ] && f=$f/; [ -e "$f" ] && printf '%s\\n' "$f"; done`;

/**
 * The paths in the guest of the current directory's VM that begin with `prefix`, as `guest:PATH`.
 * None if it does not run, or does not answer soon.
 */
export async function guestPaths(prefix: string): Promise<Candidate[]> {
  const project = await Deno.realPath(Deno.cwd());
  const silent = { waiting: () => {}, note: () => {} };
  using attachment = await attachRunning(await projectInstance(project), silent);
  if (!attachment) return [];
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), TIMEOUT_MS);
  try {
    const text = await Promise.race([late.promise, list(attachment, prefix)]);
    // What a guest says is shown on a terminal: nothing but printable text.
    return (text ?? "").split("\n").filter((line) => /^[^\x00-\x1f\x7f-\x9f]+$/.test(line))
      .map((line) => ({ value: `guest:${line}` }));
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}

async function list(
  { agent, ready }: { agent: import("../agent/client.ts").AgentClient; ready: Promise<void> },
  prefix: string,
): Promise<string> {
  await ready;
  const decoder = new TextDecoder();
  let text = "";
  const exec = agent.exec({ argv: ["sh", "-c", LIST, "sh", prefix], stdin: false }, {
    stdout: (chunk) => {
      if (text.length < MAX_BYTES) text += decoder.decode(chunk, { stream: true });
      return Promise.resolve();
    },
    stderr: () => Promise.resolve(),
  });
  await exec.exit;
  return text.slice(0, text.lastIndexOf("\n") + 1);
}
