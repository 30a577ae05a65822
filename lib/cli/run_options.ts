/** Options about how a program is run, for people and for programs that call vibe. */

import { MAX_TIMEOUT } from "../plan/limits.ts";
import { type Command, InvalidArgumentError, Option } from "commander";

/** How the program in the VM is run; what was not given is absent. */
export interface RunOptions {
  /** Seconds after which it is ended; 0 for no limit. */
  timeout?: number;
  /** Nothing but its output, and errors. */
  quiet?: boolean;
  /** Print one line of JSON on stdout: how it ended and what it said. */
  json?: boolean;
  /** A file for that line, without what it said: its output goes its usual way. */
  result?: string;
  /** Use the VM of this name instead of the project's. */
  name?: string;
}

/** Adds the options of {@link RunOptions} to a command. */
export function addRunOptions<T extends Command>(command: T): T {
  command
    .addOption(
      new Option(
        "--timeout <seconds>",
        "end the command, or a script, after that long (exit code 124)",
      )
        .argParser(parseTimeout),
    )
    .option("--quiet", "say nothing but errors")
    .option("--json", "print one line of JSON about the command or script, its output included")
    .option("--result <file>", "write that line, without the output, to a file")
    .option("--name <name>", "use the VM of that name, without a project");
  return command;
}

/** Seconds with or without decimals. @throws {InvalidArgumentError} */
export function parseTimeout(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError("It must be seconds, like 30.");
  const seconds = Number(text);
  if (seconds > MAX_TIMEOUT) {
    throw new InvalidArgumentError(`It must be at most ${MAX_TIMEOUT}; 0 is no limit.`);
  }
  return seconds;
}
