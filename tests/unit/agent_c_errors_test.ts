/** Hosts that break the protocol: the C agent says so, ends its programs and itself. */

import {
  deepStrictEqual as assertEquals,
  match as assertMatch,
  ok as assert,
} from "node:assert/strict";
import { encodeFrame, FrameType } from "../../lib/agent/frame.ts";
import { agentProgram, compile, exec, fields, Guest, hello, join } from "./agent_c/guest.ts";
import { randomFrom } from "../support/random.ts";
import { mutated, SANITIZED } from "./agent_c/mutate.ts";

const linux = { ignore: Deno.build.os !== "linux" };

const BROKEN: [string, Uint8Array, RegExp][] = [
  ["no HELLO", exec(1, { argv: ["true"] }), /no HELLO/],
  ["unknown type", join(hello(), encodeFrame(1, 99)), /unexpected frame type/],
  ["a guest's frame", join(hello(), encodeFrame(1, FrameType.exit)), /unexpected frame type/],
  ["a stream that was not opened", join(hello(), encodeFrame(7, FrameType.eof)), /not opened/],
  [
    "a number used twice",
    join(hello(), exec(2, { argv: ["cat"], stdin: true }), exec(2, { argv: ["cat"] })),
    /used twice/,
  ],
  ["the connection's own stream", join(hello(), encodeFrame(0, FrameType.eof)), /wrong kind/],
  [
    "input beyond its credit",
    join(
      hello(),
      exec(1, { argv: ["sleep", "1000"], stdin: true }),
      ...Array.from({ length: 64 }, () => encodeFrame(1, FrameType.stdin, new Uint8Array(65536))),
    ),
    /beyond its credit/,
  ],
  [
    "credit for stdin",
    join(
      hello(),
      exec(1, { argv: ["cat"], stdin: true }),
      encodeFrame(1, FrameType.credit, fields([4, 1], [1, 0])),
    ),
    /credit for a channel/,
  ],
  [
    "strings that do not end",
    join(hello(), encodeFrame(1, FrameType.exec, new Uint8Array(30).fill(1))),
    /strings/,
  ],
  [
    "more strings than told",
    join(hello(), encodeFrame(1, FrameType.exec, new Uint8Array(30))),
    /strings/,
  ],
  ["a foreign version", hello(2), /version 2/],
  ["the end inside a frame", hello().subarray(0, 11), /ended inside a frame/],
];

for (const [what, bytes, complaint] of BROKEN) {
  Deno.test(`agent: ends at ${what}`, linux, async () => {
    const guest = new Guest(await agentProgram());
    await guest.write(bytes);
    const { code, stderr } = what.startsWith("the end") ? await guest.close() : await guest.ended();
    assertMatch(stderr, complaint);
    assertEquals(code, 1);
  });
}

/** Harmless whatever it turns into: nothing here is a command of a shell. */
function traffic(): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const id of [1, 2, 3]) {
    const pty = id === 2 ? { rows: 24, columns: 80 } : undefined;
    frames.push(
      exec(id, {
        argv: ["cat", "/proc/version", "-"],
        env: ["A=b"],
        stdin: true,
        pty,
        credit: 100,
      }),
      encodeFrame(id, FrameType.stdin, new Uint8Array(300).fill(10)),
      encodeFrame(id, FrameType.credit, fields([4, 65536], [1, 1])),
      encodeFrame(id, FrameType.resize, fields([2, 50], [2, 132])),
      encodeFrame(id, FrameType.signal, fields([1, 18])),
      encodeFrame(id, FrameType.eof),
      encodeFrame(id, FrameType.terminate, fields([4, 60_000])),
      encodeFrame(id, FrameType.hangup),
    );
  }
  frames.push(exec(4, { argv: ["no-such-program"] }), hello());
  return frames;
}

Deno.test("agent: 200 mutated connections, with sanitizers", linux, async () => {
  const directory = await Deno.makeTempDir();
  try {
    const program = await compile(directory, SANITIZED);
    const random = randomFrom(42);
    let refused = 0;
    for (let i = 0; i < 200; i++) {
      const guest = new Guest(program);
      await guest.write(join(hello(), mutated(traffic(), random), mutated(traffic(), random)));
      const { code, stderr } = await guest.close();
      assertMatch(stderr, /^(vibe-agent: the host .*\n)?$/, `connection ${i}`);
      assertEquals(code, stderr === "" ? 0 : 1);
      refused += code;
    }
    assert(refused > 50 && refused < 200);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
