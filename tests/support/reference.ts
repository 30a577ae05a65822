/**
 * The part of docs/cli.md that is made from the command tree. `deno task docs` writes it anew, a
 * unit test compares.
 */

import type { Command, Option } from "commander";
import { fileURLToPath } from "node:url";
import { buildProgram } from "../../lib/cli/program.ts";

const BEGIN = "<!-- made from the command tree by `deno task docs` -->";
const END = "<!-- the end of what is made -->";

/** The file. */
export const CLI_PAGE = fileURLToPath(import.meta.resolve("../../docs/cli.md"));

/** A page with the part between the marks as it should be. */
export function withReference(page: string): string {
  const [before, rest] = split(page, BEGIN);
  const [, after] = split(rest, END);
  return `${before}${BEGIN}\n\n${reference()}\n${END}${after}`;
}

function split(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  if (at < 0) throw new Error(`docs/cli.md lacks the mark ${mark}`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}

/** All commands, then the options: first those that most commands have. */
function reference(): string {
  const program = buildProgram(() => {});
  const commands = [...leaves(program)];
  const common = visible(program);
  const isCommon = (option: Option) =>
    common.some(({ flags, description }) =>
      flags === option.flags && description === option.description
    );
  const synopsis = commands.map((command) => {
    const own = visible(command).filter((option) => command === program || !isCommon(option));
    const takesCommon = visible(command).filter(isCommon).length > common.length / 2;
    const words = [
      path(command),
      ...takesCommon ? ["[options]"] : [],
      ...terms(command, own, program),
    ];
    return `${words.join(" ")}\n    ${command.description()}\n`;
  });
  const own = commands.filter((command) => command !== program)
    .map((command) => ({ command, options: visible(command).filter((o) => !isCommon(o)) }))
    .filter(({ options }) => options.length > 0);
  return [
    "```",
    ...synopsis,
    "```",
    "",
    "`[options]` are:",
    "",
    table(common),
    ...own.flatMap((
      { command, options },
    ) => ["", `\`${path(command)}\` has besides:`, "", table(options)]),
    "",
  ].join("\n").replace(/\n\n```/g, "\n```");
}

/** Every command that does something by itself. */
function* leaves(command: Command): Generator<Command> {
  // A command without an action of its own only groups others.
  const acts = Boolean((command as unknown as { _actionHandler: unknown })._actionHandler);
  if (acts) yield command;
  for (const inner of command.createHelp().visibleCommands(command)) {
    if (inner.name() !== "help") yield* leaves(inner);
  }
}

function path(command: Command): string {
  return command.parent ? `${path(command.parent)} ${command.name()}` : command.name();
}

function visible(command: Command): Option[] {
  return command.createHelp().visibleOptions(command).filter(({ long }) => long !== "--help");
}

function terms(command: Command, own: Option[], program: Command): string[] {
  const options = command === program
    ? []
    : own.map(({ flags }) => `[${flags.replace(/^-., /, "")}]`);
  const args = command.registeredArguments.map((argument) => {
    const name = argument.name().toUpperCase() + (argument.variadic ? "..." : "");
    const shown = argument.name() === "command" ? `-- ${name}` : name;
    return argument.required ? shown : `[${shown}]`;
  });
  return [...options, ...args];
}

function table(options: Option[]): string {
  const rows = options.map(({ flags, description }) => [
    `\`${flags}\``.replaceAll("|", "\\|"),
    description.replaceAll("|", "\\|"),
  ]);
  const lines = [["option", "meaning"], ["---", "---"], ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

if (import.meta.main) {
  await Deno.writeTextFile(CLI_PAGE, withReference(await Deno.readTextFile(CLI_PAGE)));
}
