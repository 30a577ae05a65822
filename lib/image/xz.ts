/** Decompressing xz: by the system's own program where there is one, else by a library. */

import { printableLines } from "../errors.ts";
import { which } from "../process.ts";
import { BufferReader } from "./byte_source.ts";

/**
 * What a file may make the decoder allocate: it names the size of its dictionary itself. `xz -9`
 * takes 65 MiB, and nothing that people publish takes more.
 */
const MEMORY_LIMIT = "256MiB";

/** A decompressor at work. What is written to `input` comes out of `output`. */
export interface Xz {
  input: WritableStreamDefaultWriter<Uint8Array>;
  output: AsyncIterable<Uint8Array>;
  /** Call at the end of the output. @throws if what went in was damaged. */
  verify(): Promise<void>;
  /** Ends it at once; streams that are still in use fail. */
  kill(): void;
}

/** Starts a decompressor. */
export async function startXz(): Promise<Xz> {
  const program = await which("xz");
  return program ? systemXz(program) : await libraryXz();
}

function systemXz(program: string): Xz {
  const child = new Deno.Command(program, {
    // Several threads, as memory allows, for a file made of blocks; xz 5.4 and newer can.
    args: ["--decompress", "--stdout", "--threads=0", `--memlimit-decompress=${MEMORY_LIMIT}`],
    env: { LC_ALL: "C", XZ_OPT: "", XZ_DEFAULTS: "" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const complaint = new Response(child.stderr).text();
  return {
    input: child.stdin.getWriter(),
    output: new BufferReader(child.stdout),
    async verify() {
      const [{ success }, text] = await Promise.all([child.status, complaint]);
      if (!success) throw new Error(printableLines(text) || "xz was killed");
    },
    kill() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
    },
  };
}

/** WebAssembly, at two thirds of the system's speed. */
async function libraryXz(): Promise<Xz> {
  const { default: { XzReadableStream } } = await import("xz-decompress");
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
    // What is written is the caller's again as soon as the write resolves.
    transform: (chunk, controller) => controller.enqueue(chunk.slice()),
  });
  const input = writable.getWriter();
  return {
    input,
    output: new XzReadableStream(readable),
    // The stream itself fails when its input is damaged.
    verify: () => Promise.resolve(),
    kill: () => void input.abort(new Error("killed")).catch(() => {}),
  };
}
