/** `vibe completions`, as commander sees it. */

import { Argument, type Command } from "commander";
import { SHELLS } from "./completion_scripts.ts";

/** Adds the command to the tree. */
export function addCompletionsCommand(program: Command, exit: (code: number) => void): void {
  const completions = program.command("completions")
    .description("Let Tab complete commands, options and names in bash, zsh and fish.");
  const shell = () => new Argument("[shell]", "the shell of $SHELL unless given").choices(SHELLS);
  completions.command("install")
    .description("Install them for this user.")
    .addArgument(shell())
    .action(async (name: string | undefined) => {
      const { installCompletions } = await import("./completions_command.ts");
      exit(await installCompletions(name));
    });
  completions.command("show")
    .description("Print the script, to be loaded by other means.")
    .addArgument(shell())
    .action(async (name: string | undefined) => {
      const { showCompletions } = await import("./completions_command.ts");
      exit(await showCompletions(name));
    });
}
