/** `vibe mount`: shares of a VM that runs. */

import type { Command } from "commander";
import { mergedOptions, NAME_OPTION } from "./options.ts";

/** Adds it to the program. */
export function addMountCommands(program: Command, exit: (code: number) => void): void {
  const mount = program.command("mount")
    .description("Share more with this directory's VM while it runs, or less.");
  mount.command("add")
    .description("Share a directory or file until the VM stops.")
    .argument("<host:guest[:mode]>", "as for --mount")
    .option(...NAME_OPTION)
    .action(async (spec: string, _options, command: Command) => {
      const { mountAdd } = await import("./mount_commands.ts");
      exit(await mountAdd(spec, mergedOptions(command)));
    });
  mount.command("rm")
    .description("Share it no longer.")
    .argument("<guest>", "where the guest has it")
    .option("--force", "also if programs in the guest use it")
    .option(...NAME_OPTION)
    .action(async (guest: string, options: { force?: boolean }, command: Command) => {
      const { mountRemove } = await import("./mount_commands.ts");
      exit(await mountRemove(guest, options.force ?? false, mergedOptions(command)));
    });
  mount.command("ls")
    .description("List what is shared.")
    .option("--json", "for programs")
    .option(...NAME_OPTION)
    .action(async (_options, command: Command) => {
      const { mountList } = await import("./mount_commands.ts");
      exit(await mountList(mergedOptions(command)));
    });
}
