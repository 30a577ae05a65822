/**
 * Decides when a VM that nobody uses any more is stopped: when the last command has left, unless it
 * is to be kept, or the guest itself has work that goes on.
 */

import type { HeldBy } from "./control.ts";

const MINUTE_MS = 60_000;

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
  /** The VM is to be stopped. Called once. */
  stop(): void;
}

/** Counts the users of a VM. */
export class Lifetime<User> {
  readonly #config: LifetimeConfig;
  readonly #users = new Set<User>();
  #keep: boolean;
  #idle: ReturnType<typeof setTimeout> | undefined;
  /** The look into the guest that is under way; `found` resolves once it is known what is there. */
  #look: { found: Promise<boolean> } | null = null;
  #tmux = false;
  #over = false;

  constructor(config: LifetimeConfig) {
    this.#config = config;
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
    if (this.#config.idleMinutes === null) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#idled(), this.#config.idleMinutes * MINUTE_MS);
    // The supervisor must not outlive its VM for this.
    Deno.unrefTimer(Number(this.#idle));
  }

  /** The VM ends, for whatever reason. */
  end(): void {
    this.#over = true;
    clearTimeout(this.#idle);
  }

  /** It was kept long enough; what a tmux session does is not idle. */
  #idled(): void {
    this.#keep = false;
    this.settle();
  }

  #lookForWork(): { found: Promise<boolean> } {
    if (this.#look) return this.#look;
    const found = Promise.withResolvers<boolean>();
    this.#look = { found: found.promise };
    this.#config.guestWork(() => {
      this.#tmux = true;
      found.resolve(true);
    }).then(() => {
      this.#tmux = false;
      this.#look = null;
      found.resolve(false);
      if (this.#users.size > 0 || this.#keep || this.#over) return;
      this.#over = true;
      this.#config.stop();
    });
    return this.#look;
  }
}
