/** A real terminal for tests: a pty from node-pty, its screen kept by xterm.js. */

import { spawn } from "node-pty";
import xterm from "xterm";

/** A program on a terminal of its own. Disposing of it kills the program. */
export class TestTerminal implements Disposable {
  /** Resolves to the exit code; a signal n gives 128 + n. */
  readonly exited: Promise<number>;
  readonly #pty: ReturnType<typeof spawn>;
  readonly #screen: InstanceType<typeof xterm.Terminal>;
  #raw = "";
  #changed = Promise.withResolvers<void>();
  #ended = false;

  constructor(argv: string[], options: { cwd: string; env?: Record<string, string> }) {
    const size = { cols: 100, rows: 30 };
    this.#screen = new xterm.Terminal({ ...size, scrollback: 5000, allowProposedApi: true });
    this.#pty = spawn(argv[0], argv.slice(1), {
      ...size,
      name: "xterm-256color",
      cwd: options.cwd,
      env: { ...Deno.env.toObject(), ...options.env },
    });
    const exit = Promise.withResolvers<number>();
    this.exited = exit.promise;
    this.#pty.onData((data: string) => {
      this.#raw += data;
      this.#screen.write(data, () => this.#wake());
    });
    this.#pty.onExit(({ exitCode, signal }: { exitCode: number; signal?: number }) => {
      this.#ended = true;
      exit.resolve(signal ? 128 + signal : exitCode);
      this.#wake();
    });
  }

  get pid(): number {
    return this.#pty.pid;
  }

  /** Everything the program wrote, escape sequences included. */
  get raw(): string {
    return this.#raw;
  }

  /** The screen with what has scrolled off above it, one line a row, no trailing blanks. */
  get text(): string {
    const buffer = this.#screen.buffer.active;
    const lines = Array.from({ length: buffer.length }, (_, i) => {
      return buffer.getLine(i)?.translateToString(true) ?? "";
    });
    return lines.join("\n").trimEnd();
  }

  /** Types a text; Enter is `\r`. */
  type(text: string): void {
    this.#pty.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#screen.resize(columns, rows);
    this.#pty.resize(columns, rows);
  }

  /** Sends a signal to the program itself. */
  kill(signal: string): void {
    this.#pty.kill(signal);
  }

  /**
   * Waits until the screen's text matches, and returns the match.
   *
   * @throws with the screen if the program ends or `seconds` pass first.
   */
  async waitFor(pattern: RegExp, seconds = 60): Promise<RegExpMatchArray> {
    const deadline = Promise.withResolvers<"late">();
    const timer = setTimeout(() => deadline.resolve("late"), seconds * 1000);
    try {
      for (;;) {
        const ended = this.#ended;
        // What came last is on the screen when this returns.
        if (ended) await new Promise<void>((resolve) => this.#screen.write("", resolve));
        const match = this.text.match(pattern);
        if (match) return match;
        const late = !ended &&
          await Promise.race([this.#changed.promise, deadline.promise]) === "late";
        if (late || ended) {
          const why = ended ? "the program ended" : `${seconds} seconds passed`;
          throw new Error(`${why} before ${pattern} was on the screen:\n${this.text}`);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    if (!this.#ended) this.#pty.kill("SIGKILL");
    this.#screen.dispose();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
