/** Running long programs quietly: all they say goes to a log, the end of it into an error. */

import { dirname } from "node:path";

/** How many of the last lines are kept for an error message. */
const TAIL_LINES = 15;

/** How {@link follow} follows a program. */
export interface FollowOptions {
  /** Everything the program says is written here. */
  log: LogFile;
  /** Sees each line without its end; carriage returns end lines, too. */
  onLine?: (line: string) => void;
  /** Kills the program with SIGKILL. */
  signal?: AbortSignal;
}

/** How a followed program ended. */
export interface Followed {
  success: boolean;
  code: number;
  /** The last lines it said, without a newline at the end. */
  tail: string;
}

/** A log of what other programs say. Writing to it never fails: a full disk is told elsewhere. */
export class LogFile implements Disposable {
  readonly path: string;
  readonly #file: Deno.FsFile;

  private constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
  }

  /**
   * `<dir>/<name>-<time>.log`, new and private.
   *
   * @throws if it cannot be made.
   */
  static async create(dir: string, name: string): Promise<LogFile> {
    const path = `${dir}/${name}-${compactTime(new Date())}-${Deno.pid}.log`;
    await Deno.mkdir(dirname(path), { recursive: true });
    const file = await Deno.open(path, { write: true, create: true, append: true, mode: 0o600 });
    return new LogFile(path, file);
  }

  /** Adds some bytes or a line of our own. */
  write(content: Uint8Array | string): void {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    try {
      for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    } catch {
      // See the class comment.
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** A time that sorts as text and fits in file names: 20260102T030405. UTC. */
export function compactTime(time: Date): string {
  return time.toISOString().replaceAll(/[-:]|\.\d+Z$/g, "");
}

/**
 * Waits for a program whose stdout and stderr are pipes, and for everyone else who holds them:
 * after that nothing it started still works on files.
 */
export async function follow(child: Deno.ChildProcess, options: FollowOptions): Promise<Followed> {
  const tail: string[] = [];
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  const take = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    let rest = "";
    const line = (text: string) => {
      if (text === "") return;
      tail.push(text);
      if (tail.length > TAIL_LINES) tail.shift();
      options.onLine?.(text);
    };
    for await (const chunk of stream) {
      options.log.write(chunk);
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(/[\r\n]/);
      rest = lines.pop()!;
      lines.forEach(line);
    }
    line(rest);
  };
  options.signal?.addEventListener("abort", kill);
  if (options.signal?.aborted) kill();
  try {
    const [status] = await Promise.all([child.status, take(child.stdout), take(child.stderr)]);
    return { success: status.success, code: status.code, tail: tail.join("\n") };
  } finally {
    options.signal?.removeEventListener("abort", kill);
  }
}
