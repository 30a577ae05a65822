/** Commands and a guest agent, both played by the test, around a real hub. */

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { AgentClient } from "../../lib/agent/client.ts";
import { FrameConnection } from "../../lib/agent/connection.ts";
import { type Frame, FrameType, ProtocolError } from "../../lib/agent/frame.ts";
import {
  Channel,
  decodeExit,
  encodeCredit,
  encodeFailure,
  execCredits,
  FROM_CLIENT,
  FROM_SUPERVISOR,
} from "../../lib/agent/messages.ts";
import { waitForGuestWork } from "../../lib/instance/guest_work.ts";
import { Hub } from "../../lib/instance/hub.ts";
import { streamPair } from "../support/memory_stream.ts";

/** The types the hub sends to an agent. */
const TO_GUEST = new Map([...FROM_CLIENT, [FrameType.mount, 5000], [FrameType.poweroff, 1]]);

/** A hub with an agent that the test plays: `sent` holds what reached the guest. */
function guest() {
  const [hubEnd, guestEnd] = streamPair();
  const sent: Frame[] = [];
  let arrived = Promise.withResolvers<void>();
  new FrameConnection(guestEnd, TO_GUEST).receive((frame) => {
    sent.push({ ...frame, payload: frame.payload.slice() });
    arrived.resolve();
    arrived = Promise.withResolvers();
  });
  const hub = new Hub();
  const agent = new FrameConnection(hubEnd, FROM_SUPERVISOR);
  hub.attachAgent(agent);
  hub.accepting = true;
  const next = async (type: number): Promise<Frame> => {
    for (;;) {
      const at = sent.findIndex((frame) => frame.type === type);
      if (at >= 0) return sent.splice(at, 1)[0];
      await arrived.promise;
    }
  };
  return { hub, next, sent, agent };
}

/** A command attached to the hub. */
function command(hub: Hub) {
  const [hubEnd, commandEnd] = streamPair();
  const connection = new FrameConnection(hubEnd, FROM_CLIENT);
  const client = hub.addClient(connection);
  const broken = connection.receive((frame) => hub.onClientFrame(client, frame));
  const own = new FrameConnection(commandEnd, FROM_SUPERVISOR);
  const agent = new AgentClient(own);
  own.receive((frame) => agent.onFrame(frame)).catch((error) => agent.abort(error));
  return { client, agent, broken, connection: own };
}

function collector() {
  const out = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof out) => (chunk: Uint8Array) => {
    out[name] += new TextDecoder().decode(chunk);
    return Promise.resolve();
  };
  return { out, sinks: { stdout: sink("stdout"), stderr: sink("stderr") } };
}

const text = (s: string) => new TextEncoder().encode(s);
const exited = (code: number) => new Uint8Array([0, 0, 0, 0, code, 0, 0, 0]);
const frame = (stream: number, type: number, payload: Uint8Array = new Uint8Array()) => ({
  stream,
  type,
  payload,
});

Deno.test("two commands with the same stream number stay apart", async () => {
  const { hub, next } = guest();
  const [a, b] = [command(hub), command(hub)];
  const [outA, outB] = [collector(), collector()];
  const execA = a.agent.exec({ argv: ["a"], stdin: true }, outA.sinks);
  const first = await next(FrameType.exec);
  const execB = b.agent.exec({ argv: ["b"], stdin: true }, outB.sinks);
  const second = await next(FrameType.exec);
  strictEqual(second.stream, first.stream + 1);
  hub.onAgentFrame(frame(second.stream, FrameType.stdout, text("to b")));
  hub.onAgentFrame(frame(first.stream, FrameType.stderr, text("to a")));
  hub.onAgentFrame(frame(first.stream, FrameType.exit, exited(7)));
  hub.onAgentFrame(frame(second.stream, FrameType.exit, exited(0)));
  deepStrictEqual(await execA.exit, { kind: "exited", code: 7 });
  deepStrictEqual(await execB.exit, { kind: "exited", code: 0 });
  deepStrictEqual([outA.out, outB.out], [
    { stdout: "", stderr: "to a" },
    { stdout: "to b", stderr: "" },
  ]);
});

Deno.test("input waits for credit and its end follows it", async () => {
  const { hub, next } = guest();
  const { agent } = command(hub);
  const exec = agent.exec({ argv: ["cat"], stdin: true }, collector().sinks);
  const { stream } = await next(FrameType.exec);
  const writing = exec.write(new Uint8Array((256 << 10) + 1)).then(() => exec.closeStdin());
  let bytes = 0;
  while (bytes < 256 << 10) bytes += (await next(FrameType.stdin)).payload.byteLength;
  strictEqual(bytes, 256 << 10);
  hub.onAgentFrame(frame(stream, FrameType.credit, encodeCredit(Channel.stdin, 1000)));
  strictEqual((await next(FrameType.stdin)).payload.byteLength, 1);
  await next(FrameType.eof);
  await writing;
});

Deno.test("a command that dies is hung up in the guest, and its late output is dropped", async () => {
  const { hub, next } = guest();
  const { agent, client } = command(hub);
  agent.exec({ argv: ["sleep"], stdin: false }, collector().sinks);
  const { stream } = await next(FrameType.exec);
  hub.removeClient(client);
  strictEqual((await next(FrameType.hangup)).stream, stream);
  hub.onAgentFrame(frame(stream, FrameType.stdout, text("nobody reads this")));
  hub.onAgentFrame(frame(stream, FrameType.exit, exited(0)));
  throws(() => hub.onAgentFrame(frame(stream, FrameType.exit, exited(0))), ProtocolError);
});

Deno.test("the guest is held to the protocol", async () => {
  const cases: [string, (stream: number) => Frame][] = [
    ["a stream nobody opened", () => frame(99, FrameType.stdout, text("x"))],
    ["stream 0", () => frame(0, FrameType.exit, exited(0))],
    ["a short exit", (s) => frame(s, FrameType.exit, new Uint8Array(3))],
    ["an exit of unknown kind", (s) => frame(s, FrameType.exit, new Uint8Array(8).fill(9))],
    [
      "credit for its own output",
      (s) => frame(s, FrameType.credit, encodeCredit(Channel.stdout, 1)),
    ],
    ["a second hello on a stream", (s) => frame(s, FrameType.hello, text("VIBE\x01\0\0\0"))],
  ];
  for (const [what, make] of cases) {
    const { hub, next } = guest();
    command(hub).agent.exec({ argv: ["x"], stdin: false }, collector().sinks);
    const { stream } = await next(FrameType.exec);
    throws(() => hub.onAgentFrame(make(stream)), ProtocolError, what);
  }
});

Deno.test("output beyond the credit ends it; output within flows on as credit comes", async () => {
  const { hub, next } = guest();
  let taken = 0;
  const slow = Promise.withResolvers<void>();
  const sinks = {
    stdout: async (chunk: Uint8Array) => {
      await slow.promise;
      taken += chunk.byteLength;
    },
    stderr: () => Promise.resolve(),
  };
  command(hub).agent.exec({ argv: ["yes"], stdin: false }, sinks);
  const exec = await next(FrameType.exec);
  const { stdout } = execCredits(exec.payload);
  const chunk = new Uint8Array(64 << 10);
  for (let sent = 0; sent < stdout; sent += chunk.byteLength) {
    hub.onAgentFrame(frame(exec.stream, FrameType.stdout, chunk));
  }
  throws(() => hub.onAgentFrame(frame(exec.stream, FrameType.stdout, chunk)), /beyond its credit/);
  strictEqual(taken, 0);
  slow.resolve();
  await next(FrameType.credit);
  ok(taken >= stdout / 4);
});

Deno.test("a reader that leaves does not stop the flow: the rest is taken and dropped", async () => {
  const { hub, next } = guest();
  const sinks = {
    stdout: () => Promise.reject(new Error("EPIPE")),
    stderr: collector().sinks.stderr,
  };
  const exec = command(hub).agent.exec({ argv: ["yes"], stdin: false }, sinks);
  const { stream } = await next(FrameType.exec);
  const chunk = new Uint8Array(64 << 10);
  for (let round = 0; round < 3; round++) {
    for (let sent = 0; sent < 256 << 10; sent += chunk.byteLength) {
      hub.onAgentFrame(frame(stream, FrameType.stdout, chunk));
    }
    await next(FrameType.credit);
  }
  hub.onAgentFrame(frame(stream, FrameType.exit, exited(0)));
  deepStrictEqual(await exec.exit, { kind: "exited", code: 0 });
});

Deno.test("requests are answered, and fail with the agent", async () => {
  const { hub, next } = guest();
  const mount = hub.request(FrameType.mount, text("\0name\0/path\0"));
  const { stream } = await next(FrameType.mount);
  hub.onAgentFrame(frame(stream, FrameType.exit, encodeFailure(2, "no such share")));
  deepStrictEqual(await mount, { kind: "failed", errno: 2, message: "no such share" });
  const exec = command(hub).agent.exec({ argv: ["x"], stdin: false }, collector().sinks);
  await next(FrameType.exec);
  hub.detachAgent("it started anew");
  deepStrictEqual(await exec.exit, { kind: "failed", errno: 5, message: "it started anew" });
  throws(() => hub.request(FrameType.poweroff, new Uint8Array(1)), /not connected/);
});

Deno.test("work in the guest is asked for again when the agent was started anew", async () => {
  const { hub, next, agent } = guest();
  let held = 0;
  const none = waitForGuestWork(hub, () => held++);
  const first = await next(FrameType.exec);
  hub.onAgentFrame(frame(first.stream, FrameType.stdout, text("held\n")));
  hub.attachAgent(agent);
  const second = await next(FrameType.exec);
  hub.onAgentFrame(frame(second.stream, FrameType.exit, exited(0)));
  await none;
  strictEqual(held, 1);
  hub.loseAgent();
  await waitForGuestWork(hub, () => held++);
  strictEqual(held, 1);
});

Deno.test("nothing can be started before the VM is ready", async () => {
  const { hub, sent } = guest();
  hub.accepting = false;
  const exec = command(hub).agent.exec({ argv: ["x"], stdin: false }, collector().sinks);
  deepStrictEqual(await exec.exit, { kind: "failed", errno: 11, message: "the VM is not ready" });
  deepStrictEqual(sent, []);
});

Deno.test("a command is held to the protocol, too", async () => {
  const { hub } = guest();
  const cases = [
    frame(5, FrameType.stdin, text("x")),
    frame(0, FrameType.eof),
  ];
  for (const { stream, type, payload } of cases) {
    const { broken, connection } = command(hub);
    connection.send(stream, type, payload);
    await broken.then(() => ok(false), (error) => ok(error instanceof ProtocolError));
  }
});

Deno.test("EXIT payloads decode to what happened", () => {
  const payload = (kind: number, value: number) => {
    const bytes = new Uint8Array(8);
    bytes[0] = kind;
    new DataView(bytes.buffer).setInt32(4, value, true);
    return bytes;
  };
  deepStrictEqual(decodeExit(payload(0, 255)), { kind: "exited", code: 255 });
  deepStrictEqual(decodeExit(payload(1, 9)), { kind: "signaled", signal: 9 });
  deepStrictEqual(decodeExit(payload(2, 13)), { kind: "failed", errno: 13, message: "" });
});
