/** What a program in the guest says while it is followed: to a log, to progress, to an error. */

import type { Sink } from "../agent/client.ts";
import { printable } from "../errors.ts";
import type { LogFile } from "../host/follow.ts";
import { BuildOutput } from "./build_output.ts";
import type { LayerRecord } from "./base.ts";

/** A guest that prints without end does not fill the host's disk. */
const MAX_LOG = 64 << 20;
const TAIL_LINES = 15;
const MAX_LINE = 4096;
const MAX_FINDINGS = 100;

/**
 * Follows a program. Its lines are the guest's: control characters in them are made visible, in the
 * log as well, which people look at on terminals.
 *
 * A layer tells what it made of its parts in lines of its own: `vibe: installed NAME VERSION` and
 * `vibe: missing NAME WHY`.
 */
export class GuestOutput {
  readonly installed: LayerRecord["installed"] = Object.create(null);
  readonly missing: LayerRecord["missing"] = Object.create(null);
  /** What apt says, understood. */
  readonly apt = new BuildOutput();
  readonly #log: LogFile;
  readonly #onDetail: (text: string) => void;
  readonly #tail: string[] = [];
  #logged = 0;

  constructor(log: LogFile, onDetail: (text: string) => void) {
    this.#log = log;
    this.#onDetail = onDetail;
  }

  /** The last lines. */
  get tail(): string {
    return this.#tail.join("\n");
  }

  /** Takes one of the program's two outputs. Call `end` when it is over. */
  sink(): { take: Sink; end(): void } {
    const decoder = new TextDecoder();
    let rest = "";
    const take = (text: string) => {
      const lines = (rest + text).split(/[\r\n]/);
      rest = lines.pop()!;
      // A line without an end must not grow without one.
      if (rest.length > MAX_LINE) lines.push(rest.slice(0, MAX_LINE)), rest = "";
      lines.forEach((line) => this.#line(line));
    };
    return {
      take: (chunk) => Promise.resolve(take(decoder.decode(chunk, { stream: true }))),
      end: () => take("\n"),
    };
  }

  #line(raw: string): void {
    const line = printable(withoutStyle(raw), MAX_LINE).trimEnd();
    if (line === "") return;
    if (this.#logged < MAX_LOG) {
      this.#log.write(line + "\n");
      this.#logged += line.length + 1;
      if (this.#logged >= MAX_LOG) this.#log.write("(and more, which is left out)\n");
    }
    const [, kind, name, value] = line.match(/^vibe: (installed|missing) (\S{1,40}) ?(.*)$/) ?? [];
    if (kind) {
      this.#find(kind === "installed" ? this.installed : this.missing, name, value);
      return;
    }
    this.#tail.push(line.slice(0, 300));
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    this.#onDetail(this.apt.line(line) ?? line.slice(0, 60));
  }

  #find(list: Record<string, string>, name: string, value: string): void {
    if (Object.keys(list).length < MAX_FINDINGS) list[name] = value.slice(0, 200);
  }
}

/** Colours and the like are not worth a look in a log. */
function withoutStyle(text: string): string {
  return text.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replaceAll("\t", "  ");
}
