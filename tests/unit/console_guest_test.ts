/** One console for several commands: who sees what, what is kept, how it ends. */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { AgentClient } from "../../lib/agent/client.ts";
import { FrameConnection } from "../../lib/agent/connection.ts";
import { type Frame, FrameType, ProtocolError } from "../../lib/agent/frame.ts";
import { FROM_CLIENT, FROM_SUPERVISOR } from "../../lib/agent/messages.ts";
import { BACKLOG, ConsoleStream } from "../../lib/instance/console_stream.ts";
import { ConsoleGuest } from "../../lib/instance/console_guest.ts";
import type { ByteStream, Vm } from "../../lib/driver/driver.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A VM whose console is a shell that answers as quickly as it can. */
class FakeVm {
  readonly typed: string[] = [];
  readonly port: string[] = [];
  /** Whether it starts the shell that it is asked for. */
  starts = true;
  #guest!: ConsoleGuest;
  #ended = Promise.withResolvers<{ reason: "poweroff"; detail: string }>();
  #nonce = "";

  readonly vm = {
    console: this.#stream((text) => this.#onTyped(text)),
    agent: this.#stream((text) => void this.port.push(text)),
    exited: this.#ended.promise,
  } as unknown as Vm;

  async boot(guest: ConsoleGuest): Promise<void> {
    this.#guest = guest;
    const served = guest.serve(this.vm);
    await this.say("\r\nplain login: ");
    await served;
  }

  async say(text: string): Promise<void> {
    await this.#guest.onConsole(encoder.encode(text));
  }

  async mark(kind: "start" | "end", status = 0): Promise<void> {
    const rest = kind === "start" ? "start" : `end;${status}`;
    await this.say(`\x1b]vibe;${this.#nonce};${rest}\x07`);
  }

  #stream(onText: (text: string) => void): ByteStream {
    return {
      read: () => new Promise(() => {}),
      write: (bytes) => {
        onText(decoder.decode(bytes));
        return Promise.resolve(bytes.byteLength);
      },
      close() {},
    };
  }

  #onTyped(text: string): void {
    this.typed.push(text);
    const echo = text.match(/echo vibe''-(\S+)/)?.[1];
    this.#nonce = text.match(/vibe;(\w+);start/)?.[1] ?? this.#nonce;
    const answer = text === "root\r" ? "# " : echo ? `vibe-${echo}\r\n` : null;
    if (answer) setTimeout(() => this.say(answer), 0);
    else if (this.starts && /vibe;\w+;start/.test(text)) setTimeout(() => this.mark("start"), 0);
  }
}

/** A command that is attached to the guest over a socket. */
async function attach(guest: ConsoleGuest) {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr as Deno.NetAddr;
  const [near, far] = await Promise.all([
    Deno.connect({ port, hostname: "127.0.0.1" }),
    listener.accept(),
  ]);
  listener.close();
  const supervisor = new FrameConnection(far, FROM_CLIENT);
  const command = new FrameConnection(near, FROM_SUPERVISOR);
  const client = guest.connect(supervisor);
  const agent = new AgentClient(command);
  const receiving = [
    supervisor.receive((frame) => client.onFrame(frame)).then(() => client.leave()),
    command.receive((frame) => agent.onFrame(frame)),
  ];
  return {
    agent,
    async [Symbol.asyncDispose]() {
      command.close();
      await receiving[0];
      supervisor.close();
      await receiving[1];
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 500) throw new Error("it never came");
    await new Promise((done) => setTimeout(done, 10));
  }
}

async function shell({ agent }: { agent: AgentClient }) {
  let seen = "";
  const sink = (chunk: Uint8Array) => {
    seen += decoder.decode(chunk);
    return Promise.resolve();
  };
  const request = { argv: [], stdin: true, pty: { rows: 40, columns: 120 }, env: ["TERM=tmux"] };
  const exec = agent.exec(request, { stdout: sink, stderr: sink });
  await Promise.resolve();
  return { exec, seen: () => seen };
}

Deno.test("two commands share one shell, and end with it", async () => {
  const [guest, fake] = [new ConsoleGuest([], "/root/p", () => {}), new FakeVm()];
  await using first = await attach(guest);
  const early = await shell(first);
  deepStrictEqual(await early.exec.exit, {
    kind: "failed",
    errno: 11,
    message: "the VM is not ready",
  });
  await fake.boot(guest);
  const one = await shell(first);
  await until(() => fake.typed.some((line) => line.includes(";start")));
  const line = fake.typed.at(-1)!;
  ok(/stty sane rows 40 cols 120/.test(line) && /TERM='tmux'/.test(line), line);
  strictEqual(guest.sessions().length, 1);
  await until(() => guest.sessions().length === 1);
  await new Promise((done) => setTimeout(done, 20));
  await fake.say("prompt# ");
  await until(() => one.seen() === "prompt# ");
  await using second = await attach(guest);
  const two = await shell(second);
  await until(() => two.seen() === "prompt# ");
  strictEqual(fake.port.at(-1), "size 40 120\n");
  two.exec.resize({ rows: 10, columns: 20 });
  await until(() => fake.port.at(-1) === "size 10 20\n");
  await two.exec.write(encoder.encode("ls\r"));
  one.exec.signal(2);
  await until(() => fake.typed.includes("\x03") && fake.typed.includes("ls\r"));
  const command = first.agent.exec({ argv: ["ls"], stdin: false }, {
    stdout: () => Promise.resolve(),
    stderr: () => Promise.resolve(),
  });
  strictEqual((await command.exit).kind, "failed");
  await using third = await attach(guest);
  const three = await shell(third);
  await until(() => three.seen() === "prompt# ");
  three.exec.closeStdin();
  deepStrictEqual(await three.exec.exit, { kind: "exited", code: 0 });
  ok(!fake.typed.includes("\x04"));
  await fake.say("bye\r\n");
  await fake.mark("end", 3);
  for (const { exec, seen } of [one, two]) {
    deepStrictEqual(await exec.exit, { kind: "exited", code: 3 });
    strictEqual(seen(), "prompt# bye\r\n");
  }
  strictEqual(guest.sessions().length, 0);
  strictEqual(await guest.powerOff(fake.vm), true);
  strictEqual(fake.port.at(-1), "off\n");
});

Deno.test("a shell that does not begin is not waited for without end", async () => {
  const [guest, fake] = [new ConsoleGuest([], null, () => {}, 50), new FakeVm()];
  await fake.boot(guest);
  fake.starts = false;
  await using command = await attach(guest);
  deepStrictEqual(await (await shell(command)).exec.exit, {
    kind: "failed",
    errno: 5,
    message: "Waited 0.05 seconds for a shell at the console in vain",
  });
  // The next one may.
  fake.starts = true;
  const { exec } = await shell(command);
  await until(() => guest.sessions().length === 1);
  await new Promise((done) => setTimeout(done, 100));
  await fake.mark("end", 3);
  deepStrictEqual(await exec.exit, { kind: "exited", code: 3 });
});

Deno.test("the end of the only input is typed until the shell has ended", async () => {
  const [guest, fake] = [new ConsoleGuest([], null, () => {}), new FakeVm()];
  await fake.boot(guest);
  await using command = await attach(guest);
  const { exec } = await shell(command);
  await until(() => fake.typed.some((line) => line.includes(";start")));
  await exec.write(encoder.encode("make"));
  exec.closeStdin();
  // The first may be lost on a program that runs.
  await until(() => fake.typed.slice(-4).join("|") === "make|\r|\x04|\x04");
  await fake.mark("end", 5);
  deepStrictEqual(await exec.exit, { kind: "exited", code: 5 });
  const typed = fake.typed.length;
  await new Promise((done) => setTimeout(done, 700));
  strictEqual(fake.typed.length, typed);
});

/** A stream whose frames are kept. */
function kept(credit: number) {
  const frames: { type: number; bytes: number }[] = [];
  const connection = {
    send: (_id: number, type: number, payload: Uint8Array) =>
      frames.push({ type, bytes: payload.byteLength }),
  } as unknown as FrameConnection;
  let room = 0;
  const stream = new ConsoleStream(connection, 1, credit, () => room++);
  const sent = () => frames.filter(({ type }) => type === FrameType.stdout);
  return { stream, frames, sent, room: () => room };
}

Deno.test("what a command does not take is kept within bounds, and nothing beyond its credit", () => {
  const { stream, sent, room } = kept(100);
  const chunk = new Uint8Array(4096);
  for (let at = 0; at < 2 * BACKLOG; at += chunk.byteLength) stream.push(chunk);
  strictEqual(sent().reduce((sum, { bytes }) => sum + bytes, 0), 100);
  ok(stream.full);
  strictEqual(room(), 0);
  stream.addCredit(BACKLOG);
  strictEqual(room(), 1);
  stream.addCredit(10 * BACKLOG);
  const total = sent().reduce((sum, { bytes }) => sum + bytes, 0);
  ok(total > BACKLOG && total <= BACKLOG + (64 << 10) + 100, String(total));
});

Deno.test("the end comes behind all that was said before it", () => {
  const { stream, frames } = kept(0);
  stream.push(encoder.encode("last words"));
  stream.end(Uint8Array.of(0, 0, 0, 0, 3, 0, 0, 0));
  strictEqual(frames.length, 0);
  stream.addCredit(5);
  deepStrictEqual(frames, [{ type: FrameType.stdout, bytes: 5 }]);
  stream.addCredit(5);
  deepStrictEqual(frames.slice(1), [{ type: FrameType.stdout, bytes: 5 }, {
    type: FrameType.exit,
    bytes: 8,
  }]);
});

Deno.test("a console that no command takes waits; one that falls behind holds nobody up", async () => {
  const [guest, fake] = [new ConsoleGuest([], null, () => {}), new FakeVm()];
  await fake.boot(guest);
  const stuck = guest.connect({ send() {} } as unknown as FrameConnection);
  const credit = new Uint8Array(20);
  stuck.onFrame({ stream: 1, type: FrameType.exec, payload: concat(credit, "\0\0") });
  await until(() => fake.typed.some((line) => line.includes(";start")));
  await new Promise((done) => setTimeout(done, 20));
  const flood = "x".repeat(BACKLOG + 1);
  let through = false;
  const saying = fake.say(flood).then(() => through = true);
  await new Promise((done) => setTimeout(done, 20));
  ok(!through);
  await using other = await attach(guest);
  const { exec, seen } = await shell(other);
  await new Promise((done) => setTimeout(done, 20));
  stuck.leave();
  await saying;
  await fake.say("more");
  await until(() => seen().endsWith("more"));
  await fake.mark("end", 0);
  await exec.exit;
});

Deno.test("frames that make no sense are refused", async () => {
  const [guest, fake] = [new ConsoleGuest([], null, () => {}), new FakeVm()];
  await fake.boot(guest);
  const client = guest.connect({ send() {} } as unknown as FrameConnection);
  const frame = (stream: number, type: number, payload = new Uint8Array()): Frame =>
    ({ stream, type, payload }) as Frame;
  const exec = concat(new Uint8Array(20), "\0\0");
  client.onFrame(frame(1, FrameType.exec, exec));
  throws(() => client.onFrame(frame(1, FrameType.exec, exec)), ProtocolError);
  throws(() => client.onFrame(frame(2, FrameType.stdin)), ProtocolError);
  throws(() => client.onFrame(frame(1, FrameType.mount)), ProtocolError);
  throws(
    () => client.onFrame(frame(2, FrameType.exec, concat(new Uint8Array(20), "x"))),
    ProtocolError,
  );
  await rejects(
    new ConsoleGuest([], null, () => {}).serve({ exited: Promise.resolve() } as unknown as Vm),
    {
      code: "VM_ENDED",
    },
  );
});

function concat(head: Uint8Array, text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array([...head, ...encoder.encode(text)]);
}
