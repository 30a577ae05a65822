/** What the C agent does for its host, over pipes (`vibe-agent --stdio`). */

import {
  deepStrictEqual as assertEquals,
  match as assertMatch,
  ok as assert,
} from "node:assert/strict";
import { FrameType } from "../../lib/agent/frame.ts";
import { agentProgram, type ExecOptions, fields, Guest, join } from "./agent_c/guest.ts";

const linux = { ignore: Deno.build.os !== "linux" };
const EXITED = 0, KILLED = 1, FAILED = 2;
const ENOENT = 2, EPERM = 1, EMFILE = 24;
const SIGHUP = 1, SIGINT = 2, SIGKILL = 9, SIGTERM = 15;
const pty = { rows: 24, columns: 80 };

/** A test with an agent that has to leave without complaint. */
function test(name: string, body: (guest: Guest) => Promise<void>): void {
  Deno.test(`agent: ${name}`, linux, async () => {
    const guest = await Guest.start(await agentProgram());
    let ended;
    try {
      await body(guest);
    } finally {
      ended = await guest.close();
    }
    assertEquals(ended, { code: 0, stderr: "" });
  });
}

function sh(script: string) {
  return { argv: ["sh", "-c", script] };
}

/** True while a process runs; a zombie does not. */
async function alive(pid: number): Promise<boolean> {
  const status = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
  return status !== "" && !/^\d+ \(.*\) Z/.test(status);
}

test("greets with its version and build", async (guest) => {
  const text = new TextDecoder().decode(guest.hellos[0]);
  assertMatch(text, /^VIBE\x01\0\0\0vibe-agent \S+ Linux \S+$/);
  assertEquals(guest.hellos.length, 1);
  await Promise.resolve();
});

test("exit statuses and signals", async (guest) => {
  assertEquals((await guest.run({ argv: ["true"] })).exit, { kind: EXITED, value: 0, text: "" });
  assertEquals((await guest.run(sh("exit 37"))).exit, { kind: EXITED, value: 37, text: "" });
  assertEquals((await guest.run(sh("kill -9 $$"))).exit, { kind: KILLED, value: 9, text: "" });
});

test("what cannot be started", async (guest) => {
  const fails = async (options: ExecOptions, value: number, text: string) =>
    assertEquals((await guest.run(options)).exit, { kind: FAILED, value, text });
  for (const terminal of [undefined, pty]) {
    await fails({ argv: ["no-such-program"], pty: terminal }, ENOENT, "run the program");
    await fails({ argv: ["/no/such/program"], pty: terminal }, ENOENT, "run the program");
  }
  await fails({ argv: ["/"] }, 13, "run the program");
  await fails({ argv: ["true"], user: "no-such-user" }, ENOENT, "find the user");
  await fails({ argv: ["true"], cwd: "/no/such" }, ENOENT, "enter the directory");
  await fails({ argv: ["true", "x".repeat(200_000)] }, 7, "run the program");
});

test("output and errors stay apart", async (guest) => {
  const run = await guest.run(sh("echo out; echo err >&2; printf more"));
  assertEquals(run.text, "out\nmore");
  assertEquals(new TextDecoder().decode(join(...run.stderr)), "err\n");
});

test("arguments, directory and environment arrive as they were given", async (guest) => {
  const argv = ["sh", "-c", 'printf "%s|" "$0" "$@" "$PWD" "$A" "$PATH" "$LANG" "$USER"'];
  const run = await guest.run({
    argv: [...argv, "", "a b", "ü\n"],
    cwd: "/proc",
    env: ["A=1=2", "USER=me", "PATH=/usr/bin:/bin"],
  });
  assertEquals(run.text, "|a b|ü\n|/proc|1=2|/usr/bin:/bin|C.UTF-8|me|");
});

test("the environment's defaults are the account's", async (guest) => {
  const passwd = await Deno.readTextFile("/etc/passwd");
  const entries = passwd.split("\n").map((entry) => entry.split(":"));
  const uid = `${Deno.uid()}`;
  // Name and home of a number without an entry; an empty shell is /bin/sh.
  const entry = entries.find((entry) => entry[2] === uid) ?? [uid, "", uid, uid, "", "/", ""];
  const run = await guest.run({ argv: ["env"] });
  const env = new Map(
    run.text.trimEnd().split("\n").map((l) => l.split("=", 2) as [string, string]),
  );
  assertEquals(env.get("USER"), entry[0]);
  assertEquals(env.get("LOGNAME"), entry[0]);
  assertEquals(env.get("HOME"), entry[5]);
  assertEquals(env.get("SHELL"), entry[6] || "/bin/sh");
  assertEquals([...env.keys()].sort().join(), "HOME,LANG,LOGNAME,PATH,SHELL,USER");
  const home = await Deno.stat(entry[5]).then(() => entry[5], () => "/");
  assertEquals((await guest.run({ argv: ["pwd"] })).text, home + "\n");
});

test("the login shell", async (guest) => {
  const run = await guest.exec({ argv: [], stdin: true });
  await run.input("echo $0 $((40 + 2))\n", true);
  assertEquals((await run.ended()).kind, EXITED);
  assertMatch(run.text, /^-\S+ 42\n$/m);
});

test("programs of another user", async (guest) => {
  if (Deno.uid() === 0) {
    const run = await guest.run({ ...sh("id -u; id -un; id -G; echo $HOME"), user: "daemon" });
    assertEquals(run.text, "1\ndaemon\n1\n/usr/sbin\n");
    const number = await guest.run({ ...sh("id -u; id -g; pwd"), user: "54321" });
    assertEquals(number.text, "54321\n54321\n/\n");
    const named = await guest.run({ ...sh("stat -c %U $(tty)"), user: "daemon", pty });
    assertEquals(named.text, "daemon\r\n");
  } else {
    const { exit } = await guest.run({ argv: ["true"], user: "root" });
    assertEquals(exit, { kind: FAILED, value: EPERM, text: "become the user" });
  }
});

test("without stdin a program reads end-of-file", async (guest) => {
  assertEquals((await guest.run({ argv: ["cat"] })).exit.value, 0);
  assertEquals((await guest.run({ argv: ["cat"], pty })).exit.value, 0);
});

test("stdin ends with EOF", async (guest) => {
  const run = await guest.exec({ argv: ["cat"], stdin: true });
  await run.input("first ");
  await run.sees("first ");
  await run.input("second", true);
  assertEquals((await run.ended()).value, 0);
  assertEquals(run.text, "first second");
});

test("10 MB through cat, every byte value, by credit", async (guest) => {
  const data = new Uint8Array(10_000_000).map((_, i) => (i * 7 + (i >> 11)) & 0xff);
  const run = await guest.exec({ argv: ["cat"], stdin: true, credit: 300_000 });
  await run.input(data, true);
  assertEquals((await run.ended()).value, 0);
  assert(join(...run.stdout).every((byte, i) => byte === data[i]));
  assertEquals(run.received, data.byteLength);
});

test("a program that does not read its stdin does not stop the host", async (guest) => {
  const run = await guest.exec({ ...sh("exec <&-; read line <&2; echo $line"), stdin: true });
  await run.input(new Uint8Array(2_000_000), true);
  assertEquals((await run.ended()).kind, EXITED);
});

test("credit for input comes in lumps", async (guest) => {
  const run = await guest.exec({ argv: ["cat"], stdin: true });
  const before = run.credit;
  await run.input("a key\n");
  await run.sees("a key\n");
  assertEquals(run.credit, before - 6);
  await run.input(new Uint8Array(70_000), true);
  await run.ended();
  assert(run.credit > before - 40_000);
});

test("never more output than credit", async (guest) => {
  const run = await guest.exec({ ...sh("yes | head -c 200000"), credit: 1000, manualCredit: true });
  await guest.until(() => run.received >= 1000);
  // Whatever the agent does wrong, it does before the end of another program.
  await guest.run(sh("sleep 0.1"));
  assertEquals(run.received, 1000);
  await run.send(FrameType.credit, fields([4, 70_001], [1, 1]));
  await guest.until(() => run.received >= 71_001);
  await guest.run(sh("sleep 0.1"));
  assertEquals([run.received, run.exit], [71_001, null]);
  await run.send(FrameType.credit, fields([4, 1 << 30], [1, 1]));
  await run.ended();
  assertEquals(run.received, 200_000);
});

test("credit that is used up by the last byte does not hold EXIT", async (guest) => {
  for (const terminal of [undefined, pty]) {
    const options = { argv: ["printf", "12345"], pty: terminal, credit: 5, manualCredit: true };
    assertEquals((await guest.run(options)).text, "12345");
  }
  const none = await guest.run({ argv: ["true"], pty, credit: 0 });
  assertEquals(none.exit.value, 0);
});

test("size of the terminal", async (guest) => {
  const run = await guest.exec({
    ...sh("stty size; trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.05; done"),
    pty: { rows: 33, columns: 121 },
  });
  await run.sees("33 121\r\nready\r\n");
  await run.send(FrameType.resize, fields([2, 50], [2, 132]));
  assertEquals(await run.ended(), { kind: EXITED, value: 5, text: "" });
  assertEquals(run.text, "33 121\r\nready\r\n50 132\r\n");
});

test("typing at a terminal: ^C, ^D and a program's own input", async (guest) => {
  const run = await guest.exec({
    ...sh(
      "trap 'echo caught' INT; tty; echo ready; until read line; do :; done; echo got $line; cat; echo end",
    ),
    pty,
    stdin: true,
  });
  await run.sees("ready\r\n");
  assertMatch(run.text, /^\/dev\/pts\/\d+\r\n/);
  await run.input("\x03");
  await run.sees("caught");
  await run.input("typed\n");
  await run.sees("got typed\r\n");
  // In the middle of a line, so that one ^D would not do.
  await run.input("partial", true);
  assertEquals((await run.ended()).value, 0);
  assertMatch(run.text, /partial\r?\n?.*end\r\n$/s);
});

test("SIGNAL reaches the foreground of a terminal, and the group of a program", async (guest) => {
  for (const terminal of [undefined, pty]) {
    const run = await guest.exec({
      ...sh("sleep 1000 & echo ready; wait; echo no"),
      pty: terminal,
    });
    await run.sees("ready");
    await run.send(FrameType.signal, fields([1, SIGTERM]));
    assertEquals(await run.ended(), { kind: KILLED, value: SIGTERM, text: "" });
  }
  const bash = { argv: ["bash", "--norc", "-i"], env: ["PS1=type> "], pty, stdin: true };
  const shell = await guest.exec(bash);
  // bash drops what is typed before its prompt.
  const prompts = (count: number) =>
    guest.until(() => shell.text.split("type> ").length > count || shell.exit !== null);
  await prompts(1);
  // One process that says something and then waits: dash loses a SIGINT while it starts another.
  await shell.input("cat /proc/version -\n");
  await shell.sees("Linux version");
  await shell.send(FrameType.signal, fields([1, SIGINT]));
  await prompts(2);
  await shell.input("exit $?\n");
  assertEquals((await shell.ended()).value, 128 + SIGINT);
});

test("what runs on in the background does not hold EXIT", async (guest) => {
  for (const terminal of [undefined, pty]) {
    const script = "trap '' HUP; sleep 1000 & echo $!; head -c 100000 /dev/zero";
    const run = await guest.run({ ...sh(script), pty: terminal, credit: 4096 });
    const pid = parseInt(run.text);
    assertEquals(run.exit.value, 0);
    assertEquals(run.received, `${pid}`.length + (terminal ? 2 : 1) + 100_000);
    assert(await alive(pid));
    Deno.kill(pid, "SIGKILL");
  }
  const flood = await guest.run(sh("yes & echo; echo $! >&2"));
  Deno.kill(+new TextDecoder().decode(join(...flood.stderr)), "SIGKILL");
});

test("HANGUP ends a program, at last by SIGKILL", async (guest) => {
  const script = "trap '' HUP TERM; echo ready; while :; do echo more; sleep 0.01; done";
  await Promise.all([undefined, pty].map(async (terminal) => {
    const polite = await guest.exec({ ...sh("echo ready; exec sleep 1000"), pty: terminal });
    const stubborn = await guest.exec({ ...sh(script), pty: terminal });
    for (const run of [polite, stubborn]) {
      await run.sees("ready");
      await run.send(FrameType.hangup);
    }
    assertEquals(await polite.ended(), { kind: KILLED, value: SIGHUP, text: "" });
    assertEquals(await stubborn.ended(), { kind: KILLED, value: SIGKILL, text: "" });
  }));
});

test("TERMINATE: SIGTERM, then SIGKILL, and output until the end", async (guest) => {
  const script = "trap 'echo no' TERM; echo ready; while :; do sleep 0.01; done";
  await Promise.all([undefined, pty].map(async (terminal) => {
    const polite = await guest.exec({ ...sh("echo ready; exec sleep 1000"), pty: terminal });
    const stubborn = await guest.exec({ ...sh(script), pty: terminal });
    for (const [run, grace] of [[polite, 1 << 30], [stubborn, 500]] as const) {
      await run.sees("ready");
      await run.send(FrameType.terminate, fields([4, grace]));
    }
    assertEquals(await polite.ended(), { kind: KILLED, value: SIGTERM, text: "" });
    assertEquals(await stubborn.ended(), { kind: KILLED, value: SIGKILL, text: "" });
    assertMatch(stubborn.text, /^ready\r?\n(Terminated\r?\n)?no\r?\n$/);
  }));
});

test("a HANGUP after TERMINATE does not wait longer", async (guest) => {
  const run = await guest.exec(sh("trap '' HUP TERM; echo ready; while :; do sleep 0.01; done"));
  await run.sees("ready");
  await run.send(FrameType.terminate, fields([4, 1 << 30]));
  await run.send(FrameType.hangup);
  assertEquals(await run.ended(), { kind: KILLED, value: SIGKILL, text: "" });
});

test("twenty programs at once, one of them flooding", async (guest) => {
  const flood = await guest.exec({ argv: ["yes"] });
  await guest.until(() => flood.received > 1 << 20);
  const echoes = await Promise.all(
    Array.from({ length: 19 }, () => guest.exec({ argv: ["cat"], stdin: true })),
  );
  for (let round = 0; round < 20; round++) {
    for (const [i, run] of echoes.entries()) await run.input(`${i}.${round} `);
    await Promise.all(echoes.map((run, i) => run.sees(`${i}.${round} `)));
  }
  for (const run of echoes) await run.input("", true);
  for (const run of echoes) assertEquals((await run.ended()).value, 0);
  assertEquals(flood.exit, null);
  await flood.send(FrameType.signal, fields([1, SIGTERM]));
  assertEquals(await flood.ended(), { kind: KILLED, value: SIGTERM, text: "" });
});

test("both outputs of one program flooding share the way", async (guest) => {
  const run = await guest.exec(sh("yes 1 & yes 2 >&2"));
  const bytes = (chunks: Uint8Array[]) => chunks.reduce((n, chunk) => n + chunk.byteLength, 0);
  await guest.until(() => bytes(run.stdout) > 2 << 20 && bytes(run.stderr) > 2 << 20);
  await run.send(FrameType.signal, fields([1, SIGKILL]));
  assertEquals((await run.ended()).kind, KILLED);
});

test("the host's machine is left alone", async (guest) => {
  const utf8 = new TextEncoder();
  const requests: [number, Uint8Array][] = [
    [FrameType.mount, utf8.encode("\0name\0/mnt\0")],
    [FrameType.umount, utf8.encode("\0/mnt\0")],
    [FrameType.clock, new Uint8Array(13)],
    [FrameType.poweroff, new Uint8Array(1)],
  ];
  for (const [type, payload] of requests) {
    const run = await guest.open(type, payload);
    assertEquals(await run.ended(), { kind: FAILED, value: EPERM, text: "change the host" });
  }
});

test("late frames of ended streams are dropped", async (guest) => {
  const run = await guest.run({ argv: ["true"], stdin: true });
  for (const type of [FrameType.stdin, FrameType.eof, FrameType.hangup]) await run.send(type);
  await run.send(FrameType.credit, fields([4, 1], [1, 1]));
  await run.send(FrameType.resize, fields([2, 1], [2, 1]));
  await run.send(FrameType.signal, fields([1, SIGKILL]));
  assertEquals((await guest.run({ argv: ["true"] })).exit.value, 0);
});

test("another HELLO begins anew: programs end, numbers start at 1", async (guest) => {
  const old = await guest.exec(sh("echo $$; exec sleep 1000"));
  await old.sees("\n");
  await guest.greetAgain();
  assertEquals((await guest.run({ argv: ["true"] })).id, 1);
  const pid = parseInt(old.text);
  while (await alive(pid)) await guest.run(sh("sleep 0.05"));
  assertEquals(old.exit, null);
});

Deno.test("agent: SIGTERM ends the programs, says so, and leaves", linux, async () => {
  const guest = await Guest.start(await agentProgram());
  const runs = [
    await guest.exec(sh("echo ready; exec sleep 1000")),
    await guest.exec({ ...sh("trap '' HUP; echo ready; sleep 1000"), pty }),
  ];
  for (const run of runs) await run.sees("ready");
  Deno.kill(guest.pid, "SIGTERM");
  assertEquals(await guest.ended(), { code: 0, stderr: "" });
  assertEquals(runs.map((run) => run.exit), [
    { kind: KILLED, value: SIGHUP, text: "" },
    { kind: KILLED, value: SIGKILL, text: "" },
  ]);
});

Deno.test("agent: a limit that is reached fails one stream, not the others", linux, async () => {
  const limited = 'ulimit -n 24; exec "$0" --stdio';
  const guest = await Guest.start("sh", { args: ["-c", limited, await agentProgram()] });
  const runs = await Promise.all(
    Array.from(
      { length: 10 },
      (_, i) => guest.exec({ argv: ["cat"], stdin: true, pty: i % 3 === 0 ? pty : undefined }),
    ),
  );
  await guest.run({ argv: ["true"] });
  const failed = runs.filter((run) => run.exit !== null);
  assert(failed.length > 0 && failed.length < runs.length);
  assert(failed.every(({ exit }) => exit!.kind === FAILED && exit!.value === EMFILE));
  for (const run of runs.filter((run) => !run.exit)) {
    await run.input("works\n", true);
    assertEquals((await run.ended()).value, 0);
    assertMatch(run.text, /works/);
  }
  assertEquals((await guest.run(sh("exit 4"))).exit.value, 4);
  assertEquals(await guest.close(), { code: 0, stderr: "" });
});
