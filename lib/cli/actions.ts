/** `--send`, `--expect` and `--script`: what is to be done in the VM, in the order that was given. */

import { basename, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Script } from "../agent/script.ts";
import { plainBytes } from "../console/expect.ts";
import { ExitCode, printable, reason, VibeError } from "../errors.ts";

/** One of them, as it was given. */
export type Action =
  | { kind: "send"; text: string }
  | { kind: "expect"; text: string; seconds: number }
  | { kind: "script"; path: string };

/** One of them, ready to be done. */
export type LoadedAction = Exclude<Action, { kind: "script" }> | { kind: "script"; script: Script };

/** How long `--expect` waits unless it is told. */
const DEFAULT_SECONDS = 30;
/** What a timer of the runtime can wait for: 24 days. */
const MAX_SECONDS = 2_000_000;
/** Stands for our own stdin as a script. */
const STDIN = "-";
/** Parts a text and its seconds in one word: no argument of a program can hold it. */
const SEPARATOR = "\0";

/** Adds the three options to a command. All of them fill one list, {@link actionsOf}. */
export function addActionOptions<T extends Command>(command: T): T {
  const actions: Action[] = [];
  lists.set(command, actions);
  const add = (parse: (text: string) => Action) => (text: string) => {
    actions.push(parse(text));
    return actions;
  };
  command
    .addOption(
      new Option("--script <file>", "run a script of the host in the VM, - for stdin; repeatable")
        .argParser(add((path) => ({ kind: "script", path }))),
    )
    .addOption(
      new Option("--send <command>", "type a command into the VM's shell; repeatable")
        .argParser(add((text) => ({ kind: "send", text }))),
    )
    .addOption(
      new Option(
        "--expect <string> [seconds]",
        "wait until it says that, 30 seconds unless told; repeatable",
      ).argParser(add(parseExpect)),
    );
  // commander knows no second word of an option: joinSeconds has put it into the first.
  const expect = command.options.at(-1)!;
  [expect.required, expect.optional] = [true, false];
  return command;
}

const lists = new WeakMap<Command, Action[]>();

/** What the options of a command have collected. */
export function actionsOf(command: Command): Action[] {
  return lists.get(command) ?? [];
}

function parseExpect(word: string): Action {
  const [text, given] = word.split(SEPARATOR);
  const seconds = given === undefined ? DEFAULT_SECONDS : Number(given);
  if (seconds > MAX_SECONDS) throw new InvalidArgumentError(`Wait for ${MAX_SECONDS} s at most.`);
  try {
    plainBytes(text);
  } catch {
    throw new InvalidArgumentError("There is nothing in it that could be seen.");
  }
  return { kind: "expect", text, seconds };
}

/**
 * The words of a command line with the seconds of each `--expect` put into its string. A number
 * behind the string is the seconds, even if a file of that name exists.
 *
 * @param program whose options tell which words are values.
 */
export function joinSeconds(args: string[], program: Command): string[] {
  const takesValue = (word: string) =>
    program.options.some(({ required, long, short }) =>
      required && (word === long || word === short)
    );
  const joined: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at];
    const isCommand = program.commands.some((command) =>
      command.name() === word || command.aliases().includes(word)
    );
    // From here on it is a command's.
    if (word === "--" || isCommand) return [...joined, ...args.slice(at)];
    const expects = word === "--expect" || word.startsWith("--expect=");
    joined.push(word);
    if (takesValue(word) && at + 1 < args.length) joined.push(args[++at]);
    if (expects && /^\d+(\.\d+)?$/.test(args[at + 1] ?? "")) {
      joined.push(joined.pop() + SEPARATOR + args[++at]);
    }
  }
  return joined;
}

/** A script's path, wherever it is typed. */
export function absoluteScript(path: string): string {
  return path === STDIN ? path : resolve(path);
}

/** The actions with their scripts read. @throws {VibeError} `SCRIPT_UNREADABLE`. */
export async function loadActions(actions: Action[]): Promise<LoadedAction[]> {
  return await Promise.all(actions.map(async (action) => {
    if (action.kind !== "script") return action;
    const { path } = action;
    try {
      const content = path === STDIN ? await readStdin() : await Deno.readFile(path);
      return { kind: "script" as const, script: { name: scriptName(path), content } };
    } catch (error) {
      const why = error instanceof Deno.errors.NotFound
        ? "there is no such file"
        : error instanceof Deno.errors.IsADirectory
        ? "it is a directory"
        : reason(error);
      throw new VibeError(
        "SCRIPT_UNREADABLE",
        `Cannot run the script "${printable(path)}": ${why}`,
        {
          exitCode: ExitCode.usage,
          cause: error,
        },
      );
    }
  }));
}

/** To its end. It stays open: at a terminal the user's shell comes next. */
async function readStdin(): Promise<Uint8Array> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const buffer = new Uint8Array(64 << 10);
  for (let count; (count = await Deno.stdin.read(buffer)) !== null;) {
    chunks.push(buffer.slice(0, count));
  }
  return await new Blob(chunks).bytes();
}

/** The script's own name, in the guest's messages, too; - and /dev/fd/63 have none. */
function scriptName(path: string): string {
  const name = basename(path).replaceAll(/[\x00-\x1f\x7f]/g, "_");
  return name && !/^(-|\d+)$/.test(name) ? name.slice(-100) : "script";
}
