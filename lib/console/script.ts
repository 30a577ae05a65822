/**
 * Running a script of the host in a guest that has nothing but a console: a shell at its prompt is
 * told to take so many bytes as they come, with the terminal in raw mode, into a file of its own. So
 * any bytes and lines of any length pass, and nothing in the script can end it early. It is run only
 * if its checksum is right: somebody else may type at the same console.
 */

import { VibeError } from "../errors.ts";
import { cksum } from "./cksum.ts";
import type { Dialogue } from "./dialogue.ts";
import { quote } from "./login.ts";
import { markFormat, MarkScanner } from "./marks.ts";

/** Milliseconds until the shell is ready for the script, which it is once others are done. Generous. */
const READY_MS = 60_000;
/** Takes the line that holds it out of the shell's history, where that keeps it despite its space. */
const FORGET = "case $HISTCONTROL in *ignore[sb]*) ;; *) history -d -1;; esac 2>/dev/null";
/** What the slowest console is thought to take, in bytes a millisecond. */
const SLOWEST = 1;

/** One run of a script at a console. */
export class ConsoleScript {
  readonly #scanner: MarkScanner;
  readonly #nonce: string;
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<number>();
  readonly #showAfter: boolean;
  readonly #readyMs: number;
  #shown = false;

  /**
   * @param nonce of this run; letters and digits.
   * @param showAfter whether what the console says when the script has ended is for the user, too.
   * @param readyMs how long a shell may take that is told to take the script.
   */
  constructor(nonce: string, showAfter: boolean, readyMs = READY_MS) {
    this.#nonce = nonce;
    this.#showAfter = showAfter;
    this.#readyMs = readyMs;
    this.#scanner = new MarkScanner(nonce);
    this.#started.promise.catch(() => {});
    this.#ended.promise.catch(() => {});
  }

  /**
   * Takes what the console says, from {@link run} on. Returns what of it is for the user: how the
   * script is brought there is not.
   */
  hear(chunk: Uint8Array): Uint8Array[] {
    return this.#scanner.push(chunk).flatMap((event) => {
      if (event.kind === "output") return this.#shown ? [event.bytes] : [];
      this.#shown = event.kind === "start" || this.#showAfter;
      if (event.kind === "start") this.#started.resolve();
      else this.#end(event.status);
      return [];
    });
  }

  /**
   * Brings a script into the guest and runs it. Resolves to its exit status.
   *
   * @param newline false: line ends come as the script writes them, not as terminals want them.
   * @throws {VibeError} `CONSOLE_BUSY`, `CONSOLE_SCRIPT`.
   */
  async run(
    dialogue: Dialogue,
    name: string,
    content: Uint8Array,
    newline: boolean,
  ): Promise<number> {
    const ready = `vibe-${this.#nonce}-ready`;
    await dialogue.send(` ${this.#command(name, content, newline)}`);
    await dialogue.expect([ready], this.#readyMs, {
      code: "CONSOLE_BUSY",
      what: `a shell that takes the script "${name}"`,
      hint: "At the console, something else must be running.",
    });
    await dialogue.type(content);
    const limit = this.#readyMs + content.byteLength / SLOWEST;
    if (await dialogue.within(this.#started.promise.then(() => true), limit)) {
      return await dialogue.whileThere(this.#ended.promise);
    }
    throw dialogue.late(limit, {
      code: "CONSOLE_SCRIPT",
      what: `"${name}" to arrive in the guest`,
    });
  }

  #command(name: string, content: Uint8Array, newline: boolean): string {
    const mark = (kind: "start" | "end") => `printf '${markFormat(this.#nonce, kind)}'`;
    const file = `"$vibe_dir"/${quote(name)}`;
    // The echo of this line does not hold the word that is waited for.
    return `${FORGET}; vibe_dir=$(mktemp -d) && { vibe_tty=$(stty -g); stty raw -echo; ` +
      `printf 'vibe-%s-ready' ${this.#nonce}; head -c ${content.byteLength} >${file}; ` +
      `stty "$vibe_tty"; [ "$(cksum <${file})" = '${cksum(content)}' ] && ` +
      `chmod 700 ${file} && { ${newline ? "" : "stty -onlcr; "}${mark("start")}; ${file}; }; ` +
      `${mark("end")} $?; stty "$vibe_tty"; rm -rf "$vibe_dir"; }`;
  }

  #end(status: number): void {
    this.#ended.resolve(status);
    this.#started.reject(
      new VibeError(
        "CONSOLE_SCRIPT",
        "Cannot run the script: it did not arrive whole in the guest",
        {
          hint: "Somebody else may have typed at the console. Try again.",
        },
      ),
    );
  }
}
