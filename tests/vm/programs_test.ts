/** What programs that call vibe count on: time limits, reports, silence. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { RunReport } from "../../lib/cli/run_report.ts";
import { killOutright, Project, type VibeOutput } from "../support/vibe.ts";

Deno.test("vibe run for programs", async (t) => {
  await using project = await Project.create();
  await using _hold = await project.hold();
  const sh = (options: string[], script: string) =>
    project.vibe(["run", ...options, "--", "sh", "-c", script]);

  await t.step(
    "--timeout ends the command with 124; its output until then is passed on",
    async () => {
      const { code, stdout, stderr } = await sh(
        ["--timeout", "4"],
        "echo begun; sleep 4001; echo no",
      );
      deepStrictEqual([code, stdout], [124, "begun\n"]);
      strictEqual(stderr, 'vibe: Cannot finish "sh": it took longer than 4 s and was ended\n');
      deepStrictEqual(await sleepers(project), []);
    },
  );

  await t.step("what ignores SIGTERM, or is in another session, is killed", async () => {
    const script = `
      setsid sh -c 'trap "" TERM; sleep 4002; sleep 4003' &
      (trap "" TERM; sleep 4004; sleep 4005) &
      trap "echo ending; exit 3" TERM
      while :; do sleep 0.1; done`;
    const { code, stdout } = await sh(["--timeout", "4"], script);
    deepStrictEqual([code, stdout], [124, "ending\n"]);
    deepStrictEqual(await sleepers(project), []);
  });

  await t.step("a command that is in time is not touched, nor what it leaves behind", async () => {
    const { code, stdout } = await sh(["--timeout=500.5"], "setsid sleep 4006 & echo done; exit 7");
    deepStrictEqual([code, stdout], [7, "done\n"]);
    deepStrictEqual(await sleepers(project), ["sleep 4006"]);
    const { stdout: cgroups } = await project.sh(
      "pkill -x sleep; ls -d /sys/fs/cgroup/vibe/program-* 2>&1",
    );
    match(cgroups, /^ls: cannot access .*\n$/);
  });

  await t.step("a vibe that is killed takes all of a limited command with it", async () => {
    const script = "setsid sh -c 'trap \"\" HUP; sleep 4007; sleep 4008' & echo ready; sleep 4009";
    const child = project.spawn(["run", "--timeout", "500", "--", "sh", "-c", script]);
    const reader = child.stdout.getReader();
    await reader.read();
    await killOutright(child, reader);
    const wait = `for i in $(seq 100); do pgrep -f 'sleep 400[789]' || exit 0; sleep 0.1; done`;
    strictEqual((await project.sh(`${wait}; exit 1`)).code, 0);
  });

  await t.step("--json: one line tells how it went and what was said", async () => {
    const ended = await sh(["--json"], "echo out; printf '\\377' >&2; exit 4");
    strictEqual(ended.code, 4);
    strictEqual(ended.stderr, "");
    const { durationMs, ...report } = reportOf(ended);
    ok(durationMs! >= 0);
    deepStrictEqual(report, {
      exitCode: 4,
      status: 4,
      signal: null,
      timedOut: false,
      stdoutBytes: 4,
      stderrBytes: 1,
      error: null,
      stdout: "out\n",
      stderr: "\ufffd",
      truncated: false,
    });
  });

  await t.step("--json: a command that is too late, killed, or not there", async () => {
    const late = reportOf(await sh(["--json", "--timeout", "3.5"], "echo begun; sleep 4010"));
    ok(late.durationMs! >= 3500);
    deepStrictEqual(
      [late.exitCode, late.timedOut, late.signal, late.stdout, late.error?.code],
      [124, true, "SIGTERM", "begun\n", "RUN_TIMEOUT"],
    );
    const killed = reportOf(await sh(["--json"], "kill -9 $$"));
    deepStrictEqual([killed.exitCode, killed.status, killed.signal], [137, null, "SIGKILL"]);
    const none = reportOf(await project.vibe(["run", "--json", "--", "no-such-command"]));
    deepStrictEqual([none.exitCode, none.durationMs, none.error?.code], [127, null, "EXEC_FAILED"]);
    const refused = reportOf(await project.vibe(["--cpus", "1", "run", "--json", "true"]));
    deepStrictEqual([refused.exitCode, refused.error?.code], [125, "VM_DIFFERS"]);
  });

  await t.step(
    "--result leaves the output where it goes, and writes the rest to a file",
    async () => {
      const file = project.path("result.json");
      const { code, stdout } = await sh(["--result", file], "echo out; exit 5");
      deepStrictEqual([code, stdout], [5, "out\n"]);
      const report: RunReport = JSON.parse(await Deno.readTextFile(file));
      deepStrictEqual([report.exitCode, report.stdoutBytes, report.stdout], [5, 4, undefined]);
      const blocked = await sh(["--result", project.path("no/such/file")], "exit 5");
      strictEqual(blocked.code, 125);
      match(blocked.stderr, /^vibe: Cannot write the result to ".*file": /);
    },
  );

  await t.step("--quiet keeps what a supervisor had to say for the next one", async () => {
    await Deno.writeTextFile(project.state("notices"), "something happened\n");
    const quiet = await sh(["--quiet"], "echo out");
    deepStrictEqual([quiet.stdout, quiet.stderr], ["out\n", ""]);
    strictEqual((await sh([], "true")).stderr, "vibe: something happened\n");
  });
});

function reportOf({ stdout }: VibeOutput): RunReport {
  ok(stdout.endsWith("\n") && !stdout.slice(0, -1).includes("\n"), stdout.slice(0, 200));
  return JSON.parse(stdout);
}

/** The `sleep 400…` that run in the guest; not those that wait to be reaped. */
async function sleepers(project: Project): Promise<string[]> {
  const { stdout } = await project.sh(
    "pgrep -r D,R,S,T -a '^sleep$' | cut -d' ' -f2- | grep ' 40'",
  );
  return stdout.split("\n").filter(Boolean);
}
