/** What vibe prints about itself: plain text, on stderr, quiet in pipes. */

import { VibeError } from "../errors.ts";
import type { MountInfo } from "../instance/control.ts";

const encoder = new TextEncoder();

/** Writes a text to stderr as it is. */
export function printError(text: string): void {
  const bytes = encoder.encode(text);
  try {
    for (let at = 0; at < bytes.byteLength;) at += Deno.stderr.writeSync(bytes.subarray(at));
  } catch {
    // Nobody reads it.
  }
}

/** Writes a text to stdout. A reader that has left is no error. */
export function printOut(text: string): void {
  const bytes = encoder.encode(text);
  try {
    for (let at = 0; at < bytes.byteLength;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/** ANSI escape codes; node:util has them, too, but takes 7 ms to load. */
const STYLES = { red: "\x1b[31m", cyan: "\x1b[36m" };

/** Styles a text unless NO_COLOR is set or stderr is no terminal. */
export function style(name: keyof typeof STYLES, text: string): string {
  const plain = Deno.env.get("NO_COLOR") || !Deno.stderr.isTerminal();
  return plain ? text : `${STYLES[name]}${text}\x1b[39m`;
}

/** An error for the user: one line, then what to do; with `verbose`, where it came from. */
export function formatError(error: unknown, verbose: boolean): string {
  const prefix = style("red", "vibe:");
  if (!(error instanceof VibeError)) {
    const text = error instanceof Error ? (verbose ? error.stack : error.message) : String(error);
    return `${prefix} unexpected error: ${text}\n`;
  }
  let text = `${prefix} ${error.message}\n`;
  if (error.hint) text += error.hint + "\n";
  if (verbose) {
    text += `[${error.code}] ${error.stack}\n`;
    if (error.cause) text += `caused by: ${(error.cause as Error).stack ?? error.cause}\n`;
  }
  return text;
}

/** The table of shares that greets an interactive shell. Lines end with `\n`. */
export function formatMounts(mounts: MountInfo[]): string {
  const rows = mounts.map((
    m,
  ) => [m.host, m.guest, m.copy ? "copy" : m.readOnly ? "read-only" : "read-write"]);
  return formatTable(["Host", "Guest", "Mode"], rows);
}

/** A table with its columns lined up. Lines end with `\n`. */
export function formatTable(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) => Math.max(...[title, ...rows.map((r) => r[i])].map(width)));
  const line = (cells: string[]) =>
    cells.map((cell, i) => cell + " ".repeat(widths[i] - width(cell))).join("  ").trimEnd();
  return [head, widths.map((w) => "-".repeat(w)), ...rows].map((cells) => line(cells) + "\n").join(
    "",
  );
}

/** Columns a text takes, near enough: East Asian wide characters and emoji count two. */
function width(text: string): number {
  let columns = 0;
  for (const char of text) {
    columns += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u
        .test(char) || /\p{Emoji_Presentation}/u.test(char)
      ? 2
      : /\p{Mark}/u.test(char)
      ? 0
      : 1;
  }
  return columns;
}
