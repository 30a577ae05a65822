/** The command tree: what can be typed, and where it leads. */

import { Command, CommanderError } from "commander";
import { ExitCode } from "../errors.ts";
import { addCompletionsCommand } from "./completions_program.ts";
import { addLifeCommands } from "./life_program.ts";
import { addCopyCommand } from "./copy_program.ts";
import { addMountCommands } from "./mount_program.ts";
import { addImageCommands } from "./image_program.ts";
import { addDoctorCommand } from "./doctor_program.ts";
import { addConfigCommands } from "./config_program.ts";
import { actionsOf, addActionOptions, joinSeconds } from "./actions.ts";
import { checkLeadingOptions } from "./leading_options.ts";
import { addVmOptions, type CliOptions, mergedOptions } from "./options.ts";
import { VERSION } from "../version.ts";
import { printError, style } from "./output.ts";

/**
 * Parses a command line (without the program's name) and runs it. Resolves to the exit code; what
 * is wrong with the words themselves has then been said on stderr.
 *
 * @param onOptions told the options before the command runs.
 * @throws whatever the command throws.
 */
export async function parseAndRun(
  args: string[],
  onOptions: (options: CliOptions) => void,
): Promise<number> {
  let code = 0;
  const program = buildProgram((result) => code = result);
  program.hook("preAction", (_program, command) => {
    onOptions(mergedOptions(command));
    checkLeadingOptions(program, command);
  });
  try {
    await program.parseAsync(joinSeconds(args, program), { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : ExitCode.usage;
  }
}

/** The whole tree. Actions report their exit code to `exit`. */
export function buildProgram(exit: (code: number) => void): Command {
  const program = addActionOptions(addVmOptions(new Command("vibe")))
    .description("Gives the current directory its own Linux computer, and a shell in it.")
    .argument("[disk-image]", "a raw or qcow2 disk to use in place, instead of the directory's VM")
    .version(VERSION, "-V, --version")
    .exitOverride()
    .configureOutput({
      writeErr: printError,
      outputError: (text, write) => write(text.replace(/^error:/, style("red", "vibe:"))),
    })
    .enablePositionalOptions()
    .allowExcessArguments()
    .showHelpAfterError("(`vibe --help` lists what can be typed)")
    .addHelpText("after", EXAMPLES);
  program.action(async (_disk, _options, command: Command) => {
    const { diskArgument } = await import("./disk_argument.ts");
    const names = command.commands.map((known) => known.name());
    const diskImage = await diskArgument(command.args, names);
    const options = { ...mergedOptions(command), diskImage };
    const { act, shell } = await import("./session_commands.ts");
    const actions = actionsOf(command);
    exit(await (actions.length > 0 ? act(actions, options) : shell(options)));
  });
  addLifeCommands(program, exit);
  addMountCommands(program, exit);
  addCopyCommand(program, exit);
  addVmOptions(program.command("run"))
    .description("Run one command in the VM and exit with its status.")
    .argument("<command...>", "program and arguments, best after --")
    .passThroughOptions()
    .action(async (words: string[], _options, command: Command) => {
      const { run } = await import("./session_commands.ts");
      exit(await run(words, mergedOptions(command)));
    });
  addCompletionsCommand(program, exit);
  addImageCommands(program, exit);
  addDoctorCommand(program, exit);
  addConfigCommands(program, exit);
  return program;
}

const EXAMPLES = `
Examples:
  vibe                            a shell in this directory's VM
  vibe run -- make -j2 test       one command, with its exit status
  vibe --mount ~/data:data:read-only
  vibe --script setup.sh --send 'npm start' --expect 'listening on' 60
  vibe group.raw                  a disk image, used in place
`;
