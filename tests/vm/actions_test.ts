/** `--send`, `--expect` and `--script` in a VM with the agent. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

Deno.test("actions in a VM that runs", async (t) => {
  await using project = await Project.create();
  await using _hold = await project.hold();

  await t.step("a script: any bytes, its name, its status, stdout and stderr apart", async () => {
    const tail = "\x00\x04'\"`\nVIBE_SCRIPT_EOF\n".repeat(100_000);
    await project.write(
      "it's a script.py",
      "#!/usr/bin/env python3\nimport sys, os\nprint(sys.argv[0].split('/')[-1], os.getcwd())\n" +
        "print('err', file=sys.stderr)\nprint(os.path.getsize(sys.argv[0]))\n" +
        `print(repr(sys.stdin.read()))\nsys.exit(7)\n`,
    );
    await project.write("tail", `exit 0\n${tail}`);
    const python = await project.vibe(["--script", "it's a script.py"], { stdin: "not for it" });
    const size = (await Deno.stat(project.path("it's a script.py"))).size;
    strictEqual(python.stdout, `it's a script.py /root/project\n${size}\n''\n`);
    strictEqual(python.stderr, "err\n");
    strictEqual(python.code, 7);
    const long = await project.vibe(["--script", "tail"]);
    strictEqual(long.stderr, "");
    const given = await project.vibe(["--script", "-"], {
      stdin: "#!/bin/sh\necho ${0##*/}; cat\n",
    });
    strictEqual(given.stdout, "script\n");
    strictEqual(long.code, 0);
    strictEqual((await project.sh("ls -d /tmp/vibe-script.* 2>/dev/null")).stdout, "");
  });

  await t.step("a script that fails ends it all; one that is too slow, too", async () => {
    await project.write("ok.sh", "echo one\n");
    await project.write("bad.sh", "echo two; kill -9 $$\n");
    await project.write("slow.sh", "echo $$ >pid; sleep 3333\n");
    const bad = await project.vibe([
      "--script",
      "ok.sh",
      "--script",
      "bad.sh",
      "--script",
      "ok.sh",
    ]);
    strictEqual(bad.stdout, "one\ntwo\n");
    strictEqual(bad.code, 137);
    const slow = await project.vibe(["--timeout", "1", "--script", "slow.sh"]);
    match(slow.stderr, /Cannot finish "slow\.sh": it took longer than 1 s/);
    strictEqual(slow.code, 124);
    strictEqual((await project.sh("pgrep -xf 'sleep 3333'")).stdout, "");
  });

  await t.step("--json reports on a script that is alone; --result, too", async () => {
    await project.write("report.sh", "echo out; echo err >&2; exit 5\n");
    const { code, stdout, stderr } = await project.vibe(["--json", "--script", "report.sh"]);
    const { durationMs, ...report } = JSON.parse(stdout);
    ok(durationMs > 0);
    deepStrictEqual([code, stderr, report], [5, "", {
      exitCode: 5,
      status: 5,
      signal: null,
      timedOut: false,
      stdoutBytes: 4,
      stderrBytes: 4,
      error: null,
      stdout: "out\n",
      stderr: "err\n",
      truncated: false,
    }]);
    const file = project.path("result.json");
    const late = await project.vibe(
      ["--timeout", "1", "--result", file, "--script", "slow.sh"],
    );
    const { timedOut, error } = JSON.parse(await project.read("result.json"));
    deepStrictEqual([late.code, timedOut, error.code], [124, true, "RUN_TIMEOUT"]);
    using terminal = new TestTerminal(vibeCommand("--result", file, "--script", "report.sh"), {
      cwd: project.dir,
      env: project.env,
    });
    strictEqual(await terminal.exited, 5);
    match(terminal.text, /^(out\nerr|err\nout)$/);
    strictEqual(JSON.parse(await project.read("result.json")).stdoutBytes, 4);
  });

  await t.step("send and expect go in order, and the shell's status is vibe's", async () => {
    const { code, stdout } = await project.vibe([
      ...["--send", "sleep 1; echo fi''rst", "--expect", "first", "20"],
      // Said before its turn comes, and with colours inside.
      ...[
        "--send",
        "printf 'sec\\033[1mond\\033[0m\\nthi''rd\\n'; yes | head -50000; echo fo''ur",
      ],
      ...["--expect", "second\nthird", "--expect", "four", "--script", "ok.sh", "--expect", "one"],
      ...["--send", "exit 3"],
    ]);
    const said = ["\nfirst\n", "\nsec\x1b[1mond\x1b[0m\nthird\n", "\nfour\n", "one\n"];
    const places = said.map((text) => stdout.replaceAll("\r", "").indexOf(text));
    ok(places.every((place, i) => place > (places[i - 1] ?? 0)), String(places));
    strictEqual(code, 3);
  });

  await t.step("input that is piped follows when all is done", async () => {
    const { code, stdout } = await project.vibe(
      ["--send", "read -r line; echo got $line", "--expect", "$line"],
      { stdin: "typed\nexit 5\n" },
    );
    match(stdout, /^got typed\r?$/m);
    strictEqual(code, 5);
  });

  await t.step("the end of the input reaches what reads it, or else the shell", async () => {
    strictEqual((await project.vibe(["--send", "sleep 2; (exit 5)"])).code, 5);
    const read = await project.vibe(["--send", "cat; (exit 6)"], { stdin: "an open line" });
    match(read.stdout, /^an open line\r?$/m);
    strictEqual(read.code, 6);
  });

  await t.step("a reader that leaves ends it all", async () => {
    const child = project.spawn([
      "--send",
      "while sleep 0.1; do echo x; done",
      "--expect",
      "never",
    ]);
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    strictEqual((await child.status).code, 141);
    strictEqual(await new Response(child.stderr).text(), "");
    await child.stdin.close();
  });

  await t.step("Ctrl-C ends a wait", async () => {
    const child = project.spawn(["--expect", "never", "600"]);
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGINT");
    await reader.cancel();
    await child.stdin.close();
    match(
      await new Response(child.stderr).text(),
      /^vibe: Interrupted while waiting for "never"$/m,
    );
    strictEqual((await child.status).code, 130);
  });

  await t.step("a shell that ends before what is expected", async () => {
    const { code, stderr } = await project.vibe([
      "--send",
      "echo b''ye; exit",
      "--expect",
      "never",
    ]);
    match(stderr, /The shell in the VM has ended too early\nThe last that was seen:\n(.*\n)*bye/);
    strictEqual(code, 123);
  });

  await t.step(
    "keys are held back until all is done, then the terminal is the user's",
    async () => {
      const args = ["--script", "ok.sh", "--send", "sleep 3; echo do''ne", "--expect", "done"];
      using terminal = new TestTerminal(vibeCommand(...args), {
        cwd: project.dir,
        env: project.env,
      });
      await terminal.waitFor(/sleep 3/);
      terminal.type("echo ty''ped; stty size\r");
      await terminal.waitFor(/^typed\r?\n30 100$/m);
      // The line as it was typed is echoed at once; the shell echoes it again when it gets it.
      const lines = terminal.text.split("\n");
      ok(lines.indexOf("done") < lines.indexOf("typed"), terminal.text);
      terminal.type("exit 6\r");
      strictEqual(await terminal.exited, 6);
    },
  );
});

Deno.test("an --expect in vain stops the VM, whoever else is there", async () => {
  await using project = await Project.create();
  await using hold = await project.hold();
  const started = performance.now();
  const { code, stderr } = await project.vibe(
    ["--send", "echo one; sleep 1000", "--expect", "one", "--expect", "two", "1.5"],
  );
  ok(performance.now() - started > 1500);
  match(
    stderr,
    /Waited 1\.5 seconds for "two" in vain\nThe VM is stopped\.\nThe last that was seen:/,
  );
  match(stderr, /^one$/m);
  strictEqual(code, 123);
  await hold.child.status;
  await project.stopped();
});

Deno.test("a script that powers the VM off has succeeded", async () => {
  await using project = await Project.create();
  await project.write(
    "off.sh",
    "echo bye; until systemctl poweroff 2>/dev/null; do sleep 1; done\n",
  );
  const { code, stdout, stderr } = await project.vibe(["--quiet", "--script", "off.sh"]);
  strictEqual(stdout, "bye\n");
  strictEqual(code, 0, stderr);
});
