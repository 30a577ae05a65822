/** From the command line to an exit code. */

import { isDebugging } from "../config/places.ts";
import { ExitCode, VibeError } from "../errors.ts";
import { COMPLETE } from "./completion_scripts.ts";
import { formatError, printError } from "./output.ts";

/**
 * Runs a command line (without the program's name) and says on stderr what went wrong. Resolves to
 * the exit code.
 */
export async function runCommandLine(args: string[]): Promise<number> {
  let verbose = isDebugging();
  try {
    if (args[0] === COMPLETE) {
      const { answer } = await import("./complete_command.ts");
      await answer(args.slice(1));
      return 0;
    }
    const words = plainRun(args);
    if (words) {
      const { run } = await import("./session_commands.ts");
      return await run(words, { verbose });
    }
    const { parseAndRun } = await import("./program.ts");
    return await parseAndRun(args, (options) => verbose = options.verbose ?? false);
  } catch (error) {
    printError(formatError(error, verbose));
    return error instanceof VibeError ? error.exitCode : ExitCode.failure;
  }
}

/**
 * The words of a `vibe run` without options: there is nothing to parse then, and loading the parser
 * takes 25 of the 90 ms that `vibe run true` takes on a running VM. Null for anything else.
 */
export function plainRun(args: string[]): string[] | null {
  const [command, ...words] = args;
  if (command !== "run") return null;
  if (words[0] === "--") words.shift();
  else if (words[0]?.startsWith("-")) return null;
  return words.length > 0 ? words : null;
}
