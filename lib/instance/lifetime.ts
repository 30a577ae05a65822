/**
 * Decides when a VM that nobody uses any more is stopped: when the last command has left, unless it
 * is to be kept, or the guest itself has work that goes on.
 */

import type { HeldBy } from "./control.ts";

const MINUTE_MS = 60_000;
/** How often a guest that has not told yet is looked after. */
const SILENCE_MS = 30_000;
/**
 * After so many of these in a row the guest is taken for dead, and no work in it for alive: five
 * minutes, for a small shell script that takes tens of milliseconds.
 */
const SILENCES = 10;

/** What a {@link Lifetime} goes by. */
export interface LifetimeConfig {
  /** Stay without users. */
  keep: boolean;
  /** A VM that is kept is stopped after so many minutes without users; null is never. */
  idleMinutes: number | null;
  /**
   * Looks for work in the guest that outlives its terminal. `held` is called if there is some;
   * resolves when there is none, or no more.
   */
  guestWork(held: () => void): Promise<void>;
  /** Whether the machine stands still: its guest cannot tell then, and loses nothing. */
  standsStill(): Promise<boolean>;
  /** The VM is to be stopped; `silent`: its guest did not tell. Called once. */
  stop(silent: boolean): void;
  /** Milliseconds; {@link SILENCE_MS} if left out. */
  silenceMs?: number;
}

/** A look into the guest that is under way. */
interface Look {
  /** Resolves once it is known whether there is work. */
  found: Promise<boolean>;
  /** Runs until then. */
  silence: ReturnType<typeof setInterval>;
}

/** Counts the users of a VM. */
export class Lifetime<User> {
  readonly #config: LifetimeConfig;
  readonly #users = new Set<User>();
  /** As in {@link LifetimeConfig}; it counts from the next time that nobody uses the VM. */
  idleMinutes: number | null;
  #keep: boolean;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #look: Look | null = null;
  #tmux = false;
  #over = false;

  constructor(config: LifetimeConfig) {
    this.#config = config;
    this.idleMinutes = config.idleMinutes;
    this.#keep = config.keep;
  }

  /** How many use it. */
  get users(): number {
    return this.#users.size;
  }

  get keep(): boolean {
    return this.#keep;
  }

  /** Why it stays although nobody uses it. */
  get heldBy(): HeldBy | null {
    if (this.#keep) return "keep";
    return this.#tmux ? "tmux" : null;
  }

  /** Someone uses the VM from now on. */
  enter(user: User): void {
    this.#users.add(user);
    clearTimeout(this.#idle);
  }

  /** They do not any more; nothing happens if they never did. */
  leave(user: User): void {
    if (this.#users.delete(user)) this.settle();
  }

  /** Whether the VM stays without users. */
  setKeep(on: boolean): void {
    this.#keep = on;
    clearTimeout(this.#idle);
    this.settle();
  }

  /** Why the VM will stay when `user` leaves. */
  async after(user: User): Promise<HeldBy | "others" | null> {
    if (this.#users.size > (this.#users.has(user) ? 1 : 0)) return "others";
    if (this.#keep) return "keep";
    return await this.#lookForWork().found ? "tmux" : null;
  }

  /** If nobody uses the VM, sees to it that it ends when it should. */
  settle(): void {
    if (this.#users.size > 0 || this.#over) return;
    if (!this.#keep) {
      this.#lookForWork();
      return;
    }
    if (this.idleMinutes === null) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#idled(), this.idleMinutes * MINUTE_MS);
    // The supervisor must not outlive its VM for this.
    Deno.unrefTimer(Number(this.#idle));
  }

  /** The VM ends, for whatever reason. */
  end(): void {
    this.#over = true;
    clearTimeout(this.#idle);
    clearInterval(this.#look?.silence);
  }

  /** It was kept long enough; what a tmux session does is not idle. */
  #idled(): void {
    this.#keep = false;
    this.settle();
  }

  #lookForWork(): Look {
    if (this.#look) return this.#look;
    const found = Promise.withResolvers<boolean>();
    let silences = 0;
    const silence = setInterval(async () => {
      silences = await this.#config.standsStill() ? 0 : silences + 1;
      if (silences === SILENCES) over(true);
    }, this.#config.silenceMs ?? SILENCE_MS);
    // The supervisor must not outlive its VM for this, either.
    Deno.unrefTimer(Number(silence));
    const look = this.#look = { found: found.promise, silence };
    const over = (silent: boolean) => {
      // What a guest tells later that was silent for so long is too late.
      if (this.#look !== look) return;
      clearInterval(silence);
      this.#tmux = false;
      this.#look = null;
      found.resolve(false);
      if (this.#users.size > 0 || this.#keep || this.#over) return;
      this.#over = true;
      this.#config.stop(silent);
    };
    const told = () => over(false);
    this.#config.guestWork(() => {
      if (this.#look !== look) return;
      clearInterval(silence);
      this.#tmux = true;
      found.resolve(true);
    }).then(told, told);
    return look;
  }
}
