/**
 * Scripts that run in the guest at each start, before commands are let in: the user's, then the
 * project's. They run nowhere but in the guest, which can do to itself what it likes; so a stranger's
 * needs no trust. Its content is read as carefully as anything of a project, or a link in its place
 * would show the guest another file of the host.
 */

import { join } from "node:path";
import type { AgentClient, Sink } from "../agent/client.ts";
import { exitWithin, type LimitedExit } from "../agent/limit.ts";
import { printable, printableLines, reason } from "../errors.ts";
import { configDir } from "../paths.ts";
import { readRegularFile } from "../share/regular_file.ts";

/** A script of the host that is run in the guest. */
export interface Hook {
  whose: "user" | "project";
  /** Absolute, on the host. */
  path: string;
}

/** How long one may take. */
const TIMEOUT_MS = 300_000;
/** The most that is kept of what one says, and the most that it may be long. */
const MAX_BYTES = 1 << 20;
/** How many of its last lines are told when it fails. */
const TOLD_LINES = 10;

/** Takes the script from stdin, so that it may have any size and interpreter, and runs it. */
const RUN = `umask 077
script=$(mktemp) || exit
trap 'rm -f "$script"' EXIT
cat >"$script" && chmod 700 "$script" && "$script" </dev/null`;

/**
 * The hooks that there are.
 *
 * @param project null for a VM without one.
 * @param warn told of one that will not be run.
 */
export async function findHooks(
  project: string | null,
  warn: (text: string) => void,
): Promise<Hook[]> {
  const found: Hook[] = [];
  const own = join(configDir(), "runtime.sh");
  if ((await Deno.stat(own).catch(() => null))?.isFile) found.push({ whose: "user", path: own });
  const path = project === null ? null : join(project, ".vibe.runtime.sh");
  const info = path === null ? null : await Deno.lstat(path).catch(() => null);
  if (path !== null && info?.isFile) found.push({ whose: "project", path });
  else if (path !== null && info) {
    warn(`"${printable(path)}" is not run: it is no regular file.`);
  }
  return found;
}

/** How {@link runHooks} goes about it. */
export interface HookOptions {
  /** Where they begin in the guest; null is the user's home. */
  workdir: string | null;
  /** File on the host for all that they say. */
  log: string;
  /** Told, one line each, what the user should know. */
  note(text: string): void;
  /** Tell what they say even if all is well. */
  verbose: boolean;
  timeoutMs?: number;
}

/** Runs hooks one after the other. One that fails is told, and holds up nothing. */
export async function runHooks(
  hooks: Hook[],
  agent: AgentClient,
  options: HookOptions,
): Promise<void> {
  if (hooks.length === 0) return;
  await Deno.writeTextFile(options.log, "", { mode: 0o600 }).catch(() => {});
  for (const hook of hooks) {
    const name = `"${printable(hook.path)}"`;
    const output = new Output();
    let failure: string | null;
    try {
      failure = failureOf(await runHook(hook, agent, output, options));
    } catch (error) {
      failure = reason(error);
    }
    await append(options.log, `# ${hook.path}\n`, output.bytes());
    if (failure !== null) options.note(`${name} failed in the VM: ${failure}. It said:`);
    else if (options.verbose) options.note(`${name} ran in the VM. It said:`);
    else continue;
    for (const line of output.lastLines()) options.note(`  ${line}`);
    options.note(`  (all of it is in "${options.log}")`);
  }
}

async function runHook(
  { whose, path }: Hook,
  agent: AgentClient,
  output: Output,
  { workdir, timeoutMs = TIMEOUT_MS }: HookOptions,
): Promise<LimitedExit> {
  const script = whose === "project" ? await readRegularFile(path) : await Deno.readFile(path);
  if (!script) throw new Error("it is no regular file any more");
  if (script.byteLength > MAX_BYTES) throw new Error("it is larger than 1 MiB");
  const request = { argv: ["sh", "-c", RUN], cwd: workdir ?? undefined, stdin: true, cgroup: true };
  const exec = agent.exec(request, { stdout: output.sink, stderr: output.sink });
  exec.write(script).then(() => exec.closeStdin());
  return await exitWithin(exec, { timeoutMs });
}

function failureOf({ status, endedBy }: LimitedExit): string | null {
  if (endedBy === "timeout" || status === null) return "it took too long and was ended";
  switch (status.kind) {
    case "exited":
      return status.code === 0 ? null : `exit code ${status.code}`;
    case "signaled":
      return `signal ${status.signal}`;
    case "failed":
      return printable(status.message);
  }
}

/** What a script says, both channels as they come; of more than is kept, the end. */
class Output {
  #kept = new Uint8Array();

  readonly sink: Sink = (chunk) => {
    const joined = new Uint8Array(this.#kept.byteLength + chunk.byteLength);
    joined.set(this.#kept);
    joined.set(chunk, this.#kept.byteLength);
    this.#kept = joined.slice(-MAX_BYTES);
    return Promise.resolve();
  };

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#kept;
  }

  lastLines(): string[] {
    const end = this.#kept.subarray(-64 * 1024);
    const text = printableLines(new TextDecoder().decode(end));
    return text === "" ? ["nothing"] : text.split("\n").slice(-TOLD_LINES);
  }
}

/** A full disk must not end the VM. */
async function append(path: string, head: string, content: Uint8Array<ArrayBuffer>): Promise<void> {
  await Deno.writeTextFile(path, head, { append: true }).catch(() => {});
  await Deno.writeFile(path, content, { append: true }).catch(() => {});
}
