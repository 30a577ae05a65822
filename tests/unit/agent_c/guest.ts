/** The host's half of the protocol at its smallest, to drive the C agent over pipes. */

import { fileURLToPath } from "node:url";
import { encodeFrame, FrameParser, FrameType, MAX_DATA } from "../../../lib/agent/frame.ts";

const AGENT = fileURLToPath(new URL("../../../provision/agent/", import.meta.url));
const HARNESS = fileURLToPath(new URL("./", import.meta.url));
const utf8 = new TextEncoder();
/** Milliseconds after which what was waited for will not come: a test fails instead of hanging. */
const PATIENCE = 60_000;

/** How an EXIT frame said that a stream ended. */
export interface Exit {
  kind: number;
  value: number;
  text: string;
}

/** What EXEC says, with the defaults of these tests. */
export interface ExecOptions {
  argv: string[];
  pty?: { rows: number; columns: number };
  stdin?: boolean;
  user?: string;
  cwd?: string;
  env?: string[];
  /** First credit of each output, given back as it comes unless `manualCredit`. */
  credit?: number;
  manualCredit?: boolean;
}

/** Everything in `provision/agent`, or one part of it and a harness with a main of its own. */
async function sources(harness: string | undefined, part: string): Promise<string[]> {
  const files: string[] = harness ? [HARNESS + harness] : [];
  for await (const { name } of Deno.readDir(AGENT)) {
    if (name.endsWith(".c") && (!harness || name === part)) files.push(AGENT + name);
  }
  return files;
}

/** Compiles the agent, or a harness around its parser or another part. Returns the program's path. */
export async function compile(
  into: string,
  flags: string[] = ["-static", "-Os"],
  harness?: string,
  part = "frame.c",
): Promise<string> {
  const program = `${into}/${harness ?? "agent"}${flags.join("").replace(/[^a-z]/g, "")}`;
  const { success, stderr } = await new Deno.Command("cc", {
    args: ["-Wall", "-Wextra", "-Werror", ...flags, "-I", AGENT, "-o", program].concat(
      await sources(harness, part),
    ),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return program;
}

let directory: string | undefined;
let program: Promise<string> | undefined;

/** The agent as it is shipped: compiled once per test module, removed at its end. */
export function agentProgram(): Promise<string> {
  directory ??= Deno.makeTempDirSync();
  return program ??= compile(directory);
}

globalThis.addEventListener("unload", () => {
  if (directory) Deno.removeSync(directory, { recursive: true });
});

/** Little-endian fields: `[size in bytes, value]`. */
export function fields(...parts: [1 | 2 | 4, number][]): Uint8Array {
  const bytes = parts.flatMap(([size, value]) =>
    Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 0xff)
  );
  return new Uint8Array(bytes);
}

export function join(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** The host's HELLO as a frame. */
export function hello(version = 1): Uint8Array {
  const payload = join(utf8.encode("VIBE"), fields([2, version], [2, 0]), utf8.encode("test"));
  return encodeFrame(0, FrameType.hello, payload);
}

/** EXEC as a frame. */
export function exec(stream: number, options: ExecOptions): Uint8Array {
  const { argv, pty, user = "", cwd = "", env = [], credit = 1 << 20 } = options;
  const flags = (pty ? 1 : 0) | (options.stdin ? 2 : 0);
  const strings = [user, cwd, ...argv, ...env].map((s) => s + "\0").join("");
  const head = fields(
    [2, flags],
    [2, pty?.rows ?? 0],
    [2, pty?.columns ?? 0],
    [2, argv.length],
    [2, env.length],
    [2, 0],
    [4, credit],
    [4, credit],
  );
  return encodeFrame(stream, FrameType.exec, join(head, utf8.encode(strings)));
}

/** One program of a {@link Guest}. */
export class Run {
  readonly stdout: Uint8Array[] = [];
  readonly stderr: Uint8Array[] = [];
  /** Bytes of output so far. */
  received = 0;
  /** Credit for stdin. */
  credit = 256 << 10;
  exit: Exit | null = null;

  constructor(readonly guest: Guest, readonly id: number, readonly options: ExecOptions) {}

  send(type: number, payload?: Uint8Array): Promise<void> {
    return this.guest.write(encodeFrame(this.id, type, payload));
  }

  /** Sends input as credit comes, and EOF if told so. Gives up when the program ends. */
  async input(data: Uint8Array | string, eof = false): Promise<void> {
    const bytes = typeof data === "string" ? utf8.encode(data) : data;
    for (let at = 0; at < bytes.byteLength && !this.exit;) {
      const count = Math.min(MAX_DATA, this.credit, bytes.byteLength - at);
      if (count === 0) await this.guest.until(() => this.credit > 0 || this.exit !== null);
      this.credit -= count;
      await this.send(FrameType.stdin, bytes.subarray(at, at += count));
    }
    if (eof) await this.send(FrameType.eof);
  }

  get text(): string {
    return new TextDecoder().decode(join(...this.stdout));
  }

  /** Waits until the output so far contains `text`. */
  async sees(text: string): Promise<void> {
    await this.guest.until(() => this.text.includes(text) || this.exit !== null);
    if (!this.text.includes(text)) throw new Error(`ended after ${JSON.stringify(this.text)}`);
  }

  async ended(): Promise<Exit> {
    await this.guest.until(() => this.exit !== null);
    return this.exit!;
  }
}

/** The agent in a process of this host. */
export class Guest {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #runs = new Map<number, Run>();
  readonly #reading: Promise<void>;
  #changed = Promise.withResolvers<void>();
  #last = 0;
  #over = false;
  hellos: Uint8Array[] = [];

  constructor(program: string, options: Deno.CommandOptions = {}) {
    this.#child = new Deno.Command(program, {
      args: ["--stdio"],
      ...options,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** An agent that has been greeted. */
  static async start(program: string, options?: Deno.CommandOptions): Promise<Guest> {
    const guest = new Guest(program, options);
    await guest.until(() => guest.hellos.length > 0);
    await guest.write(hello());
    return guest;
  }

  get pid(): number {
    return this.#child.pid;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes).catch(() => {});
  }

  async exec(options: ExecOptions): Promise<Run> {
    const run = new Run(this, ++this.#last, options);
    this.#runs.set(run.id, run);
    await this.write(exec(run.id, options));
    return run;
  }

  /** Opens a stream that is no program. */
  async open(type: number, payload: Uint8Array): Promise<Run> {
    const run = new Run(this, ++this.#last, { argv: [] });
    this.#runs.set(run.id, run);
    await run.send(type, payload);
    return run;
  }

  /** Says HELLO once more. Streams of before hear nothing after that. */
  async greetAgain(): Promise<void> {
    await this.write(hello());
    this.#runs.clear();
    this.#last = 0;
  }

  /** Runs a program to its end. */
  async run(options: ExecOptions): Promise<Run & { exit: Exit }> {
    const run = await this.exec(options);
    await run.ended();
    return run as Run & { exit: Exit };
  }

  /** Waits for something that frames bring about. */
  async until(condition: () => boolean): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, PATIENCE);
    try {
      while (!condition()) {
        if (this.#over) throw new Error("the agent has ended");
        if (late) throw new Error(`nothing came of ${condition}`);
        await this.#changed.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the agent's input and waits for its end. */
  async close(): Promise<{ code: number; stderr: string }> {
    await this.#writer.close().catch(() => {});
    return await this.ended();
  }

  async ended(): Promise<{ code: number; stderr: string }> {
    const [stderr, status] = await Promise.all([
      new Response(this.#child.stderr).text(),
      this.#child.status,
      this.#reading,
    ]);
    await this.#writer.abort().catch(() => {});
    return { code: status.code, stderr };
  }

  async #read(): Promise<void> {
    const { hello, stdout, stderr, credit, exit } = FrameType;
    const parser = new FrameParser(
      new Map([[hello, 512], [stdout, MAX_DATA], [stderr, MAX_DATA], [credit, 5], [exit, 4096]]),
    );
    for await (const chunk of this.#child.stdout) {
      for (const frame of parser.push(chunk)) {
        const payload = frame.payload.slice();
        if (frame.type === hello) this.hellos.push(payload);
        else this.#take(this.#runs.get(frame.stream), frame.type, payload);
      }
      this.#wake();
    }
    this.#over = true;
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #take(run: Run | undefined, type: number, payload: Uint8Array): void {
    // What was opened with write() has no run.
    if (!run && this.#last === 0) return;
    if (!run || run.exit) throw new Error(`frame type ${type} for a stream that is not open`);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (type === FrameType.credit) {
      run.credit += view.getUint32(0, true);
    } else if (type === FrameType.exit) {
      const text = new TextDecoder().decode(payload.subarray(8));
      run.exit = { kind: payload[0], value: view.getInt32(4, true), text };
    } else {
      run.received += payload.byteLength;
      (type === FrameType.stdout ? run.stdout : run.stderr).push(payload);
      if (run.options.manualCredit) return;
      const channel = type === FrameType.stdout ? 1 : 2;
      run.send(FrameType.credit, fields([4, payload.byteLength], [1, channel]));
    }
  }
}
