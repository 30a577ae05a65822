/** Typed handles on the bridge: the library, which is opened once, and its machines. */

import { VibeError } from "../lib/errors.ts";
import { installLibrary } from "./library.ts";
import { ABI, Operation, SYMBOLS } from "./symbols.ts";
import {
  type VzConfig,
  type VzDirectories,
  VzError,
  type VzErrorFields,
  type VzEvent,
  type VzHost,
  type VzIdentity,
} from "./types.ts";

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const encoder = new TextEncoder();

function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}

/** Virtualization.framework through the bridge. */
export class VzLibrary {
  readonly #symbols: Symbols;

  private constructor(symbols: Symbols) {
    this.#symbols = symbols;
  }

  static #opened = new Map<string, VzLibrary>();

  /**
   * Opens the library at `path`, by default the one that this program carries. Objective-C code
   * cannot be unloaded, so it stays open, and opening it again gives the same object.
   *
   * @throws {VibeError} `VZ_LIBRARY` if it cannot be loaded or is of another version.
   */
  static async open(path?: string): Promise<VzLibrary> {
    path ??= await installLibrary();
    const known = VzLibrary.#opened.get(path);
    if (known) return known;
    const symbols = load(path);
    const abi = symbols.vibe_vz_abi();
    if (abi !== ABI) {
      throw new VibeError(
        "VZ_LIBRARY",
        `Cannot use "${path}": it has interface ${abi}, this vibe needs ${ABI}`,
        { hint: "unset VIBE_VZ_LIBRARY, or build the library from the same sources" },
      );
    }
    const library = new VzLibrary(symbols);
    VzLibrary.#opened.set(path, library);
    return library;
  }

  /** What this Mac can do. */
  host(): VzHost {
    const answer = this.#take(this.#symbols.vibe_vz_host()) as VzHost & { error?: VzErrorFields };
    if (answer.error) throw new VzError(answer.error);
    return answer;
  }

  /**
   * Makes a machine, which is stopped. Somebody must listen on the sockets of its ports.
   *
   * @throws {VzError} that names the setting which was refused.
   */
  create(config: VzConfig): VzMachine {
    const answer = this.#take(
      this.#symbols.vibe_vz_create(cString(JSON.stringify(config))),
    ) as VzIdentity & { machine: number; error?: VzErrorFields };
    if (answer.error) throw new VzError(answer.error);
    const { machine, ...identity } = answer;
    return new VzMachine(
      {
        request: (operation, token, argument) =>
          this.#symbols.vibe_vz_request(
            machine,
            operation,
            token,
            argument === undefined ? null : cString(argument),
          ),
        nextEvent: async () =>
          this.#take(await this.#symbols.vibe_vz_next_event(machine, -1)) as VzEvent | null,
        close: () => this.#symbols.vibe_vz_close(machine),
      },
      identity,
    );
  }

  /** The value of a string that now is ours to free; null for NULL. */
  #take(pointer: Deno.PointerValue): unknown {
    if (pointer === null) return null;
    try {
      return JSON.parse(Deno.UnsafePointerView.getCString(pointer));
    } finally {
      this.#symbols.vibe_vz_free(pointer);
    }
  }
}

function load(path: string): Symbols {
  try {
    return Deno.dlopen(path, SYMBOLS).symbols;
  } catch (cause) {
    throw new VibeError("VZ_LIBRARY", `Cannot load "${path}": ${(cause as Error).message}`, {
      cause,
      hint: "run `deno task mac:check` and report what it prints",
    });
  }
}

/** What a machine needs of the library. */
interface Port {
  request(operation: number, token: number, argument?: string): number;
  /** null once the machine is closed. */
  nextEvent(): Promise<VzEvent | null>;
  close(): number;
}

/** How a machine stopped without being told to. */
export interface VzStop {
  /** Set if the framework stopped it. */
  error?: VzError;
}

/** One machine. Disposing of it pulls its plug and lets it go. */
export class VzMachine implements Disposable {
  /** For the caller to keep, and to put into the next configuration. */
  readonly identity: VzIdentity;
  /** Resolves when the guest turned itself off or the framework gave it up; never after `stop`. */
  readonly stopped: Promise<VzStop>;
  /** Called with what the framework says when the NIC loses its attachment. */
  onNetworkLost: (error: VzError) => void = () => {};
  readonly #port: Port;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #pump: Promise<void>;
  #token = 0;
  #closed = false;

  /** Only {@link VzLibrary.create} makes one. */
  constructor(port: Port, identity: VzIdentity) {
    this.#port = port;
    this.identity = identity;
    const { promise, resolve } = Promise.withResolvers<VzStop>();
    this.stopped = promise;
    this.#pump = this.#readEvents(resolve);
  }

  start(): Promise<void> {
    return this.#request(Operation.start);
  }
  /** Pulls the plug. */
  stop(): Promise<void> {
    return this.#request(Operation.stop);
  }
  /** Presses the power button. */
  requestStop(): Promise<void> {
    return this.#request(Operation.requestStop);
  }
  pause(): Promise<void> {
    return this.#request(Operation.pause);
  }
  resume(): Promise<void> {
    return this.#request(Operation.resume);
  }
  /** Saves the machine, which must be paused, to a file. */
  save(path: string): Promise<void> {
    return this.#request(Operation.save, path);
  }
  /** Restores a machine that has not been started from a file; it is paused then. */
  restore(path: string): Promise<void> {
    return this.#request(Operation.restore, path);
  }

  /** Shares these directories by the device that has the tag, in the place of those before. */
  share(directories: VzDirectories): Promise<void> {
    return this.#request(Operation.share, JSON.stringify(directories));
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#port.close();
  }

  /** Resolves once no thread waits for this machine any more, after it was disposed of. */
  get drained(): Promise<void> {
    return this.#pump;
  }

  #request(operation: number, argument?: string): Promise<void> {
    const token = ++this.#token;
    const outcome = Promise.withResolvers<void>();
    this.#waiting.set(token, outcome);
    if (this.#port.request(operation, token, argument) !== 0) this.#abandon();
    return outcome.promise;
  }

  async #readEvents(stopped: (stop: VzStop) => void): Promise<void> {
    for (let event; (event = await this.#port.nextEvent());) {
      const error = event.error && new VzError(event.error);
      if (event.type === "done") {
        const outcome = this.#waiting.get(event.token);
        this.#waiting.delete(event.token);
        if (error) outcome?.reject(error);
        else outcome?.resolve();
      } else if (event.type === "stopped") {
        stopped({ error });
      } else {
        this.onNetworkLost(error!);
      }
    }
    this.#abandon();
  }

  /** The machine is closed: nothing that was asked of it will be answered. */
  #abandon(): void {
    for (const outcome of this.#waiting.values()) {
      outcome.reject(new VzError({ domain: "vibe", code: 0, message: "the machine is closed" }));
    }
    this.#waiting.clear();
  }
}
