/** `vibe cp`: what can be typed. */

import type { Command } from "commander";
import { mergedOptions, NAME_OPTION } from "./options.ts";

/** Adds it to the program. */
export function addCopyCommand(program: Command, exit: (code: number) => void): void {
  program.command("cp")
    .description("Copy files and directories to the guest (guest:PATH), or from it.")
    .argument("<from>", "host path, or guest:PATH")
    .argument("<to...>", "more to copy, and last where it goes")
    .option(...NAME_OPTION)
    .action(async (from: string, to: string[], _options, command: Command) => {
      const { copy } = await import("./copy_commands.ts");
      exit(await copy([from, ...to], mergedOptions(command)));
    });
}
