/** The commands that start and end VMs. */

import type { Command } from "commander";
import { addVmOptions, mergedOptions, NAME_OPTION } from "./options.ts";

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
    .description("Stop VMs: in good order, by force after 30 seconds.")
    .argument("[vm...]", "directory, name or id (default: this directory's)")
    .option("--force", "pull the plug at once")
    .option("--all", "every VM that runs")
    .option(...NAME_OPTION)
    .action(async (words: string[], _options, command: Command) => {
      const { stop } = await import("./life_commands.ts");
      exit(await stop(words, { ...mergedOptions(command), ...command.opts() }));
    });
  addVmOptions(program.command("restart"))
    .description("Stop this directory's VM, then start it with the options given now.")
    .option("--force", "pull the plug at once")
    .action(async (options: { force?: boolean }, command: Command) => {
      const { restart } = await import("./life_commands.ts");
      exit(await restart(mergedOptions(command), options.force ?? false));
    });
  program.command("ls").alias("status")
    .description("List the VMs there are, and how they are doing.")
    .option("--json", "for programs")
    .action(async (options: { json?: boolean }) => {
      const { ls } = await import("./list_commands.ts");
      exit(await ls(options));
    });
  program.command("info")
    .description("This directory's VM in detail.")
    .option("--json", "for programs")
    .option(...NAME_OPTION)
    .action(async (_options, command: Command) => {
      const { info } = await import("./list_commands.ts");
      exit(await info({ ...mergedOptions(command), ...command.opts() }));
    });
  program.command("rm")
    .description("Remove VMs, with all that was installed in them; projects are left alone.")
    .argument("[vm...]", "directory, name or id (default: this directory's)")
    .option("--all", "every VM")
    .option("--force", "also those that run: pull the plug")
    .option("-y, --yes", "do not ask")
    .option(...NAME_OPTION)
    .action(async (words: string[], _options, command: Command) => {
      const { rm } = await import("./remove_commands.ts");
      exit(await rm(words, { ...mergedOptions(command), ...command.opts() }));
    });
  program.command("logs")
    .description("Print what this directory's VM wrote on its console, or another log.")
    .option("-f, --follow", "go on as it is written")
    .option("--console", "the guest's system console (default)")
    .option("--supervisor", "what the VM's supervisor did")
    .option("--provision", "how the last image was built")
    .option(...NAME_OPTION)
    .action(async (_options, command: Command) => {
      const { logs } = await import("./log_commands.ts");
      exit(await logs({ ...mergedOptions(command), ...command.opts() }));
    });
}
