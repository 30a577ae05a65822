/** `vibe cp`: files to the guest and back, as a tar stream through a program that the agent runs. */

import { basename, dirname, join, posix, resolve } from "node:path";
import type { Exec } from "../agent/client.ts";
import { ExitCode, printable, printableLines, reason, VibeError } from "../errors.ts";
import { isThere } from "../files.ts";
import { unpack } from "../host/unpack.ts";
import type { Attachment } from "../instance/attach.ts";
import type { Progress } from "../progress.ts";
import type { CliOptions } from "./options.ts";
import { printError } from "./output.ts";
import { progressFor, startHere } from "./session_commands.ts";
import { formatBytes } from "./units.ts";

/** What a program in the guest may say before the rest is dropped, in characters. */
const MAX_SAID = 4000;

/**
 * Unpacks beside the target and renames, so that what is there is whole. `$1` is the target, `$2` the
 * name of what comes.
 */
const RECEIVE = `
target=$1 name=$2
case $target in
*/) test -d "$target" || { echo "there is no directory \\"$target\\"" >&2; exit 1; } ;;
esac
test ! -d "$target" || target=\${target%/}/$name
test ! -d "$target" || { echo "\\"$target\\" is there already" >&2; exit 1; }
parent=$(dirname -- "$target")
aside=$(mktemp -d "$parent/.vibe-cp.XXXXXX") || exit 1
trap 'rm -rf -- "$aside"' EXIT
trap 'exit 1' HUP INT TERM
tar -x -p -f - --no-same-owner -C "$aside" && mv -T -- "$aside/$name" "$target"`;

/** A place on one side or the other. */
interface Place {
  side: "host" | "guest";
  path: string;
}

/** Copies each source to the target: `host:PATH` (or just a path) and `guest:PATH`. */
export async function copy(words: string[], options: CliOptions): Promise<number> {
  const places = words.map(parsePlace);
  const target = places.pop()!;
  const from = target.side === "host" ? "guest" : "host";
  if (places.some(({ side }) => side !== from)) {
    throw new VibeError(
      "COPY_SIDES",
      "Cannot copy: one side must be the guest, the other the host",
      {
        hint: "vibe cp FILE guest:/tmp/    or    vibe cp guest:/var/log/syslog .",
        exitCode: ExitCode.usage,
      },
    );
  }
  using progress = progressFor(options);
  using vm = await startHere(options, progress);
  using interrupt = onInterrupt();
  for (const { path } of places) {
    const work = { vm: vm.attachment, progress, signal: interrupt.signal };
    if (target.side === "guest") await send(work, path, target.path);
    else await receive(work, path, target.path);
    if (interrupt.signal.aborted) return ExitCode.interrupted;
  }
  return 0;
}

function parsePlace(word: string): Place {
  const [, side, path] = word.match(/^(host|guest):(.*)$/s) ?? [, "host", word];
  if (path) return { side: side as Place["side"], path };
  throw new VibeError("COPY_PATH", `Cannot copy "${printable(word)}": it names no path`, {
    exitCode: ExitCode.usage,
  });
}

interface Work {
  vm: Attachment;
  progress: Progress;
  signal: AbortSignal;
}

/** Host to guest. */
async function send(work: Work, path: string, target: string): Promise<void> {
  const source = resolve(path);
  const name = basename(source);
  await Deno.lstat(source).catch((error) => {
    const missing = error instanceof Deno.errors.NotFound;
    throw failed(path, missing ? "there is no such file or directory" : reason(error));
  });
  if (name === "") throw failed(path, "it is the whole file system");
  const holes = Deno.build.os === "linux" ? ["--sparse"] : [];
  const packer = new Deno.Command("tar", {
    args: ["-c", "-f", "-", ...holes, "-C", dirname(source), "--", `./${name}`],
    // Or macOS packs a file of its own beside each.
    env: { COPYFILE_DISABLE: "1", LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: work.signal,
  }).spawn();
  const said = new Response(packer.stderr).text();
  const receiver = start(work, ["sh", "-c", RECEIVE, "sh", target, name], () => {});
  let refused = false;
  receiver.exec.exit.finally(() => refused = true).catch(() => {});
  const meter = new Meter(work.progress, path);
  for await (const chunk of packer.stdout) {
    if (refused) break;
    await receiver.exec.write(chunk);
    meter.add(chunk.byteLength);
  }
  const early = refused;
  const packed = await packer.status;
  // An archive that ends too early makes the receiver fail, too, and leave nothing.
  if (packed.success || early) receiver.exec.closeStdin();
  else receiver.exec.hangup();
  const status = await receiver.exec.exit;
  meter.end();
  if (work.signal.aborted) return;
  if (!packed.success && !early) throw failed(path, printableLines(await said) || "tar failed");
  if (status.kind !== "exited" || status.code !== 0) {
    throw failed(path, receiver.said() || `tar failed in the guest`);
  }
}

/** Guest to host. */
async function receive(work: Work, path: string, target: string): Promise<void> {
  const source = posix.resolve("/root", path);
  const name = posix.basename(source);
  if (name === "") throw failed(path, "it is the whole file system");
  const place = await placeFor(path, target, name);
  const dir = await Deno.makeTempDir({ dir: dirname(place), prefix: ".vibe-cp-" }).catch(
    (error) => {
      throw failed(path, reason(error));
    },
  );
  try {
    const stream = new TransformStream<Uint8Array, Uint8Array>();
    const writer = stream.writable.getWriter();
    const meter = new Meter(work.progress, path);
    const argv = ["tar", "-c", "-f", "-", "-C", posix.dirname(source), "--", `./${name}`];
    const sender = start(work, argv, async (chunk) => {
      await writer.write(chunk);
      meter.add(chunk.byteLength);
    });
    const unpacked = unpack(stream.readable, dir).catch((error) => {
      sender.exec.hangup();
      return error;
    });
    const status = await sender.exec.exit;
    writer.close().catch(() => {});
    const result = await unpacked;
    meter.end();
    if (work.signal.aborted) return;
    // 1: a file changed while it was read.
    const sent = status.kind === "exited" && status.code <= 1;
    if (!sent && sender.said()) throw failed(path, sender.said());
    if (result instanceof Error) throw result;
    if (!sent) throw failed(path, "tar failed in the guest");
    const [left] = result.skipped;
    if (!isThere(join(dir, "content"))) {
      throw failed(path, left ? "it is a device or a pipe" : "nothing came");
    }
    await Deno.rename(join(dir, "content"), place).catch((error) => {
      throw failed(path, reason(error));
    });
    if (sender.said()) printError(`vibe: ${sender.said()}\n`);
    if (left) throw failed(path, `"${printable(left)}" is a device or a pipe; the rest is there`);
  } finally {
    await Deno.remove(dir, { recursive: true }).catch(() => {});
  }
}

/** Where something goes on the host. Nothing that is there is merged with what a guest sends. */
async function placeFor(path: string, target: string, name: string): Promise<string> {
  const isDirectory = (at: string) => Deno.stat(at).then((info) => info.isDirectory, () => false);
  const inside = await isDirectory(target);
  if (!inside && target.endsWith("/")) throw failed(path, `there is no directory "${target}"`);
  const place = inside ? join(target, name) : resolve(target);
  const there = await Deno.lstat(place).catch(() => null);
  if (there?.isDirectory) throw failed(path, `"${place}" is there already`);
  return place;
}

/** Starts a program in the guest, and remembers what it says on stderr. */
function start(
  { vm, signal }: Work,
  argv: string[],
  stdout: (chunk: Uint8Array) => Promise<void> | void,
): { exec: Exec; said(): string } {
  let said = "";
  const decoder = new TextDecoder();
  const exec = vm.agent.exec({ argv, stdin: true, env: ["LC_ALL=C"] }, {
    stdout: async (chunk) => await stdout(chunk),
    stderr: (chunk) => {
      said = (said + decoder.decode(chunk, { stream: true })).slice(0, MAX_SAID);
      return Promise.resolve();
    },
  });
  signal.addEventListener("abort", () => exec.hangup());
  return { exec, said: () => printableLines(said) };
}

/** How much has been copied. */
class Meter {
  readonly #progress: Progress;
  #bytes = 0;

  constructor(progress: Progress, path: string) {
    this.#progress = progress;
    progress.step(`Copying "${printable(path)}"`);
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    this.#progress.detail(formatBytes(this.#bytes));
  }

  end(): void {
    this.#progress.done();
  }
}

/** Ctrl-C ends the copy, and nothing of it is left. */
function onInterrupt(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const abort = () => controller.abort();
  Deno.addSignalListener("SIGINT", abort);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => Deno.removeSignalListener("SIGINT", abort),
  };
}

function failed(path: string, why: string): VibeError {
  return new VibeError("COPY_FAILED", `Cannot copy "${printable(path)}": ${why}`);
}
