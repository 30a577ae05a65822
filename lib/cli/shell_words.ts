/** What a shell's user has typed, as words: quotes and backslashes undone, nothing expanded. */

import { printable } from "../errors.ts";
import { shellWord } from "../process.ts";

/** A word, perhaps one that is still being typed. */
export interface ShellWord {
  /** What the shell would pass on, were there nothing to expand. */
  text: string;
  /** The quote that is open at its end; empty if none is. */
  quote: "" | "'" | '"';
}

/**
 * Undoes the quoting of one word as bash, zsh and fish agree on it. What would be expanded (`$HOME`,
 * `$(...)`, `~`) stays as it is: it is never run, and matches nothing.
 */
export function unquote(word: string): ShellWord {
  let text = "";
  let quote: ShellWord["quote"] = "";
  for (let at = 0; at < word.length; at++) {
    const char = word[at];
    if (quote === "'") {
      if (char === "'") quote = "";
      else text += char;
    } else if (char === "\\" && at + 1 < word.length) {
      const next = word[++at];
      // In double quotes a backslash is only special before these.
      text += quote === '"' && !'$`"\\\n'.includes(next) ? `\\${next}` : next;
    } else if (char === '"') {
      quote = quote === '"' ? "" : '"';
    } else if (char === "'" && quote === "") {
      quote = "'";
    } else text += char;
  }
  return { text, quote };
}

/** Whether a text means itself when it is written inside an open quote. */
export function isPlainInside(text: string, quote: ShellWord["quote"]): boolean {
  if (quote === "'") return !text.includes("'");
  if (quote === '"') return !/[$`"\\!]/.test(text);
  return true;
}

/** The words of a line up to the cursor, still quoted; the last one may be empty. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const char = line[at];
    if (quote === "" && /\s/.test(char)) {
      if (word) words.push(word);
      word = "";
      continue;
    }
    word += char;
    if (char === "\\" && quote !== "'" && at + 1 < line.length) word += line[++at];
    else if (char === quote) quote = "";
    else if (quote === "" && (char === "'" || char === '"')) quote = char;
  }
  return [...words, word];
}

/** A text as a word that bash reads as just that. */
export function quoteForBash(text: string): string {
  if (/[\x00-\x1f\x7f]/.test(text)) return ansiQuoted(text);
  return text.replace(/[^\w@%+=:,./~\u0080-\uffff-]/g, "\\$&").replace(/^~/, "\\~");
}

/**
 * A text as a word for a command line that is shown: what {@link printable} would escape is written
 * as bash, zsh and ksh undo it.
 */
export function shownWord(text: string): string {
  return printable(text, Infinity) === text ? shellWord(text) : ansiQuoted(text);
}

function ansiQuoted(text: string): string {
  const quoted = Array.from(text, (char) => {
    if (printable(char) === char && !"'\\".includes(char)) return char;
    return Array.from(new TextEncoder().encode(char), ansiByte).join("");
  });
  return `$'${quoted.join("")}'`;
}

function ansiByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}
