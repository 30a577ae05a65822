/** `vibe --option COMMAND`: none of the options before a command goes by without effect. */

import type { Command } from "commander";
import { SETTING_NAMES } from "../config/settings.ts";
import { ExitCode, VibeError } from "../errors.ts";
import { actionsOf } from "./actions.ts";

/** What any command takes, if only to say more or less about itself. */
const GENERAL = ["verbose", "quiet", "yes"];
/** What of a command line settings are about, for `vibe config show`. */
const SETTINGS: string[] = SETTING_NAMES;

/**
 * Looks at the options of `program` that stand before the command that is to run. `mergedOptions` is
 * how most commands get at them; `--json` is handed to the command itself.
 *
 * @throws {VibeError} `OPTION_MISPLACED` if the command has no use for one of them.
 */
export function checkLeadingOptions(program: Command, command: Command): void {
  if (command === program) return;
  if (actionsOf(program).length > 0) {
    throw misplaced("--script, --send and --expect", command, "They go with `vibe` alone.");
  }
  for (const option of program.options) {
    const name = option.attributeName();
    if (program.getOptionValueSource(name) !== "cli") continue;
    if (command.options.some((own) => own.attributeName() === name)) {
      if (name === "json") command.setOptionValue(name, true);
    } else if (!GENERAL.includes(name) && !(isConfigShow(command) && SETTINGS.includes(name))) {
      throw misplaced(
        option.long!,
        command,
        `\`vibe ${words(command)} --help\` lists its options.`,
      );
    }
  }
}

function isConfigShow(command: Command): boolean {
  return words(command) === "config show";
}

/** `config show`. */
function words(command: Command): string {
  const above = command.parent?.parent ? `${words(command.parent)} ` : "";
  return above + command.name();
}

function misplaced(what: string, command: Command, hint: string): VibeError {
  return new VibeError("OPTION_MISPLACED", `Cannot use ${what} with "vibe ${words(command)}"`, {
    exitCode: ExitCode.usage,
    hint,
  });
}
