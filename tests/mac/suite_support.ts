/** What the tests of a build of the bridge have in common. */

import { deepStrictEqual as assertEquals, match } from "node:assert/strict";
import { VzLibrary, type VzMachine } from "../../ffi/machine.ts";
import { SYMBOLS } from "../../ffi/symbols.ts";
import { type VzConfig, VzError } from "../../ffi/types.ts";

/** A build of the bridge under test. */
export interface Build {
  path: string;
  /** It was compiled for a Mac that can save (the ELF build and arm64). */
  arm64Api: boolean;
  /** Exceptions can be thrown through it. */
  exceptions: boolean;
}

const DEBUG = {
  vibe_test_live_objects: { parameters: ["i32"], result: "i64" },
  vibe_test_wait_for_threads: { parameters: ["i32"], result: "i32", nonblocking: true },
  vibe_test_break_queue_rule: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Bytes. */
export const MIB = 1 << 20;

/** Sets variables of the double for the length of a test. */
export function scene(variables: Record<string, string>): Disposable {
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  return {
    [Symbol.dispose]() {
      for (const name of Object.keys(variables)) Deno.env.delete(name);
    },
  };
}

/** A machine with a console, and the host's end of that. */
export interface ConsoleSetup extends AsyncDisposable {
  machine: VzMachine;
  console: Deno.UnixConn;
}

/** One build, opened, with files for its machines. */
export class Bench {
  /** The least that makes a machine. */
  readonly base: VzConfig = { cpus: 2, memory: 512 * MIB, boot: { kernel: "/kernel" } };
  readonly debug: Deno.DynamicLibrary<typeof DEBUG>["symbols"];
  readonly raw: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
  readonly disk: string;

  private constructor(
    readonly name: string,
    readonly build: Build,
    readonly library: VzLibrary,
    readonly dir: string,
  ) {
    this.debug = Deno.dlopen(build.path, DEBUG).symbols;
    this.raw = Deno.dlopen(build.path, SYMBOLS).symbols;
    this.disk = `${dir}/disk.raw`;
  }

  static async open(name: string, build: Build): Promise<Bench> {
    const dir = await Deno.makeTempDir({ prefix: "vibe-mac-" });
    globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));
    const bench = new Bench(name, build, await VzLibrary.open(build.path), dir);
    await Deno.writeFile(bench.disk, new Uint8Array(4096));
    return bench;
  }

  test(what: string, body: () => Promise<void> | void): void {
    Deno.test(`${this.name}: ${what}`, body);
  }

  /** The error that creating a machine gives. */
  refused(config: unknown): VzError {
    try {
      using machine = this.library.create(config as VzConfig);
      throw new Error(`a machine was made: ${JSON.stringify(machine.identity)}`);
    } catch (error) {
      if (error instanceof VzError) return error;
      throw error;
    }
  }

  /** Expects that a change to the base configuration is refused. */
  refuse(change: Record<string, unknown>, setting: string | undefined, message: RegExp): void {
    const error = this.refused({ ...this.base, ...change });
    assertEquals(error.setting, setting, error.message);
    match(error.message, message);
  }

  async withConsole(config: Partial<VzConfig> = {}): Promise<ConsoleSetup> {
    const socket = `${this.dir}/console-${crypto.randomUUID().slice(0, 8)}`;
    using listener = Deno.listen({ transport: "unix", path: socket });
    const ports = [{ socket, console: true }, ...config.ports ?? []];
    const machine = this.library.create({ ...this.base, ...config, ports });
    const console = await listener.accept();
    return {
      machine,
      console,
      async [Symbol.asyncDispose]() {
        console.close();
        machine[Symbol.dispose]();
        await machine.drained;
      },
    };
  }
}

/** Sends text to the echoing guest and reads it back, which proves that it runs. */
export async function echo(console: Deno.UnixConn, text: string): Promise<void> {
  await console.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(100);
  const count = await console.read(buffer);
  assertEquals(new TextDecoder().decode(buffer.subarray(0, count ?? 0)), text);
}
