/** `vibe logs`. */

import { join } from "node:path";
import { printable, VibeError } from "../errors.ts";
import { readFollowing } from "../host/follow_file.ts";
import { cacheDir, instancePaths } from "../paths.ts";
import { printOut } from "./output.ts";
import { findTarget, type Target } from "./target.ts";

/** What `vibe logs` takes; without a choice it is the console. */
export interface LogOptions extends Target {
  console?: boolean;
  supervisor?: boolean;
  provision?: boolean;
  follow?: boolean;
}

/** Characters that are waited for the end of a line with. */
const MAX_LINE = 1 << 16;

/** Prints a log. Following it goes on until Ctrl-C. */
export async function logs(options: LogOptions): Promise<number> {
  const path = await chosen(options);
  const follow = options.follow ?? false;
  if (!follow && !await Deno.stat(path).then((info) => info.isFile, () => false)) {
    throw new VibeError("LOG_NONE", `There is no log "${printable(path)}" yet`, {
      hint: "It is written when the VM starts.",
    });
  }
  if (Deno.stdout.isTerminal()) {
    const lines = new SafeLines(printOut);
    await readFollowing(path, (chunk) => lines.push(chunk), { follow });
    lines.end();
    return 0;
  }
  try {
    await readFollowing(path, writeOut, { follow });
  } catch (error) {
    // Whoever read it has left: `vibe logs -f | grep -m1 …`.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return 0;
}

/** Bytes as they are. */
function writeOut(chunk: Uint8Array): void {
  for (let at = 0; at < chunk.byteLength;) at += Deno.stdout.writeSync(chunk.subarray(at));
}

/**
 * Text that a guest wrote, made harmless for a terminal: colours are dropped, what else is no plain
 * character becomes visible. A line is shown when it is whole.
 */
export class SafeLines {
  readonly #out: (text: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(out: (text: string) => void) {
    this.#out = out;
  }

  push(chunk: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop()!;
    // A guest may never end its line.
    if (this.#rest.length > MAX_LINE) {
      lines.push(this.#rest);
      this.#rest = "";
    }
    for (const line of lines) this.#out(safe(line) + "\n");
  }

  /** What is left without a line's end. */
  end(): void {
    if (this.#rest !== "") this.#out(safe(this.#rest) + "\n");
    this.#rest = "";
  }
}

function safe(line: string): string {
  const plain = line.replace(/\x1b\[[0-9;]*m/g, "").replace(/\r+$/, "").replaceAll("\t", "    ");
  return printable(plain, Infinity);
}

async function chosen(options: LogOptions): Promise<string> {
  if (options.provision) return await newestBuildLog();
  const paths = instancePaths(await findTarget(options));
  return options.supervisor ? paths.supervisorLog : paths.consoleLog;
}

/** The log of the last image build on this host. @throws {VibeError} `LOG_NONE`. */
async function newestBuildLog(): Promise<string> {
  const dir = join(cacheDir(), "logs");
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(dir)) {
      if (!name.startsWith("install-") && name.endsWith(".log")) names.push(name);
    }
  } catch {
    // Nothing was ever built here.
  }
  const times = await Promise.all(names.map(async (name) => {
    const { mtime } = await Deno.stat(join(dir, name));
    return { name, time: mtime?.getTime() ?? 0 };
  }));
  const newest = times.sort((a, b) => b.time - a.time)[0];
  if (newest) return join(dir, newest.name);
  throw new VibeError("LOG_NONE", `There is no log of an image build in "${dir}"`);
}
