/** What could be typed next, found in the command tree. */

import type { Argument, Command, Option } from "commander";

/** One thing that could be typed. */
export interface Candidate {
  value: string;
  /** A few words for shells that show them. */
  description?: string;
}

/** What fits at the cursor. */
export interface Completion {
  /** Also files and directories of the host, or only directories. */
  paths: "none" | "files" | "directories";
  candidates: Candidate[];
}

/** Where names come from that are not in the tree. */
export interface CompletionSources {
  images(): Promise<Candidate[]>;
  /** Projects and named VMs. */
  vms(): Promise<Candidate[]>;
  /** Paths in the guest that begin with a text; nothing if its VM does not run. */
  guestPaths(prefix: string): Promise<Candidate[]>;
}

const NOTHING: Completion = { paths: "none", candidates: [] };
const FILES: Completion = { paths: "files", candidates: [] };

/**
 * Completes the last of `words`, which may be empty; the program's name is not among them.
 * Candidates begin with it.
 */
export async function complete(
  program: Command,
  words: string[],
  sources: CompletionSources,
): Promise<Completion> {
  const current = words.at(-1) ?? "";
  const place = walk(program, words.slice(0, -1));
  if (place === null) return FILES;
  const found = await candidatesAt(place, current, sources);
  const candidates = found.candidates.filter(({ value }) => value.startsWith(current));
  return { ...found, candidates };
}

/** Where in the tree the cursor is. */
interface Place {
  command: Command;
  /** An option that waits for its value. */
  pending: Option | null;
  /** How many arguments the command has already. */
  position: number;
  /** After `--`. */
  onlyArguments: boolean;
}

/** Follows the words before the cursor; null where they are a command of the guest's. */
function walk(program: Command, words: string[]): Place | null {
  const place: Place = { command: program, pending: null, position: 0, onlyArguments: false };
  for (const word of words) {
    if (place.pending) {
      place.pending = null;
    } else if (word === "--" && !place.onlyArguments) {
      place.onlyArguments = true;
    } else if (word.startsWith("-") && word !== "-" && !place.onlyArguments) {
      const option = findOption(place.command, word);
      if (option?.required && !word.includes("=")) place.pending = option;
    } else {
      const inner = place.position === 0 && !place.onlyArguments
        ? findCommand(place.command, word)
        : undefined;
      if (inner) place.command = inner;
      else place.position++;
    }
    const argument = argumentAt(place.command, place.position - 1);
    if (place.position > 0 && argument?.name() === "command") return null;
  }
  return place;
}

async function candidatesAt(
  place: Place,
  current: string,
  sources: CompletionSources,
): Promise<Completion> {
  if (place.pending) return await valuesOf(place.pending, "", sources);
  if (!place.onlyArguments && current.startsWith("--") && current.includes("=")) {
    const name = current.slice(0, current.indexOf("="));
    const option = findOption(place.command, name);
    return option ? await valuesOf(option, `${name}=`, sources) : NOTHING;
  }
  if (!place.onlyArguments && current.startsWith("-")) {
    return { paths: "none", candidates: optionsOf(place.command) };
  }
  const argument = argumentAt(place.command, place.position);
  const own = argument
    ? await valuesFor(argument.name(), argument.argChoices, current, sources)
    : null;
  const commands = place.position === 0 && !place.onlyArguments ? commandsOf(place.command) : [];
  return { paths: own?.paths ?? "none", candidates: [...commands, ...own?.candidates ?? []] };
}

function findCommand(command: Command, word: string): Command | undefined {
  return command.commands.find((inner) => inner.name() === word || inner.aliases().includes(word));
}

function findOption(command: Command, word: string): Option | undefined {
  const name = word.replace(/=.*$/s, "");
  return command.options.find((option) => option.long === name || option.short === name);
}

function argumentAt(command: Command, position: number): Argument | undefined {
  const known = command.registeredArguments;
  const last = known.at(-1);
  return known[position] ?? (last?.variadic && position >= 0 ? last : undefined);
}

function commandsOf(command: Command): Candidate[] {
  return command.createHelp().visibleCommands(command)
    .map((inner) => ({ value: inner.name(), description: summary(inner.description()) }));
}

function optionsOf(command: Command): Candidate[] {
  return command.createHelp().visibleOptions(command).flatMap(({ long, description }) =>
    long ? [{ value: long, description: summary(description) }] : []
  );
}

function summary(text: string): string {
  return text.split(/[\n;]/)[0].replace(/\.$/, "");
}

async function valuesOf(
  option: Option,
  prefix: string,
  sources: CompletionSources,
): Promise<Completion> {
  const name = option.flags.match(/[<[]([^\]>:. ]+)/)?.[1] ?? "";
  const found = await valuesFor(name, option.argChoices, "", sources);
  return {
    ...found,
    candidates: found.candidates.map((one) => ({ ...one, value: prefix + one.value })),
  };
}

/** What stands for a value is known by the name that help gives it. */
async function valuesFor(
  name: string,
  choices: string[] | undefined,
  current: string,
  sources: CompletionSources,
): Promise<Completion> {
  if (choices) return { paths: "none", candidates: choices.map((value) => ({ value })) };
  switch (name) {
    case "image":
      return { paths: "none", candidates: await sources.images() };
    case "vm":
    case "vms":
      return { paths: "directories", candidates: await sources.vms() };
    case "from":
    case "to":
    case "source":
    case "target":
      return current.startsWith("guest:")
        ? { paths: "none", candidates: await sources.guestPaths(current.slice("guest:".length)) }
        : { paths: "files", candidates: [{ value: "guest:", description: "a path in the VM" }] };
    case "file":
    case "files":
    case "disk":
    case "host":
    case "path":
      return FILES;
    default:
      return NOTHING;
  }
}
