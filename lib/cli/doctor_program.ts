/** `vibe doctor`, as commander sees it. */

import type { Command } from "commander";

/** Adds the command to the tree. */
export function addDoctorCommand(program: Command, exit: (code: number) => void): void {
  program.command("doctor")
    .description("Look for what keeps vibe from working, on this host and in this directory's VM.")
    .option("--fix", "do what remedies it, where that loses nothing")
    .option("--json", "as JSON")
    .action(async (options: { fix?: boolean; json?: boolean }) => {
      const { doctor } = await import("./doctor_command.ts");
      exit(await doctor(options));
    });
}
