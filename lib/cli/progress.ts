/** Progress on stderr: one live line on a terminal; elsewhere a plain line for what takes long. */

import type { Progress } from "../progress.ts";
import { printError, style } from "./output.ts";

/** Nothing that takes less time than this is worth a line. */
const QUIET_MS = 700;
const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_MS = 100;
/** In a pipe or a log, a step is only worth a line if it takes this long; a boot does not. */
const LONG_MS = 10_000;

/** A progress that clears its line when it is disposed of. */
export function terminalProgress(verbose: boolean): Progress & Disposable {
  return Deno.stderr.isTerminal() ? new LiveLine(verbose) : new PlainLines(verbose);
}

class LiveLine implements Progress, Disposable {
  readonly #verbose: boolean;
  #step = "";
  #detail = "";
  #since = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #shown = false;
  #frame = 0;

  constructor(verbose: boolean) {
    this.#verbose = verbose;
  }

  step(text: string): void {
    if (text === this.#step) return;
    this.done();
    this.#step = text;
    this.#since = performance.now();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
    // Ctrl-C ends us without a chance to clean up, but the cursor is never hidden.
    Deno.unrefTimer(Number(this.#timer));
  }

  detail(text: string): void {
    this.#detail = text;
  }

  done(text?: string): void {
    clearInterval(this.#timer);
    if (this.#shown) printError("\r\x1b[K");
    this.#shown = false;
    if (text) printError(`${text}\n`);
    else if (this.#verbose && this.#step) printError(`${this.#step}: ${this.#elapsed()}\n`);
    this.#step = this.#detail = "";
  }

  [Symbol.dispose](): void {
    this.done();
  }

  #draw(): void {
    if (performance.now() - this.#since < QUIET_MS) return;
    this.#shown = true;
    const frame = FRAMES[this.#frame++ % FRAMES.length];
    const detail = this.#detail ? ` ${this.#detail}` : "";
    const columns = terminalColumns();
    const text = `${this.#step} (${this.#elapsed()})${detail}`.slice(0, columns - 3);
    printError(`\r${style("cyan", frame)} ${text}\x1b[K`);
  }

  #elapsed(): string {
    return `${Math.round((performance.now() - this.#since) / 1000)} s`;
  }
}

class PlainLines implements Progress, Disposable {
  readonly #verbose: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(verbose: boolean) {
    this.#verbose = verbose;
  }

  step(text: string): void {
    clearTimeout(this.#timer);
    const say = () => printError(`vibe: ${text}\n`);
    if (this.#verbose) say();
    else this.#timer = setTimeout(say, LONG_MS);
  }

  detail(): void {}

  done(text?: string): void {
    clearTimeout(this.#timer);
    if (text) printError(`vibe: ${text}\n`);
  }

  [Symbol.dispose](): void {
    this.done();
  }
}

function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}
