/**
 * Marks in the output of a shared console: where a user's shell begins and where it ends, with its
 * status. They are operating system commands (OSC) that terminals ignore, and are taken out.
 *
 *     ESC ] vibe ; NONCE ; start BEL
 *     ESC ] vibe ; NONCE ; end ; STATUS BEL
 */

const ESC = 0x1b;
const BEL = 0x07;
/** Bytes of the longest mark behind its nonce: `end;255`. */
const MAX_REST = 7;

/** The format for printf(1) that prints a mark; "end" takes the status. */
export function markFormat(nonce: string, kind: "start" | "end"): string {
  return `\\033]vibe;${nonce};${kind === "start" ? "start" : "end;%d"}\\007`;
}

/** What a stream is made of. */
export type MarkEvent =
  | { kind: "output"; bytes: Uint8Array }
  | { kind: "start" }
  | { kind: "end"; status: number };

/** Finds marks wherever the stream is cut; everything else passes as it is, as soon as it can. */
export class MarkScanner {
  readonly #prefix: Uint8Array;
  /** What may become a mark. */
  #held: number[] = [];

  constructor(nonce: string) {
    this.#prefix = new TextEncoder().encode(`\x1b]vibe;${nonce};`);
  }

  push(chunk: Uint8Array): MarkEvent[] {
    const events: MarkEvent[] = [];
    let from = 0;
    const pass = (to: number) => {
      if (to > from) events.push({ kind: "output", bytes: chunk.slice(from, to) });
    };
    for (let at = 0; at < chunk.byteLength; at++) {
      const byte = chunk[at];
      if (this.#held.length === 0) {
        if (byte !== ESC) continue;
        pass(at);
        this.#held.push(byte);
        from = at + 1;
        continue;
      }
      if (byte === ESC || !this.#mayGoOn(byte)) {
        // Not a mark. Only its first byte is ESC, so none can begin inside it.
        events.push({ kind: "output", bytes: Uint8Array.from(this.#held) });
        this.#held = byte === ESC ? [byte] : [];
        from = byte === ESC ? at + 1 : at;
        continue;
      }
      this.#held.push(byte);
      from = at + 1;
      if (byte === BEL) {
        events.push(this.#mark());
        this.#held = [];
      }
    }
    pass(chunk.byteLength);
    return events;
  }

  #mayGoOn(byte: number): boolean {
    const length = this.#held.length;
    if (length < this.#prefix.length) return byte === this.#prefix[length];
    return byte === BEL || (byte > 0x20 && length < this.#prefix.length + MAX_REST);
  }

  /** What is held as an event; not every such sequence is one of ours. */
  #mark(): MarkEvent {
    const text = new TextDecoder().decode(
      Uint8Array.from(this.#held.slice(this.#prefix.length, -1)),
    );
    if (text === "start") return { kind: "start" };
    const status = /^end;(\d{1,3})$/.exec(text)?.[1];
    if (status !== undefined) return { kind: "end", status: Number(status) & 0xff };
    return { kind: "output", bytes: Uint8Array.from(this.#held) };
  }
}
