/** `vibe disk.raw`: which words name a disk image, and what is said about the others. */

import { ExitCode, printable, VibeError } from "../errors.ts";

/**
 * The disk image that a command line names, if it names one.
 *
 * @param words what is left of it beside options and their values.
 * @param commands the names of vibe's commands.
 * @throws {VibeError} `COMMAND_UNKNOWN` for a word that is neither, `DISK_MANY`.
 */
export async function diskArgument(
  words: string[],
  commands: string[],
): Promise<string | undefined> {
  if (words.length === 0) return undefined;
  const [word] = words;
  if (!await isDisk(word)) throw unknownCommand(word, commands);
  if (words.length === 1) return word;
  throw new VibeError(
    "DISK_MANY",
    `Cannot use "${printable(words[1])}": one disk image is enough`,
    {
      exitCode: ExitCode.usage,
      hint: "`vibe [options] DISK` takes one. Commands in the guest come by --send or --script.",
    },
  );
}

/** A slip of the keyboard must not become a disk: it exists, or at least looks like one. */
async function isDisk(word: string): Promise<boolean> {
  if (word.includes("/") || /\.(raw|img|qcow2)$/i.test(word)) return true;
  return await Deno.stat(word).then((info) => info.isFile, () => false);
}

function unknownCommand(word: string, commands: string[]): VibeError {
  const near = commands.map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  return new VibeError("COMMAND_UNKNOWN", `There is no command "${printable(word)}"`, {
    exitCode: ExitCode.usage,
    hint: (near ? `Did you mean \`vibe ${near.name}\`? ` : "") +
      "`vibe run -- COMMAND` runs one in the VM; `vibe --help` lists vibe's own.",
  });
}

/** How many keys lie between two words: typed too much, too little, wrongly, or in another order. */
export function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const steps = [rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1)];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) steps.push(rows[i - 2][j - 2] + 1);
      rows[i][j] = Math.min(...steps);
    }
  }
  return rows[a.length][b.length];
}
