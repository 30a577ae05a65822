/** `vibe __complete`: the answers that {@link SCRIPTS} turn into a shell's completions. */

import { knownInstances } from "../instance/registry.ts";
import { imageNames } from "../image/catalog.ts";
import { type Candidate, complete, type CompletionSources } from "./complete.ts";
import { guestPaths } from "./guest_paths.ts";
import { buildProgram } from "./program.ts";
import { isPlainInside, quoteForBash, splitLine, unquote } from "./shell_words.ts";

const SOURCES: CompletionSources = {
  images: async () => (await imageNames()).map((value) => ({ value })),
  vms: async () => (await knownInstances()).map(({ title }) => ({ value: title })),
  guestPaths,
};

/** `? ` of COMP_TYPE: the user sees a list, and nothing is put in. */
const LISTING = "63";

/** Answers a shell. `args` begin with its name. */
export async function answer([shell, ...args]: string[]): Promise<void> {
  const lines = shell === "bash" ? await forBash(args) : await forWords(args);
  const text = lines.map((line) => `${line}\n`).join("");
  await Deno.stdout.write(new TextEncoder().encode(text));
}

async function forWords(words: string[]): Promise<string[]> {
  const plain = words.map((word) => unquote(word).text);
  const { paths, candidates } = await complete(buildProgram(() => {}), plain, SOURCES);
  return [paths, ...candidates.filter(isOneLine).map(withDescription)];
}

/** bash's own words are cut at colons and equals signs, so they are taken from the line. */
async function forBash([type, line, word]: string[]): Promise<string[]> {
  const raw = splitLine(line).slice(1);
  const { text, quote } = unquote(raw.at(-1) ?? "");
  const plain = [...raw.slice(0, -1).map((one) => unquote(one).text), text];
  const { paths, candidates } = await complete(buildProgram(() => {}), plain, SOURCES);
  const cut = cutBefore(text, unquote(word).text);
  const values = candidates.filter(isOneLine).map(({ value }) => value)
    .filter((value) => isPlainInside(value, quote))
    .map((value) => value.slice(cut));
  return [paths, ...values.map(quote === "" && type !== LISTING ? quoteForBash : String)];
}

/** How much of the word stands before the part that bash replaces. */
function cutBefore(text: string, part: string): number {
  // bash gives the separator itself as the word when nothing follows it.
  if (/^[:=]+$/.test(part)) return text.length;
  return text.endsWith(part) ? text.length - part.length : 0;
}

/** A name with a line end in it can't be told apart from two. */
function isOneLine({ value }: Candidate): boolean {
  return !/[\n\t]/.test(value);
}

function withDescription({ value, description }: Candidate): string {
  return description ? `${value}\t${description}` : value;
}
