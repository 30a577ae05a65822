/**
 * Keeps the guest's clock with the host's. It stands still while the machine is paused and while the
 * host sleeps; nothing in the guest would notice.
 */

import { CLOCK_AHEAD, encodeClock, type ExitStatus } from "../agent/messages.ts";

/** How often the host's own clocks are compared; a tick takes some 20 µs of processor time. */
const TICK_MS = 1000;
/** Ticks between looks at the guest's clock when there is no other reason for one. */
const TICKS_PER_LOOK = 10;
/** How far the host's clocks may come apart within one tick. */
const LEAP_MS = 200;
/** An answer that took longer may be about a frame that was overtaken by a pause. */
const LATE_MS = 500;

/** Tells one guest the time: when asked to, after the host has slept, and now and then. */
export class GuestClock implements Disposable {
  readonly #request: (clock: Uint8Array) => Promise<ExitStatus>;
  #timer: ReturnType<typeof setInterval> | null = null;
  #ticks = 0;
  #skew = 0;
  #syncing = false;
  #again = false;

  /** `request` sends a CLOCK frame and resolves to its answer; it throws if there is no agent. */
  constructor(request: (clock: Uint8Array) => Promise<ExitStatus>) {
    this.#request = request;
  }

  /** There is an agent to tell the time to, now and from now on. */
  start(): void {
    this.#skew = skew();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.sync();
  }

  /** Something has happened after which the guest's clock may be wrong. */
  sync(): void {
    this.#again = true;
    if (this.#timer !== null && !this.#syncing) this.#tellTime();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer ?? undefined);
    this.#timer = null;
  }

  /** Only the clock of the day goes on while the host sleeps; and it alone can be set. */
  #tick(): void {
    const before = this.#skew;
    this.#skew = skew();
    const leapt = Math.abs(this.#skew - before) > LEAP_MS;
    if (leapt || ++this.#ticks % TICKS_PER_LOOK === 0) this.sync();
  }

  async #tellTime(): Promise<void> {
    this.#syncing = true;
    let back = false;
    try {
      while (this.#again) {
        this.#again = false;
        const sent = Date.now();
        const answer = await this.#request(encodeClock(sent, back));
        const late = Math.abs(Date.now() - sent) > LATE_MS;
        // Said in time, it is true. To a guest that keeps saying so the time is told once more only.
        back = !late && !back && answer.kind === "exited" && answer.code === CLOCK_AHEAD;
        if (late || back) this.#again = true;
      }
    } catch {
      // The agent is gone. If there will be another, start() is called then.
    } finally {
      this.#syncing = false;
    }
  }
}

function skew(): number {
  return Date.now() - performance.now();
}
