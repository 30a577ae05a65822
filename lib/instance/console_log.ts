/** The log of the system console. The guest writes it, so it is bounded. */

import type { ByteStream } from "../driver/driver.ts";
import { printableLines } from "../errors.ts";

/** Most bytes kept on disk; a boot writes some 20 KiB. */
const MAX_LOG = 1 << 20;
/** Bytes kept in memory for error messages. */
const TAIL = 16 << 10;

/** Copies the console to a file, and remembers its end. */
export class ConsoleLog {
  #tail: Uint8Array = new Uint8Array();

  /** Whether the guest has said anything at all. */
  get silent(): boolean {
    return this.#tail.byteLength === 0;
  }

  /** The last lines, safe to print; of a kernel's panic the first ones, which say why. */
  tail(lines = 12): string {
    const all = printableLines(new TextDecoder().decode(this.#tail)).split("\n");
    const panic = all.findLastIndex((line) => line.includes("Kernel panic - not syncing"));
    return (panic < 0 ? all.slice(-lines) : all.slice(panic, panic + lines)).join("\n");
  }

  /**
   * Copies until the console ends. When the file is full it starts over, so that the newest lines
   * are always there. Never rejects: a full host disk must not take the VM down.
   *
   * @param onChunk gets what was read; the next is read when its promise resolves.
   */
  async record(
    console: ByteStream,
    path: string,
    onChunk: (chunk: Uint8Array) => Promise<void> | void,
  ): Promise<void> {
    using file = await Deno.open(path, { write: true, create: true, truncate: true, mode: 0o600 })
      .catch(() => null);
    let size = 0;
    const buffer = new Uint8Array(16 << 10);
    for (;;) {
      const count = await console.read(buffer).catch(() => null);
      if (count === null) return;
      const chunk = buffer.subarray(0, count);
      this.#remember(chunk);
      size += count;
      try {
        if (size > MAX_LOG) {
          await file?.truncate();
          await file?.seek(0, Deno.SeekMode.Start);
          size = count;
        }
        await file?.write(chunk);
      } catch {
        // Nothing is worth more than the VM here.
      }
      await onChunk(chunk);
    }
  }

  #remember(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.#tail.byteLength + chunk.byteLength);
    joined.set(this.#tail);
    joined.set(chunk, this.#tail.byteLength);
    this.#tail = joined.subarray(-TAIL);
  }
}
