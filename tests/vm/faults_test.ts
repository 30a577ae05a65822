/** What may go wrong, and that nothing is lost when it does. */

import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { dirname } from "node:path";
import { DISK, onlyOn } from "../support/driver.ts";
import { projectInstance } from "../../lib/paths.ts";
import { run } from "../../lib/process.ts";
import { supervisorsOf } from "../support/processes.ts";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

const AT_PROMPT = /root@vibe:~\/project#\s*$/;

/** Ends one process of a project's VM and waits until the VM is over. */
async function killProcess(project: Project, pattern: RegExp): Promise<void> {
  const all = await project.processes(project.dir.slice(0, project.dir.lastIndexOf("/")));
  const { supervisors, others } = { supervisors: await supervisorsOf(project), others: all };
  const victim = [...supervisors, ...others].find(({ command }) => pattern.test(command));
  ok(victim, `no process matches ${pattern} in ${JSON.stringify(all)}`);
  Deno.kill(victim.pid, "SIGKILL");
}

/** Writes other values into what is recorded of a VM. */
async function changeRecord(project: Project, change: Record<string, string>): Promise<void> {
  const path = project.state("instance.json");
  const record = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...record, ...change }));
}

/** Nothing of a VM runs any more. Its processes die one after another, so look until they did. */
async function nothingLeft(project: Project): Promise<void> {
  await project.stopped();
  const root = project.env.VIBE_RUNTIME;
  for (let i = 0; i < 100; i++) {
    if ((await project.processes(root)).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  deepStrictEqual(await project.processes(root), []);
}

Deno.test("the supervisor killed with -9: nothing is left, files are intact, vibe works", async () => {
  await using project = await Project.create();
  await project.write("precious", "untouched\n");
  {
    await using hold = await project.hold();
    strictEqual((await project.sh("echo guest >> precious && sync")).code, 0);
    await killProcess(project, /__supervise/);
    const { code } = await hold.child.status;
    strictEqual(code, 125);
  }
  await nothingLeft(project);
  strictEqual(await project.read("precious"), "untouched\nguest\n");
  strictEqual((await project.sh("cat precious")).stdout, "untouched\nguest\n");
});

Deno.test("the supervisor killed under three terminals: each is told, and given back", async () => {
  await using project = await Project.create();
  const [program, ...args] = vibeCommand();
  const script = 'stty -a >before$0; "$@"; echo status $?; stty -a >after$0; echo left-vibe';
  const terminals = [1, 2, 3].map((n) =>
    new TestTerminal(["sh", "-c", script, `${n}`, program, ...args], {
      cwd: project.dir,
      env: project.env,
    })
  );
  for (const terminal of terminals) await terminal.waitFor(AT_PROMPT);
  await killProcess(project, /__supervise/);
  for (const [index, terminal] of terminals.entries()) {
    await terminal.waitFor(
      /vibe: The VM has ended: its supervisor is gone\n.*\nstatus 125\nleft-vibe/,
    );
    const n = index + 1;
    strictEqual(await project.read(`after${n}`), await project.read(`before${n}`));
    terminal[Symbol.dispose]();
  }
  await nothingLeft(project);
  strictEqual((await project.sh("echo fine")).stdout, "fine\n");
});

Deno.test("faults that a running VM outlives, and one that it does not", async (t) => {
  await using project = await Project.create();
  const hold = await project.hold();
  const runtime = `${project.env.VIBE_RUNTIME}/${(await projectInstance(project.dir)).id}`;
  const boot = async () => (await project.sh("cat /proc/sys/kernel/random/boot_id")).stdout;
  const first = await boot();

  await t.step("the socket's file removed: it is put back", async () => {
    await Deno.remove(`${runtime}/vibe.sock`);
    while (!await exists(`${runtime}/vibe.sock`)) await new Promise((r) => setTimeout(r, 20));
    strictEqual(await boot(), first);
  });

  await t.step("the supervisor suspended: said, not waited for; then all goes on", async () => {
    const [{ pid }] = await supervisorsOf(project);
    Deno.kill(pid, "SIGSTOP");
    const commands = [["run", "true"], ["mount", "ls"], ["doctor"]];
    const [list, table, ...said] = await Promise.all(
      [["ls", "--json"], ["ls"], ...commands].map((words) => project.vibe(words)),
    );
    Deno.kill(pid, "SIGCONT");
    strictEqual(JSON.parse(list.stdout)[0].state, "silent");
    match(table.stdout, /^\* .* does not answer /m);
    deepStrictEqual(said.map(({ code }) => code), [125, 125, 1]);
    for (const { stdout, stderr } of said) {
      match(stdout + stderr, /its supervisor does not answer\n.*vibe stop --force/);
    }
    strictEqual(await boot(), first);
  });

  await t.step("the registry damaged and lost: vibe ls still finds what runs", async () => {
    const registry = `${project.env.VIBE_DATA}/registry`;
    for await (const { name } of Deno.readDir(registry)) {
      await Deno.writeTextFile(`${registry}/${name}`, '{"kind":');
    }
    const found = async () => JSON.parse((await project.vibe(["ls", "--json"])).stdout);
    deepStrictEqual((await found()).map(({ state }: { state: string }) => state), ["running"]);
    await Deno.remove(registry, { recursive: true });
    strictEqual((await found())[0].title, project.dir);
  });

  await t.step(
    "the agent killed: its sessions are told, the next one finds all in place",
    async () => {
      // All sessions end with the agent; that alone must not stop the VM.
      strictEqual((await project.vibe(["start"])).code, 0);
      const session = project.vibe(["run", "--", "sleep", "1000"]);
      await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
      await project.sh("pkill -KILL -f '^vibe-agent --port'");
      const { code, stderr } = await session;
      strictEqual(code, 125);
      match(stderr, /^vibe: Lost "sleep": the guest agent started anew\n/);
      strictEqual((await hold.child.status).code, 125);
      await using _hold = await project.hold();
      strictEqual(await boot(), first);
      strictEqual((await project.sh("grep -c ' /root/project ' /proc/mounts")).stdout, "1\n");
    },
  );

  await t.step("the agent killed while it writes: the same, wherever it was cut off", async () => {
    for (let i = 0; i < 3; i++) {
      const flood = project.spawn(["run", "--", "cat", "/dev/zero"]);
      const said = new Response(flood.stderr).text();
      const reader = flood.stdout.getReader();
      for (let bytes = 0; bytes < 20e6;) bytes += (await reader.read()).value!.byteLength;
      const rest = (async () => {
        while (!(await reader.read()).done);
      })();
      await project.sh("pkill -KILL -f '^vibe-agent --port'");
      match(await said, /^vibe: Lost "cat": the guest agent started anew\n/);
      await rest;
      await flood.stdin.close();
      strictEqual((await flood.status).code, 125);
      strictEqual(await boot(), first);
    }
  });

  const panics = "the guest's kernel panics: said, with the end of its console";
  const panic = async () => {
    await using panicked = await project.hold();
    const session = project.vibe(["run", "--", "sleep", "1000"]);
    await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
    await project.sh("sleep 0.1; echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger");
    const { code, stderr } = await session;
    strictEqual(code, 125);
    match(stderr, /^vibe: The VM ended: its kernel panicked, .*\nLast lines of its console:\n/);
    match(stderr, /Kernel panic - not syncing/);
    await panicked.child.status;
    await nothingLeft(project);
  };
  await t.step({
    ...onlyOn("qemu", "the framework resets the machine in place", panics),
    fn: panic,
  });

  await t.step(
    "the runtime directory removed: the VM is stopped in good order, and says why",
    async () => {
      await using lost = await project.hold();
      strictEqual((await project.sh("echo kept > /root/kept")).code, 0);
      const session = project.vibe(["run", "--", "sleep", "1000"]);
      await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
      await run(["rm", "-rf", project.env.VIBE_RUNTIME]);
      const { code, stderr } = await session;
      strictEqual(code, 125);
      match(stderr, /^vibe: The VM was stopped: its runtime directory "[^"]+" was removed/);
      await lost.child.status;
      await nothingLeft(project);
      strictEqual((await project.sh("cat /root/kept")).stdout, "kept\n");
    },
  );
});

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

Deno.test("QEMU or virtiofsd killed with -9 ends every session with a reason", async (t) => {
  for (const victim of ["qemu-system", "virtiofsd"]) {
    await t.step(victim, async () => {
      await using project = await Project.create();
      await using hold = await project.hold();
      const session = project.vibe(["run", "--", "sleep", "1000"]);
      // The second session is under way once the guest shows it.
      await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
      await killProcess(project, new RegExp(victim));
      const { code, stderr } = await session;
      strictEqual(code, 125);
      match(stderr, /^vibe: The VM ended: /);
      strictEqual((await hold.child.status).code, 125);
      await nothingLeft(project);
    });
  }
});

Deno.test("two vibes at the same instant share one VM", async () => {
  await using project = await Project.create();
  const script = "cat /proc/sys/kernel/random/boot_id; sleep 2";
  const [a, b] = await Promise.all([project.sh(script), project.sh(script)]);
  deepStrictEqual([a.code, b.code, a.stderr, b.stderr], [0, 0, "", ""]);
  strictEqual(a.stdout, b.stdout);
  await project.stopped();
  const again = await project.sh("cat /proc/sys/kernel/random/boot_id");
  notStrictEqual(again.stdout, a.stdout);
});

Deno.test("Ctrl-C while it boots leaves nothing behind", async () => {
  await using project = await Project.create();
  const child = project.spawn(["run", "true"]);
  // The directory above holds the state, wherever it is.
  for await (const event of Deno.watchFs(dirname(project.dir))) {
    if (event.paths.some((path) => path.endsWith("/instance.json"))) break;
  }
  child.kill("SIGINT");
  strictEqual((await child.status).code, 130);
  await child.stdin.close();
  await child.stdout.cancel();
  await child.stderr.cancel();
  await nothingLeft(project);
  strictEqual((await project.sh("echo fine")).stdout, "fine\n");
});

Deno.test({
  ...onlyOn("qemu", "the framework is part of macOS", "a hypervisor that ends at once says so"),
  fn: endsAtOnce,
});

async function endsAtOnce(): Promise<void> {
  await using project = await Project.create();
  const bin = `${project.dir}/../bin`;
  await Deno.mkdir(bin);
  const name = `qemu-system-${Deno.build.arch}`;
  await Deno.writeTextFile(
    `${bin}/${name}`,
    "#!/bin/sh\necho 'boom: no such machine' >&2\nexit 3\n",
    { mode: 0o755 },
  );
  const env = { PATH: `${bin}:${Deno.env.get("PATH")}` };
  const { code, stderr } = await project.vibe(["run", "true"], { env });
  strictEqual(code, 125);
  match(stderr, /ended at once:\nboom: no such machine\n/);
  await nothingLeft(project);
}

Deno.test("without QEMU, and nobody to ask, the command that installs it is said", async () => {
  await using project = await Project.create();
  const bin = `${project.dir}/../bin`;
  await Deno.mkdir(bin);
  for await (const { name } of Deno.readDir("/usr/bin")) {
    if (!name.startsWith("qemu-system-")) await Deno.symlink(`/usr/bin/${name}`, `${bin}/${name}`);
  }
  const { code, stdout, stderr } = await project.vibe(["run", "true"], { env: { PATH: bin } });
  deepStrictEqual([code, stdout], [125, ""]);
  match(stderr, /^vibe: Cannot go on: this machine lacks .*qemu/i);
  match(stderr, /install .*qemu-system/);
});

Deno.test("the base image deleted under an overlay is named, and .vibe is left alone", async () => {
  await using project = await Project.create();
  strictEqual((await project.sh("true")).code, 0);
  await project.stopped();
  await changeRecord(project, { base: "debian-13-gone" });
  const { code, stderr } = await project.sh("true");
  strictEqual(code, 125);
  match(stderr, /debian-13-gone/);
  match(stderr, /\.vibe/);
  ok((await Deno.stat(project.state(DISK))).isFile);
});

Deno.test("a link in the disk's place, or a base elsewhere, is not followed", async () => {
  await using project = await Project.create();
  strictEqual((await project.sh("true")).code, 0);
  await project.stopped();
  const disk = project.state(DISK);
  await Deno.rename(disk, `${disk}.mine`);
  await Deno.symlink("/etc/passwd", disk);
  const linked = await project.sh("true");
  strictEqual(linked.code, 125);
  match(linked.stderr, /disk\.(qcow2|raw)": it is no file/);
  await changeRecord(project, { base: "../../etc" });
  match((await project.sh("true")).stderr, /instance\.json": it is damaged/);
});

Deno.test("a damaged record is an error, not a fresh VM", async () => {
  await using project = await Project.create();
  await Deno.mkdir(project.state(), { recursive: true });
  await Deno.writeTextFile(project.state("instance.json"), '{"version":1,"ima');
  const { code, stderr } = await project.sh("true");
  strictEqual(code, 125);
  match(stderr, /instance\.json": it is damaged/);
});
