/**
 * Doing what `--send`, `--expect` and `--script` ask for, in order. What is typed goes to one shell on
 * a terminal of its own, opened when it is needed; our own input reaches it when all is done.
 */

import type { Exec, Sinks } from "../agent/client.ts";
import { exitWithin, type LimitedExit } from "../agent/limit.ts";
import { execScript, type Script } from "../agent/script.ts";
import { Dialogue } from "../console/dialogue.ts";
import { ConsoleScript } from "../console/script.ts";
import { isInteractive } from "../console/terminal.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import type { ReadyVm } from "../instance/start.ts";
import type { LoadedAction } from "./actions.ts";
import { printError } from "./output.ts";
import { countedSinks, exitCodeOf, joinSession, type SessionEnd, stdoutSinks } from "./session.ts";

/** A shell that does not say anything is typed at all the same, only less neatly. */
const PROMPT_MS = 10_000;

const SIGINT = 2;
const SIGQUIT = 3;
const SIGPIPE = 13;
const LF = 0x0a;

/** How actions are done. */
export interface ActionOptions {
  /** Seconds that each script may take; none or 0 for no limit. */
  timeout?: number;
  /** Where all that is said goes instead of our own stdout and stderr. */
  sinks?: Sinks;
}

const SUCCESS: LimitedExit = { status: { kind: "exited", code: 0 }, endedBy: null };

/**
 * Does all of it. On a terminal the shell is then the user's; otherwise it gets our input, if it was
 * opened at all. Resolves to the exit code: of a script that failed, which ends it all; else of the
 * shell, or 0 if there was none.
 *
 * @throws {VibeError} `EXPECT_TIMEOUT`, `EXPECT_ENDED` (exit code 123), `RUN_TIMEOUT` (124), or if the
 * VM goes away.
 */
export async function runActions(
  vm: ReadyVm,
  actions: LoadedAction[],
  options: ActionOptions,
): Promise<number> {
  const session = new ActionSession(vm, actions, options);
  try {
    return await session.run();
  } catch (error) {
    // To power off is how scripts end a VM where nothing else does.
    if (isPowerOff(error)) return 0;
    if (session.readerLeft) return 128 + SIGPIPE;
    session.endLine();
    throw error;
  }
}

/**
 * Runs one script and nothing else, whether or not there is a terminal.
 *
 * @throws {VibeError} if the VM goes away.
 */
export async function runScript(
  vm: ReadyVm,
  script: Script,
  options: ActionOptions,
): Promise<SessionEnd> {
  const session = new ActionSession(vm, [], options);
  const started = performance.now();
  const end = await session.runScript(script).catch((error) => {
    if (isPowerOff(error)) return SUCCESS;
    throw error;
  });
  const durationMs = Math.round(performance.now() - started);
  return { ...end, durationMs, bytes: session.bytes };
}

class ActionSession {
  /** What was said so far. */
  readonly bytes = { stdout: 0, stderr: 0 };
  /** Nobody reads any more what the shell says. */
  readerLeft = false;
  readonly #vm: ReadyVm;
  readonly #actions: LoadedAction[];
  readonly #options: ActionOptions;
  readonly #tty: boolean;
  readonly #sinks: Sinks;
  /** Whether anything but scripts is asked for: then what the shell says is for the user. */
  readonly #visible: boolean;
  /** Hears all that the user sees. */
  readonly #dialogue = new Dialogue((bytes) => this.#exec!.write(bytes));
  /** One for each `--expect`, searched for from behind the one before. */
  readonly #found: Promise<unknown>[] = [];
  readonly #inputFlows = Promise.withResolvers<void>();
  /** The shell has said something, which is its prompt. */
  readonly #spoken = Promise.withResolvers<void>();
  /** Whether the last that was shown has no line end. */
  #inLine = false;
  #shell: Promise<SessionEnd> | null = null;
  #exec: Exec | null = null;
  /** A script that the agent runs. */
  #script: Exec | null = null;
  /** A script that runs at the console, and who hears how it is brought there. */
  #console: { script: ConsoleScript; dialogue: Dialogue } | null = null;

  constructor(vm: ReadyVm, actions: LoadedAction[], options: ActionOptions) {
    this.#vm = vm;
    this.#actions = actions;
    this.#options = options;
    // Without actions it is for one script, after which nobody types.
    this.#tty = actions.length > 0 && isInteractive();
    const own = stdoutSinks(() => this.#onReaderLeft());
    this.#sinks = countedSinks(options.sinks ?? own, this.bytes);
    this.#visible = this.#tty || actions.some(({ kind }) => kind !== "script");
    // Searched for from now on: however much is said before its turn comes, nothing is missed.
    let before: Promise<unknown> = Promise.resolve();
    for (const action of actions) {
      if (action.kind !== "expect") continue;
      before = before.then(() => this.#dialogue.find([action.text]));
      this.#found.push(before);
    }
  }

  async run(): Promise<number> {
    let expected = 0;
    for (const action of this.#actions) {
      switch (action.kind) {
        case "send":
          this.#open();
          await this.#dialogue.within(this.#spoken.promise, PROMPT_MS);
          await this.#dialogue.send(action.text);
          break;
        case "expect":
          this.#open();
          await this.#expect(action.text, this.#found[expected++], action.seconds);
          break;
        case "script": {
          const { timeout } = this.#options;
          const end = await this.runScript(action.script);
          const code = exitCodeOf(end, { argv: [action.script.name], tty: false, timeout });
          if (code !== 0) return code;
        }
      }
    }
    if (!this.#visible) return 0;
    const shell = this.#open();
    this.#inputFlows.resolve();
    const code = exitCodeOf(await shell, { argv: [], tty: true });
    return this.readerLeft ? 128 + SIGPIPE : code;
  }

  /** What vibe has to say begins a line. */
  endLine(): void {
    if (this.#inLine && Deno.stdout.isTerminal() && Deno.stderr.isTerminal()) printError("\n");
  }

  /** A script is told as any program would be; a shell would go on waiting for input. */
  #onReaderLeft(): void {
    if (this.#script) return this.#script.signal(SIGPIPE);
    this.readerLeft = true;
    this.#exec?.hangup();
  }

  /** The shell, opened if it is not yet. */
  #open(): Promise<SessionEnd> {
    if (this.#shell) return this.#shell;
    this.#shell = joinSession(this.#vm.attachment, {
      argv: [],
      cwd: this.#vm.info.workdir ?? undefined,
      tty: this.#tty,
      pty: true,
      sinks: { stdout: (chunk) => this.#hear(chunk), stderr: this.#sinks.stderr },
      onStart: (exec) => this.#exec = exec,
      inputAfter: this.#inputFlows.promise,
      // At a console others may go on typing; whoever shares it out knows.
      typeEnd: this.#vm.info.login === "agent",
    });
    this.#shell.then(
      () => this.#end(this.#tooEarly("The shell in the VM has ended")),
      (error) => this.#end(error),
    );
    return this.#shell;
  }

  #tooEarly(what: string): VibeError {
    return new VibeError("EXPECT_ENDED", `${what} too early`, {
      exitCode: ExitCode.expectFailed,
      hint: this.#dialogue.lastSeen(),
    });
  }

  #end(error: Error): void {
    this.#dialogue.end(error);
    this.#console?.dialogue.end(error);
  }

  async #hear(chunk: Uint8Array): Promise<void> {
    this.#spoken.resolve();
    const { script, dialogue } = this.#console ?? {};
    dialogue?.hear(chunk);
    for (const shown of script?.hear(chunk) ?? (this.#visible ? [chunk] : [])) {
      this.#dialogue.hear(shown);
      this.#inLine = shown.at(-1) !== LF;
      await this.#sinks.stdout(shown);
    }
  }

  async #expect(text: string, found: Promise<unknown>, seconds: number): Promise<void> {
    const what = `"${printable(text)}"`;
    // Nobody may be there who would end the wait otherwise.
    using interrupt = interruption(`waiting for ${what}`);
    const seen = Promise.race([found.then(() => true), interrupt.promise]);
    const inTime = await this.#dialogue.within(seen, seconds * 1000)
      .catch((error) => {
        throw isPowerOff(error) ? this.#tooEarly("The VM was powered off") : error;
      });
    if (inTime) return;
    // Also under the feet of others: what should have come to pass there has not.
    await this.#vm.attachment.link.request("stop", { force: false }).catch(() => {});
    throw this.#dialogue.late(seconds * 1000, {
      code: "EXPECT_TIMEOUT",
      what,
      hint: "The VM is stopped.",
      exitCode: ExitCode.expectFailed,
    });
  }

  runScript(script: Script): Promise<LimitedExit> {
    return this.#vm.info.login === "agent" ? this.#runByAgent(script) : this.#runAtConsole(script);
  }

  async #runByAgent(script: Script): Promise<LimitedExit> {
    const { attachment, info } = this.#vm;
    const { timeout } = this.#options;
    const heard = (sink: "stdout" | "stderr") => (chunk: Uint8Array) => {
      this.#dialogue.hear(chunk);
      return this.#sinks[sink](chunk);
    };
    const request = { cwd: info.workdir ?? undefined, cgroup: timeout ? true : undefined };
    const sinks = { stdout: heard("stdout"), stderr: heard("stderr") };
    const { exec, sent } = execScript(attachment.agent, script, request, sinks);
    this.#script = exec;
    using _signals = passSignals(exec);
    sent.then(() => exec.closeStdin());
    const end = await exitWithin(exec, { timeoutMs: (timeout ?? 0) * 1000 });
    this.#script = null;
    return end;
  }

  async #runAtConsole({ name, content }: Script): Promise<LimitedExit> {
    const { timeout } = this.#options;
    this.#open();
    const script = new ConsoleScript(crypto.randomUUID().slice(0, 8), this.#visible);
    const dialogue = new Dialogue((bytes) => this.#exec!.write(bytes));
    this.#console = { script, dialogue };
    const running = script.run(dialogue, name, content, this.#tty);
    const code = timeout ? await dialogue.within(running, timeout * 1000) : await running;
    // Otherwise the rest is of no interest, either.
    if (this.#visible) this.#console = null;
    // It cannot be ended there: the console is all that there is.
    if (code === null) return { status: null, endedBy: "timeout" };
    return { status: { kind: "exited", code }, endedBy: null };
  }
}

function isPowerOff(error: unknown): boolean {
  return error instanceof VibeError && error.code === "VM_POWERED_OFF";
}

/** Rejects at Ctrl-C. @throws {VibeError} `INTERRUPTED`. */
function interruption(during: string): { promise: Promise<never> } & Disposable {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const listener = () => {
    // The terminal has echoed ^C.
    if (Deno.stdin.isTerminal() && Deno.stderr.isTerminal()) printError("\n");
    const exitCode = ExitCode.interrupted;
    reject(new VibeError("INTERRUPTED", `Interrupted while ${during}`, { exitCode }));
  };
  Deno.addSignalListener("SIGINT", listener);
  return {
    promise,
    [Symbol.dispose]: () => Deno.removeSignalListener("SIGINT", listener),
  };
}

/** Ctrl-C is the script's. */
function passSignals(exec: Exec): Disposable {
  const numbers = { SIGINT, SIGQUIT } as const;
  const scope = new DisposableStack();
  for (const [name, number] of Object.entries(numbers)) {
    const listener = () => exec.signal(number);
    Deno.addSignalListener(name as Deno.Signal, listener);
    scope.defer(() => Deno.removeSignalListener(name as Deno.Signal, listener));
  }
  return scope;
}
