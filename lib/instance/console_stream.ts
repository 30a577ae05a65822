/** One command's view of a shared console: what it has not yet taken is kept, within bounds. */

import type { FrameConnection } from "../agent/connection.ts";
import { FrameType, MAX_DATA } from "../agent/frame.ts";

/** Bytes kept for a command that does not take them. */
export const BACKLOG = 256 << 10;

/** A stream that a command has opened. */
export class ConsoleStream {
  readonly #connection: FrameConnection;
  readonly #id: number;
  /** Told when there is room again, or the stream has ended. */
  readonly #onRoom: () => void;
  #credit: number;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #exit: Uint8Array | null = null;

  constructor(connection: FrameConnection, id: number, credit: number, onRoom: () => void) {
    this.#connection = connection;
    this.#id = id;
    this.#credit = credit;
    this.#onRoom = onRoom;
  }

  /** Whether what is kept has reached its bound. */
  get full(): boolean {
    return this.#queued >= BACKLOG;
  }

  /** Sends output, or keeps it. Beyond the bound the oldest is lost. */
  push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queued += bytes.byteLength;
    this.#flush();
    while (this.#queued > BACKLOG + MAX_DATA) this.#queued -= this.#queue.shift()!.byteLength;
  }

  /** The command takes more. */
  addCredit(bytes: number): void {
    this.#credit += bytes;
    const full = this.full;
    this.#flush();
    if (full && !this.full) this.#onRoom();
  }

  /** The stream ends, with the payload of an EXIT frame, once everything has been taken. */
  end(exit: Uint8Array): void {
    this.#exit = exit;
    this.#flush();
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#credit > 0) {
      const chunk = this.#queue[0];
      const count = Math.min(chunk.byteLength, this.#credit, MAX_DATA);
      this.#connection.send(this.#id, FrameType.stdout, chunk.subarray(0, count));
      this.#credit -= count;
      this.#queued -= count;
      if (count === chunk.byteLength) this.#queue.shift();
      else this.#queue[0] = chunk.subarray(count);
    }
    if (this.#queue.length === 0 && this.#exit) {
      this.#connection.send(this.#id, FrameType.exit, this.#exit);
      this.#exit = null;
    }
  }
}
