/** Scripts through a console: typed into a real shell on a real terminal, of this host. */

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node-pty";
import { Dialogue } from "../../lib/console/dialogue.ts";
import { ConsoleScript } from "../../lib/console/script.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A shell as it is at a guest's console. */
class Shell implements AsyncDisposable {
  /** All that it said. */
  said = "";
  readonly dialogue: Dialogue;
  readonly #dir: string;
  readonly #pty: ReturnType<typeof spawn>;
  readonly #ended = Promise.withResolvers<void>();
  #script: ConsoleScript | null = null;
  #shown: Uint8Array[] = [];

  private constructor(dir: string, spoil: (bytes: Uint8Array) => Uint8Array) {
    this.#dir = dir;
    this.#pty = spawn("bash", ["--norc", "--noprofile", "-i"], {
      cwd: dir,
      env: { PATH: Deno.env.get("PATH")!, TMPDIR: dir, HOME: dir, TERM: "xterm", PS1: "$ " },
      // Bytes, not text.
      encoding: null,
    });
    this.dialogue = new Dialogue((bytes) => {
      this.#pty.write(Buffer.from(spoil(bytes)));
      return Promise.resolve();
    });
    this.#pty.onData((data: Uint8Array) => this.#hear(data));
    this.#pty.onExit(() => this.#ended.resolve());
  }

  static async start(spoil = (bytes: Uint8Array) => bytes): Promise<Shell> {
    const shell = new Shell(await Deno.makeTempDir(), spoil);
    await shell.dialogue.wait(["$ "], 30_000);
    return shell;
  }

  /** What a script says, and its status. */
  async run(content: Uint8Array, readyMs?: number) {
    this.#script = new ConsoleScript("0a1b2c3d", false, readyMs);
    this.#shown = [];
    const status = await this.#script.run(this.dialogue, "it's a.sh", content, false);
    return { status, said: decoder.decode(await new Blob(this.#shown as BlobPart[]).bytes()) };
  }

  /** Names of files that are there. */
  get files(): string[] {
    return [...Deno.readDirSync(this.#dir)].map(({ name }) => name);
  }

  #hear(chunk: Uint8Array): void {
    this.said += decoder.decode(chunk);
    this.dialogue.hear(chunk);
    this.#shown.push(...this.#script?.hear(chunk) ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pty.kill("SIGKILL");
    await this.#ended.promise;
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** A script, and behind it what a terminal, a shell or a reader of lines would stumble over. */
function script(text: string): Uint8Array {
  const tail = Array.from({ length: 4096 }, (_, i) => i & 0xff);
  return Uint8Array.from([...encoder.encode(`${text}\nVIBE_EOF ' "\n`), ...tail]);
}

Deno.test("any bytes get there, only the script is seen, and nothing stays", async () => {
  await using shell = await Shell.start();
  const content = script('echo "${0##*/}"; wc -c <"$0"; printf "a\\nb"; cd; exit 7');
  deepStrictEqual(await shell.run(content), {
    status: 7,
    said: `it's a.sh\n${content.byteLength}\na\nb`,
  });
  // This line is all that the history holds, and the terminal echoes again.
  await shell.dialogue.send("echo $(history | wc -l) $(stty -a | grep -c ' echo ')-times");
  strictEqual(await shell.dialogue.wait(["1 1-times"], 30_000), 0, shell.said);
  deepStrictEqual(shell.files, []);
});

Deno.test("a script that arrives otherwise than it was sent is not run", async () => {
  // Somebody else's key in the middle.
  const spoil = (bytes: Uint8Array) =>
    bytes.byteLength > 4096 ? bytes.map((byte, i) => i === 3000 ? byte ^ 1 : byte) : bytes;
  await using shell = await Shell.start(spoil);
  await rejects(shell.run(script("touch ran; exit 0")), {
    code: "CONSOLE_SCRIPT",
    message: "Cannot run the script: it did not arrive whole in the guest",
  });
  await shell.dialogue.send("echo still''here");
  strictEqual(await shell.dialogue.wait(["stillhere"], 30_000), 0);
  deepStrictEqual(shell.files, []);
});

Deno.test("a shell that is busy is waited for, and not for ever", async () => {
  await using shell = await Shell.start();
  await shell.dialogue.send("sleep 1000");
  await rejects(shell.run(script("exit 0"), 300), (error: Error & { code: string }) => {
    strictEqual(error.code, "CONSOLE_BUSY");
    match(error.message, /^Waited 0\.3 seconds for a shell that takes the script "it's a\.sh"/);
    return true;
  });
});
