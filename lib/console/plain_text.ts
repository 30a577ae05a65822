/**
 * What a terminal would show of a byte stream, as bytes: colours, cursor movements, titles and
 * other control sequences (ECMA-48) are left out, and so are control characters but for tabs and
 * line feeds. Pure; sequences may be cut anywhere between chunks.
 *
 * Text is in the order in which it was sent. Nothing is placed on a screen, so what a program draws
 * by moving the cursor about comes as it was drawn. Bytes from 0x80 up are text: in UTF-8 they are
 * never controls.
 */

const BEL = 0x07;
const TAB = 0x09;
const LF = 0x0a;
const CAN = 0x18;
const SUB = 0x1a;
const ESC = 0x1b;
const DEL = 0x7f;

type State =
  | "text"
  /** After ESC. */
  | "escape"
  /** After ESC [ : parameters until a final byte. */
  | "control"
  /** After ESC ] or the like: a title, for instance, until BEL or ESC \. */
  | "string";

/** The introducers of {@link State} "string": DCS, SOS, OSC, PM and APC. */
const STRINGS = new Set([..."PX]^_"].map((char) => char.charCodeAt(0)));
const OPEN_BRACKET = 0x5b;

/** Takes control sequences out of a stream. */
export class PlainText {
  #state: State = "text";

  /** The text of the next chunk. */
  push(chunk: Uint8Array): Uint8Array {
    const text = new Uint8Array(chunk.byteLength);
    let length = 0;
    for (const byte of chunk) {
      if (this.#isText(byte)) text[length++] = byte;
    }
    return text.subarray(0, length);
  }

  #isText(byte: number): boolean {
    if (byte === ESC) this.#state = "escape";
    else if (byte === CAN || byte === SUB) this.#state = "text";
    else if (this.#state === "text") return byte >= 0x20 ? byte !== DEL : isBlank(byte);
    else return this.#inSequence(byte);
    return false;
  }

  /** What stands where no terminal expects it is text: binary garbage must not swallow the rest. */
  #inSequence(byte: number): boolean {
    switch (this.#state) {
      case "escape":
        if (byte === OPEN_BRACKET) this.#state = "control";
        else if (STRINGS.has(byte)) this.#state = "string";
        // Intermediate bytes: ESC ( B.
        else if (byte < 0x20 || byte > 0x2f) this.#state = "text";
        return isBlank(byte);
      case "control":
        if (byte >= 0x40) this.#state = "text";
        return byte >= 0x80 || isBlank(byte);
      default:
        // Titles have no line ends: this one was never ended.
        if (byte === BEL || byte === LF) this.#state = "text";
        return byte === LF;
    }
  }
}

function isBlank(byte: number): boolean {
  return byte === TAB || byte === LF;
}
