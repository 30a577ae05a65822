/** `vibe config` and `vibe trust`, as they are typed. */

import type { Command } from "commander";
import { mergedOptions } from "./options.ts";

/** Adds the commands. Actions report their exit code to `exit`. */
export function addConfigCommands(program: Command, exit: (code: number) => void): void {
  const config = program.command("config").description("What settings hold here.");
  config.command("show")
    .description("Print the settings that hold in this directory.")
    .option("--origin", "say where each comes from")
    .option("--json", "as JSON, with origins")
    .action(async (options: { origin?: boolean; json?: boolean }, command: Command) => {
      const { showConfig } = await import("./config_commands.ts");
      exit(await showConfig(mergedOptions(command), options));
    });
  program.command("trust")
    .description("Let this directory's vibe.toml, as it is now, do all that it says.")
    .option("--revoke", "trust it no longer")
    .option("--list", "list what is trusted")
    .option("--json", "with --list: as JSON")
    .action(async (options: { revoke?: boolean; list?: boolean; json?: boolean }, command) => {
      const { trustCommand } = await import("./config_commands.ts");
      exit(await trustCommand({ ...options, yes: mergedOptions(command).yes }));
    });
}
