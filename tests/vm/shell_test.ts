/** The interactive shell, driven through a real terminal. */

import { match, ok, strictEqual } from "node:assert/strict";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

const PROMPT = /root@vibe:~\/project# $/;
const AT_PROMPT = /root@vibe:~\/project#\s*$/;

Deno.test("a newcomer's shell: look, type, resize, Ctrl-C, exit", async (t) => {
  await using project = await Project.create();
  using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });

  await t.step("the shares are shown, then the prompt", async () => {
    // The first VM of all waits for its image, too.
    await terminal.waitFor(AT_PROMPT, 300);
    const lines = terminal.text.split("\n");
    const head = lines.findIndex((line) => /^Host +Guest +Mode$/.test(line));
    ok(head >= 0, terminal.text);
    match(lines[head + 1], /^-+ {2}-+ {2}-+$/);
    strictEqual(
      lines[head + 2].replaceAll(/ +/g, " "),
      `${project.dir} /root/project read-write`,
    );
    match(terminal.raw.replaceAll(/\x1b\[[0-9;?]*[a-zA-Z]/g, ""), PROMPT);
  });

  await t.step("what is typed runs", async () => {
    terminal.type("echo $((6*7)); tty\r");
    await terminal.waitFor(/^42\n\/dev\/pts\/\d+$/m);
  });

  await t.step("the window's size is right at the start and after a change", async () => {
    terminal.type("stty size\r");
    await terminal.waitFor(/^30 100$/m);
    terminal.resize(80, 20);
    await terminal.waitFor(AT_PROMPT);
    terminal.type("stty size\r");
    await terminal.waitFor(/^20 80$/m);
  });

  await t.step("Ctrl-C reaches the program, not vibe", async () => {
    terminal.type("sleep 1000; echo status $?\r");
    // Typed before the program has the terminal, the key would be the shell's.
    await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
    terminal.type("\x03");
    await terminal.waitFor(/\^C\n+(status 130\n)?root@vibe/m);
  });

  await t.step("a second shell is in the same VM", async () => {
    terminal.type("touch /tmp/from-the-first; echo do''ne\r");
    await terminal.waitFor(/^done$/m);
    using second = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
    await second.waitFor(AT_PROMPT);
    second.type("ls /tmp/from-the-first\r");
    await second.waitFor(/^\/tmp\/from-the-first$/m);
    second.type("exit 3\r");
    strictEqual(await second.exited, 3);
    terminal.type("echo still''here\r");
    await terminal.waitFor(/^stillhere$/m);
  });

  await t.step("exit ends the session with its status, then the VM", async () => {
    terminal.type("exit 4\r");
    strictEqual(await terminal.exited, 4);
    await project.stopped();
    strictEqual((await project.processes(`${project.env.VIBE_RUNTIME}/`)).length, 0);
  });
});

Deno.test("the terminal is given back on every way out", async (t) => {
  await using project = await Project.create();
  await using _hold = await project.hold();
  const ways: [string, (inner: TestTerminal, pid: number) => void][] = [
    ["exit", (inner) => inner.type("exit\r")],
    ["SIGTERM", (_, pid) => Deno.kill(pid, "SIGTERM")],
    ["SIGHUP", (_, pid) => Deno.kill(pid, "SIGHUP")],
  ];
  for (const [name, leave] of ways) {
    await t.step(name, async () => {
      // A shell on the host looks at its terminal after vibe has left it.
      const [program, ...args] = vibeCommand();
      const script = 'stty -a >before; "$@" & fg %1 >/dev/null; stty -a >after; echo left-vibe';
      using host = new TestTerminal(
        ["bash", "-m", "-c", script, "bash", program, ...args],
        { cwd: project.dir, env: project.env },
      );
      await host.waitFor(AT_PROMPT);
      const [vibe] = (await project.ownProcesses(args.at(-1)!)).filter(({ command }) =>
        command.startsWith(program) && !command.includes("__supervise") &&
        !command.includes(" run -- ")
      );
      leave(host, vibe.pid);
      await host.waitFor(/left-vibe/);
      strictEqual(await project.read("after"), await project.read("before"));
    });
  }

  await t.step("the terminal itself hangs up", async () => {
    using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
    await terminal.waitFor(AT_PROMPT);
    terminal.type("exec sleep 4444\r");
    await project.sh("until pgrep -xf 'sleep 4444'; do sleep 0.1; done");
    terminal[Symbol.dispose]();
    const gone = await project.sh(
      "for i in $(seq 100); do pgrep -xf 'sleep 4444' || exit 0; sleep 0.1; done; exit 1",
    );
    strictEqual(gone.code, 0);
  });
});

Deno.test("a shell that reads from a pipe", async () => {
  await using project = await Project.create();
  const { code, stdout, stderr } = await project.vibe([], { stdin: "echo hello; exit 9\n" });
  strictEqual(stdout, "hello\n");
  strictEqual(stderr, "");
  strictEqual(code, 9);
});
