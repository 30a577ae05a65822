/** The commands that start and end VMs. */

import type { Command } from "commander";
import { addVmOptions, mergedOptions } from "./options.ts";

/** Adds them to the program. */
export function addLifeCommands(program: Command, exit: (code: number) => void): void {
  addVmOptions(program.command("shell"))
    .description("A shell in this directory's VM; the same as `vibe` alone.")
    .action(async (_options, command: Command) => {
      const { shell } = await import("./session_commands.ts");
      exit(await shell(mergedOptions(command)));
    });
  addVmOptions(program.command("start"))
    .description("Start this directory's VM and let it run until `vibe stop`.")
    .action(async (_options, command: Command) => {
      const { start } = await import("./life_commands.ts");
      exit(await start(mergedOptions(command)));
    });
  program.command("stop")
    .description("Stop this directory's VM: in good order, by force after 30 seconds.")
    .option("--force", "pull the plug at once")
    .option("--all", "every VM that runs")
    .option("--name <name>", "the VM of that name instead of the directory's")
    .action(async (_options, command: Command) => {
      const { stop } = await import("./life_commands.ts");
      exit(await stop({ ...mergedOptions(command), ...command.opts() }));
    });
  addVmOptions(program.command("restart"))
    .description("Stop this directory's VM, then start it with the options given now.")
    .option("--force", "pull the plug at once")
    .action(async (options: { force?: boolean }, command: Command) => {
      const { restart } = await import("./life_commands.ts");
      exit(await restart(mergedOptions(command), options.force ?? false));
    });
}
