/** A VM's life between terminals: kept, held by tmux, stopped, started again. */

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { Project, vibeCommand } from "../support/vibe.ts";
import { TestTerminal } from "../support/terminal.ts";

const AT_PROMPT = /root@vibe:~\/project#\s*$/;

/** Whatever a test leaves running ends with it. */
function ended(project: Project): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await project.vibe(["stop", "--force"]);
    },
  };
}

const bootId = async (project: Project) =>
  (await project.sh("cat /proc/sys/kernel/random/boot_id")).stdout;

/** QEMU's process. */
async function machineOf(project: Project): Promise<number> {
  const all = await project.processes(project.env.VIBE_RUNTIME);
  return all.find(({ command }) => /^\S*qemu-system-/.test(command))!.pid;
}

/** Its status and stdout; what takes long on a busy host, it says on stderr. */
async function said(project: Project, ...args: string[]): Promise<[number, string]> {
  const { code, stdout } = await project.vibe(args);
  return [code, stdout];
}

Deno.test("a VM that is kept, restarted, held by tmux, stopped", async (t) => {
  await using project = await Project.create();
  await using _ended = ended(project);
  let boot = "";

  await t.step("vibe start keeps it without terminals", async () => {
    deepStrictEqual(await said(project, "start"), [0, ""]);
    boot = await bootId(project);
    strictEqual(await bootId(project), boot);
  });

  await t.step("vibe restart is another boot, and kept as well", async () => {
    deepStrictEqual(await said(project, "restart"), [0, ""]);
    const again = await bootId(project);
    notStrictEqual(again, boot);
    strictEqual(await bootId(project), again);
  });

  await t.step("vibe stop, by directory, ends it in good order; sessions are told", async () => {
    const session = project.vibe(["run", "--", "sleep", "1000"]);
    await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
    deepStrictEqual(await said(project, "stop", "../project"), [0, ""]);
    const { code, stderr } = await session;
    strictEqual(code, 125);
    strictEqual(stderr, "vibe: The VM was stopped\n");
    match(await Deno.readTextFile(project.state("supervisor.log")), /ending: \{"why":"asked"\}/);
    strictEqual((await project.processes(`${project.env.VIBE_RUNTIME}/`)).length, 0);
    deepStrictEqual(await said(project, "stop"), [0, ""]);
  });

  await t.step(
    "a tmux session goes on when its terminal leaves, and the VM ends with it",
    async () => {
      using terminal = new TestTerminal(vibeCommand("shell"), {
        cwd: project.dir,
        env: project.env,
      });
      await terminal.waitFor(AT_PROMPT);
      terminal.type("tmux new-session -d -s work 'until test -e finish; do sleep 0.2; done'\r");
      terminal.type("exit\r");
      await terminal.waitFor(/the VM goes on running, for tmux has sessions in it; `vibe stop`/);
      strictEqual(await terminal.exited, 0);
      match((await project.sh("tmux list-sessions")).stdout, /^work: 1 windows/);
      await project.write("finish", "");
      await project.stopped();
      match(await Deno.readTextFile(project.state("supervisor.log")), /ending: \{"why":"unused"\}/);
    },
  );

  await t.step("--keep keeps it as well; stop --all --force ends what stop does not", async () => {
    strictEqual((await project.sh("true", ["--keep"])).code, 0);
    boot = await bootId(project);
    strictEqual(await bootId(project), boot);
    Deno.kill(await machineOf(project), "SIGSTOP");
    const stop = said(project, "stop");
    const log = () => Deno.readTextFile(project.state("supervisor.log"));
    while (!(await log()).includes("state: stopping")) await new Promise((r) => setTimeout(r, 50));
    deepStrictEqual(await said(project, "stop", "--all", "--force"), [0, ""]);
    deepStrictEqual(await stop, [0, ""]);
    await project.stopped();
  });

  await t.step("a VM with a name: restarted, stopped and removed by it", async () => {
    const name = ["--name", "tool"];
    const bootOf = async () =>
      (await project.sh("cat /proc/sys/kernel/random/boot_id", name)).stdout;
    strictEqual((await project.vibe(["start", ...name])).code, 0);
    boot = await bootOf();
    strictEqual((await project.vibe(["restart", ...name])).code, 0);
    const again = await bootOf();
    match(again, /^[-0-9a-f]{36}\n$/);
    notStrictEqual(again, boot);
    const state = async () => {
      const all = JSON.parse((await project.vibe(["ls", "--json"])).stdout);
      return all.find(({ title }: { title: string }) => title === "tool")?.state;
    };
    strictEqual(await state(), "running");
    // Of several, those that do not run are no error; one that there is none of is, before any stops.
    match((await project.vibe(["stop", "tool", "tol"])).stderr, /There is no VM of "tol"/);
    strictEqual(await state(), "running");
    deepStrictEqual(await said(project, "stop", "tool", project.dir), [0, ""]);
    strictEqual(await state(), "stopped");
    deepStrictEqual(await said(project, "rm", "--yes", "tool"), [0, "tool\n"]);
    strictEqual(await state(), undefined);
  });

  await t.step("rm --all asks, and takes no for an answer", async () => {
    for (const [answer, code] of [["n", 130], ["y", 0]] as const) {
      using terminal = new TestTerminal(vibeCommand("rm", "--all"), {
        cwd: "/",
        env: project.env,
      });
      await terminal.waitFor(/\/project\nRemove this VM, .*\[y\/N\]$/);
      terminal.type(`${answer}\r`);
      strictEqual(await terminal.exited, code);
    }
    deepStrictEqual(await said(project, "ls", "--json"), [0, "[]\n"]);
  });
});

Deno.test("looking at VMs, changing one, removing it", async (t) => {
  await using project = await Project.create();
  await using _ended = ended(project);

  await t.step("nothing is there yet", async () => {
    deepStrictEqual(await said(project, "ls", "--json"), [0, "[]\n"]);
    const { code, stderr } = await project.vibe(["info"]);
    strictEqual(code, 125);
    match(stderr, /There is no VM of/);
  });

  const list = async () => JSON.parse((await project.vibe(["ls", "--json"])).stdout);
  {
    await using hold = await project.hold(["--cpus", "1"]);

    await t.step("vibe ls and info tell how it is, without keeping it", async () => {
      const [vm] = await list();
      deepStrictEqual([vm.title, vm.here, vm.state, vm.image], [
        project.dir,
        true,
        "running",
        "default",
      ]);
      strictEqual(vm.sessions.length, 1);
      deepStrictEqual(vm.sessions[0].argv, ["sh", "-c", "echo up; cat"]);
      ok(vm.cpuSeconds > 1 && vm.memoryBytes > 100e6 && vm.diskBytes > 0, JSON.stringify(vm));
      const table = (await project.vibe(["status"])).stdout;
      match(
        table,
        /^ +VM +STATE +IMAGE +UP +SESSIONS +CPU +MEMORY +DISK\n[- ]+\n\* +\S+ +running +default /,
      );
      const { stdout } = await project.vibe(["info"]);
      match(stdout, /^Size: +1 CPU, 2048 MiB$/m);
      match(stdout, /^Stays: +until its last terminal leaves$/m);
      match(stdout, /^sh -c echo up; cat +no +\d+ s$/m);
    });

    await t.step(
      "a machine that stands still is seen to, and outlives its last session",
      async () => {
        const machine = await machineOf(project);
        Deno.kill(machine, "SIGSTOP");
        strictEqual((await list())[0].state, "paused");
        const ill = await project.vibe(["doctor"]);
        strictEqual(ill.code, 1);
        match(ill.stdout, /^PROBLEM +VM: it stands still/m);
        hold.child.kill("SIGTERM");
        strictEqual((await hold.child.status).code, 143);
        match((await project.vibe(["ls"])).stdout, /^\* .* paused /m);
        // Only when it goes on can the guest tell that there is nothing in it to be kept.
        Deno.kill(machine, "SIGCONT");
        await project.stopped();
        match(
          await Deno.readTextFile(project.state("supervisor.log")),
          /ending: \{"why":"unused"\}/,
        );
        const [stopped] = await list();
        deepStrictEqual([stopped.state, stopped.sessions, stopped.cpus], ["stopped", [], null]);
      },
    );
  }

  await t.step("other options for a running VM: the command that restarts it is said", async () => {
    await using _hold = await project.hold(["--mount", "/etc/hosts:hosts:ro"]);
    const options = ["--cpus", "1", "--mount", "/tmp/it's:x", "run", "true"];
    const { code, stderr } = await project.vibe(options);
    strictEqual(code, 125);
    match(stderr, /already runs, with --cpus 2, no --mount \/tmp\/it's:x\n/);
    match(stderr, /: vibe restart --cpus 1 --mount '\/tmp\/it'\\''s:x'\n/);
  });

  await t.step("on a terminal it is asked", async () => {
    await project.stopped();
    strictEqual((await project.vibe(["start"])).code, 0);
    const shell = () =>
      new TestTerminal(vibeCommand("--cpus", "1"), { cwd: project.dir, env: project.env });
    using terminal = shell();
    await terminal.waitFor(/already runs, with --cpus 2\.\n.*\[y\/N\]$/m);
    terminal.type("n\r");
    await terminal.waitFor(/vibe restart --cpus 1$/m);
    strictEqual(await terminal.exited, 125);
    using again = shell();
    await again.waitFor(/already runs, with --cpus 2\.\n.*\[y\/N\]$/m);
    again.type("y\r");
    await again.waitFor(AT_PROMPT);
    again.type("nproc; exit\r");
    await again.waitFor(/^1\n/m);
    await again.exited;
    await project.stopped();
  });

  await t.step("logs, and what is added to them", async () => {
    match((await project.vibe(["logs", "--supervisor"])).stdout, /state: ready/);
    await using _hold = await project.hold();
    using terminal = new TestTerminal(vibeCommand("logs", "-f"), {
      cwd: project.dir,
      env: project.env,
    });
    await project.sh("printf 'one\\033]0;evil\\007\\ntwo\\n' > /dev/hvc0");
    await terminal.waitFor(/^one\\x1b\]0;evil\\x07\ntwo$/m);
    await project.sh("echo three > /dev/hvc0");
    await terminal.waitFor(/three$/m);
    match((await project.vibe(["logs"])).stdout, /^one\x1b\]0;evil\x07\r?\n/m);
  });

  await t.step(
    "--rm is refused where a VM is, rm asks, refuses one that runs, and removes",
    async () => {
      match((await project.sh("true", ["--rm"])).stderr, /has a VM already/);
      match((await project.vibe(["rm"])).stderr, /without being told --yes/);
      {
        await using _hold = await project.hold();
        match((await project.vibe(["rm", "--yes"])).stderr, /it runs/);
        match((await project.sh("true", ["--rm"])).stderr, /has a VM already/);
        using terminal = new TestTerminal(vibeCommand("rm", "--force", project.dir), {
          cwd: "/",
          env: project.env,
        });
        await terminal.waitFor(/Remove this VM, .*\[y\/N\]$/m);
        terminal.type("y\r");
        strictEqual(await terminal.exited, 0);
      }
      deepStrictEqual(await said(project, "ls", "--json"), [0, "[]\n"]);
      await rejects(Deno.stat(project.path(".vibe")));
    },
  );

  await t.step("vibe run --rm leaves nothing, whatever the command's status", async () => {
    const { code, stdout } = await project.sh("echo out; exit 7", ["--rm"]);
    deepStrictEqual([code, stdout], [7, "out\n"]);
    await rejects(Deno.stat(project.path(".vibe")));
  });
});

Deno.test("a terminal leaves: by the keys for it, by a signal; Ctrl-Z stays in the guest", async (t) => {
  await using project = await Project.create();
  await using _ended = ended(project);
  const shell = () => new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });

  await t.step("Ctrl-Z suspends the program in the guest, fg brings it back", async () => {
    using terminal = shell();
    await terminal.waitFor(AT_PROMPT);
    terminal.type("sleep 1234\r");
    await project.sh("until pgrep -xf 'sleep 1234'; do sleep 0.1; done");
    terminal.type("\x1a");
    await terminal.waitFor(/\[1\]\+ +Stopped +sleep 1234/);
    terminal.type("fg\r");
    await terminal.waitFor(/ fg\nsleep 1234$/m);
    // Before it is in the foreground, the key would be the shell's.
    await project.sh(
      "until ps -o stat= -p $(pgrep -xf 'sleep 1234') | grep -q S+; do sleep 0.1; done",
    );
    terminal.type("\x03");
    await terminal.waitFor(AT_PROMPT);
  });

  await t.step("SIGTERM ends one session, and no other", async () => {
    using stays = shell();
    await stays.waitFor(AT_PROMPT);
    using leaves = shell();
    await leaves.waitFor(AT_PROMPT);
    leaves.kill("SIGTERM");
    strictEqual(await leaves.exited, 143);
    stays.type("echo still''here\r");
    await stays.waitFor(/^stillhere$/m);
    stays.type("exit\r");
    strictEqual(await stays.exited, 0);
  });

  await t.step("Ctrl-] three times leaves the VM running", async () => {
    using terminal = shell();
    await terminal.waitFor(AT_PROMPT);
    const boot = await bootId(project);
    terminal.type("\x1d\x1d\x1d");
    await terminal.waitFor(/^vibe: the VM goes on running; `vibe stop` ends it\.$/m);
    strictEqual(await terminal.exited, 0);
    strictEqual(await bootId(project), boot);
    strictEqual(await bootId(project), boot);
  });

  await t.step("the VM that was left so ends by itself, an idle minute later", async () => {
    deepStrictEqual(await said(project, "start", "--idle", "1"), [0, ""]);
    match((await project.vibe(["info"])).stdout, /^Stays: +until `vibe stop`, for 1 min$/m);
    await project.stopped();
    match(await Deno.readTextFile(project.state("supervisor.log")), /ending: \{"why":"unused"\}/);
  });
});
