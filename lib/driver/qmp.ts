/** QEMU's control channel (QMP): JSON lines, commands with answers, and events. */

/** An event from QEMU, such as SHUTDOWN. */
export interface QmpEvent {
  event: string;
  data?: Record<string, unknown>;
}

interface Reply {
  return?: unknown;
  error?: { class: string; desc: string };
}

/** A connected QMP session. */
export class Qmp implements Disposable {
  readonly #conn: Deno.Conn;
  readonly #onEvent: (event: QmpEvent) => void;
  /** Answers come in the order of the commands. */
  readonly #pending: PromiseWithResolvers<unknown>[] = [];
  readonly #greeting = Promise.withResolvers<string>();

  private constructor(conn: Deno.Conn, onEvent: (event: QmpEvent) => void) {
    this.#conn = conn;
    this.#onEvent = onEvent;
    this.#greeting.promise.catch(() => {});
    this.#receive();
  }

  /**
   * Takes a fresh connection through the handshake. `version` of the result is QEMU's, "7.2.22".
   *
   * @throws if QEMU ends before it has greeted.
   */
  static async handshake(
    conn: Deno.Conn,
    onEvent: (event: QmpEvent) => void,
  ): Promise<{ qmp: Qmp; version: string }> {
    const qmp = new Qmp(conn, onEvent);
    const version = await qmp.#greeting.promise;
    await qmp.execute("qmp_capabilities");
    return { qmp, version };
  }

  /** Runs a command; resolves to what it returns. @throws with QEMU's description of the error. */
  async execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    const pending = Promise.withResolvers<unknown>();
    this.#pending.push(pending);
    const line = JSON.stringify({ execute: command, arguments: args }) + "\n";
    const bytes = new TextEncoder().encode(line);
    try {
      for (let at = 0; at < bytes.byteLength;) at += await this.#conn.write(bytes.subarray(at));
    } catch (error) {
      pending.reject(error);
    }
    return await pending.promise;
  }

  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch {
      // QEMU was first.
    }
  }

  async #receive(): Promise<void> {
    try {
      const lines = this.#conn.readable.pipeThrough(new TextDecoderStream());
      let rest = "";
      for await (const chunk of lines) {
        const parts = (rest + chunk).split("\n");
        rest = parts.pop()!;
        for (const line of parts) if (line.trim()) this.#onMessage(JSON.parse(line));
      }
    } catch {
      // The connection ends with QEMU; whoever watches the process says why.
    }
    const gone = new Error("QEMU closed its control channel");
    this.#greeting.reject(gone);
    for (const pending of this.#pending.splice(0)) pending.reject(gone);
  }

  #onMessage(message: Reply & Partial<QmpEvent> & { QMP?: Greeting }): void {
    if (message.QMP) {
      const { major, minor, micro } = message.QMP.version.qemu;
      this.#greeting.resolve(`${major}.${minor}.${micro}`);
    } else if (message.event) {
      this.#onEvent({ event: message.event, data: message.data });
    } else if (message.error) {
      this.#pending.shift()?.reject(new Error(message.error.desc));
    } else {
      this.#pending.shift()?.resolve(message.return);
    }
  }
}

interface Greeting {
  version: { qemu: { major: number; minor: number; micro: number } };
}
