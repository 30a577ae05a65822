/** The keys that leave a session and let the VM run. */

/** How often Ctrl-] has to be typed. */
const TIMES = 3;
/** Within how many milliseconds; as systemd-nspawn has it. */
const WITHIN_MS = 1000;
/** Ctrl-], and what terminals send instead for programs that ask for it (kitty, xterm). */
const KEY = /\x1d|\x1b\[93;5(?::[12])?u|\x1b\[27;5;93~/g;

const decoder = new TextDecoder("latin1");

/**
 * Sees what is typed and tells when the keys for leaving were: Ctrl-] three times within a second.
 * Nothing is held back for it, so no key of a program in the guest comes late; a text that is pasted
 * does not count.
 */
export class DetachKeys {
  #times: number[] = [];

  /** True if this chunk of input completes the keys, which came at `now` milliseconds. */
  typed(chunk: Uint8Array, now: number): boolean {
    const text = chunk.byteLength > 64 ? "" : decoder.decode(chunk);
    const count = text.match(KEY)?.length ?? 0;
    if (count === 0 || text.replace(KEY, "") !== "") {
      this.#times = [];
      return false;
    }
    for (let i = 0; i < count; i++) this.#times.push(now);
    this.#times = this.#times.slice(-TIMES);
    return this.#times.length === TIMES && now - this.#times[0] <= WITHIN_MS;
  }
}
