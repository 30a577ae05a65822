/** Running other programs. */

import { delimiter, join } from "node:path";

/** What a program that has ended said. */
export interface Output {
  success: boolean;
  code: number;
  stdout: string;
  stderr: string;
}

/** How {@link run} runs a program. */
export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Text for its stdin, which is empty otherwise. */
  stdin?: string;
  signal?: AbortSignal;
}

/**
 * Runs a program to its end and collects what it says.
 *
 * @throws {Deno.errors.NotFound} if there is no such program.
 */
export async function run(argv: string[], options: RunOptions = {}): Promise<Output> {
  const child = new Deno.Command(argv[0], {
    args: argv.slice(1),
    cwd: options.cwd,
    env: options.env,
    signal: options.signal,
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.stdin)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const output = await child.output();
  const decoder = new TextDecoder();
  return {
    success: output.success,
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/** System directories that an ordinary user's PATH often lacks. */
const SYSTEM_DIRS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** The absolute path of a program on PATH or in a system directory, or null. */
export async function which(program: string): Promise<string | null> {
  const dirs = (Deno.env.get("PATH") ?? "").split(delimiter).filter((d) => d.startsWith("/"));
  for (const dir of [...dirs, ...SYSTEM_DIRS]) {
    const path = join(dir, program);
    if (await isExecutable(path)) return path;
  }
  return null;
}

/** True for a regular file that somebody may execute. */
export async function isExecutable(path: string): Promise<boolean> {
  try {
    const info = await Deno.stat(path);
    return info.isFile && ((info.mode ?? 0) & 0o111) !== 0;
  } catch {
    return false;
  }
}

/**
 * An argument vector for a child that the kernel kills when its parent dies, even of a kill -9.
 * Linux only. The signal is cleared by a change of user, so put it innermost.
 */
export function dieWithParent(argv: string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", "--", ...argv];
}

/** A word as a POSIX shell reads it. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
