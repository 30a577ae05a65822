/** The socket of a VM's supervisor, which stays reachable when something removes its file. */

import { isThere } from "../files.ts";
import { PathWatch } from "../share/watch.ts";
import type { VmRuntime } from "./runtime.ts";

/**
 * Listens on a VM's socket, and again whenever its file is gone: programs that clean up `/tmp` take
 * it for old. The whole directory cannot be put back, for with it go the mount points of the shares.
 */
export class KeptListener {
  readonly #runtime: VmRuntime;
  readonly #lost: () => void;
  readonly #watch: PathWatch;
  readonly #shares: string;
  /** The last one is the one that is reached. Closing one removes the file, whose ever it is. */
  readonly #listeners: Deno.UnixListener[] = [];
  #serve: ((conn: Deno.Conn) => void) | null = null;
  #hadShares = false;
  #closed = false;

  /** `lost` is told when more than the socket is gone, while this is open. */
  constructor(runtime: VmRuntime, lost: () => void) {
    this.#runtime = runtime;
    this.#lost = lost;
    this.#shares = `${runtime.dir}/shares`;
    this.#listen();
    const paths = [runtime.socket, runtime.dir, this.#shares];
    // Without a watch, a socket that is removed stays so.
    this.#watch = new PathWatch(() => paths, () => this.#look(), () => {});
  }

  /** Hands over every connection, until {@link close}. */
  serve(onConnection: (conn: Deno.Conn) => void): void {
    this.#serve = onConnection;
    for (const listener of this.#listeners) this.#accept(listener);
  }

  /** Ends it, and removes its file. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const listener of this.#listeners) listener.close();
    await this.#watch[Symbol.asyncDispose]();
    await Deno.remove(this.#runtime.socket).catch(() => {});
  }

  #listen(): void {
    const listener = Deno.listen({ transport: "unix", path: this.#runtime.socket });
    this.#listeners.push(listener);
    if (this.#serve) this.#accept(listener);
  }

  async #accept(listener: Deno.UnixListener): Promise<void> {
    try {
      for await (const conn of listener) this.#serve!(conn);
    } catch {
      // It was closed.
    }
  }

  #look(): void {
    if (this.#closed) return;
    const shares = isThere(this.#shares);
    if (!isThere(this.#runtime.dir) || (this.#hadShares && !shares)) {
      this.#lost();
      return;
    }
    this.#hadShares = shares;
    if (!isThere(this.#runtime.socket)) this.#listen();
  }
}
