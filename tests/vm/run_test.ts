/** `vibe run`: one running VM, many commands. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { killOutright, Project } from "../support/vibe.ts";

Deno.test("vibe run is transparent", async (t) => {
  await using project = await Project.create();
  await using _hold = await project.hold();

  await t.step("exit codes, and signals as 128 + n", async () => {
    for (const [script, code] of [["exit 0", 0], ["exit 7", 7], ["kill -9 $$", 137]] as const) {
      strictEqual((await project.sh(script)).code, code, script);
    }
  });

  await t.step("what cannot be started is 127 or 126", async () => {
    const missing = await project.vibe(["run", "--", "no-such-command"]);
    strictEqual(missing.code, 127);
    match(missing.stderr, /^vibe: Cannot run "no-such-command" in the guest: .*\n$/);
    strictEqual((await project.vibe(["run", "--", "/etc/passwd"])).code, 126);
  });

  await t.step("stdout and stderr stay apart, and nothing is added", async () => {
    const { stdout, stderr, code } = await project.sh("echo out; echo err >&2");
    deepStrictEqual([stdout, stderr, code], ["out\n", "err\n", 0]);
  });

  await t.step("stdin reaches its end, and bytes pass unchanged", async () => {
    const input = new Uint8Array(3 << 20).map((_, i) => (i * 7 + (i >> 8)) & 0xff);
    const { bytes, code } = await project.vibe(["run", "--", "cat"], { stdin: input });
    strictEqual(code, 0);
    // Compared by digest: a difference in 3 MiB is nothing to print.
    deepStrictEqual(await sha256(bytes), await sha256(input));
  });

  await t.step("arguments arrive as they are", async () => {
    const words = ["a b", "", "'\"$x`", "*", "-x", "--", "ü\n"];
    const script = 'for word; do printf "%s|" "$word"; done';
    const { stdout } = await project.vibe(["run", "--", "sh", "-c", script, "sh", ...words]);
    strictEqual(stdout, words.map((w) => w + "|").join(""));
    const { stdout: plain } = await project.vibe(["run", "echo", "--verbose", "-h"]);
    strictEqual(plain, "--verbose -h\n");
  });

  await t.step("a command of 600 KB is carried, one of 2 MB refused", async () => {
    const words = (count: number) => ["run", "--", "echo", ...Array(count).fill("x".repeat(1000))];
    strictEqual((await project.vibe(words(600))).stdout.length, 600 * 1001);
    const { code, stderr } = await project.vibe(words(1900));
    strictEqual(code, 125);
    match(stderr, /command line is over 1 MiB/);
  });

  await t.step("it runs as root in the project, with a sane environment", async () => {
    const { stdout } = await project.sh('id -un; pwd; echo "$HOME $USER $LANG"; hostname');
    strictEqual(stdout, "root\n/root/project\n/root root C.UTF-8\nvibe\n");
  });

  await t.step("a background process does not hold the command", async () => {
    const { stdout, code } = await project.sh("sleep 1000 & echo started");
    deepStrictEqual([stdout, code], ["started\n", 0]);
  });

  await t.step("a reader that leaves ends the command", async () => {
    const child = project.spawn(["run", "--", "yes"]);
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    await child.stdin.close();
    await child.stderr.cancel();
    strictEqual((await child.status).code, 141);
  });

  await t.step("SIGINT reaches the command, SIGTERM ends the session", async () => {
    const script = 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.1; done';
    const child = project.spawn(["run", "--", "bash", "-c", script]);
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    strictEqual((await reader.read()).value, "ready\n");
    child.kill("SIGINT");
    strictEqual((await reader.read()).value, "caught\n");
    strictEqual((await child.status).code, 5);
    await reader.cancel();
    await child.stderr.cancel();
    await child.stdin.close();

    const sleeper = project.spawn(["run", "--", "sh", "-c", "echo ready; exec sleep 4321"]);
    const ready = sleeper.stdout.getReader();
    await ready.read();
    sleeper.kill("SIGTERM");
    strictEqual((await sleeper.status).code, 143);
    await ready.cancel();
    await sleeper.stderr.cancel();
    await sleeper.stdin.close();
    await goneInGuest(project, "sleep 4321");
  });

  await t.step("a client that is killed frees its session", async () => {
    const child = project.spawn(["run", "--", "sh", "-c", "echo ready; exec sleep 4322"]);
    const reader = child.stdout.getReader();
    await reader.read();
    await killOutright(child, reader);
    await goneInGuest(project, "sleep 4322");
  });

  await t.step("options that the running VM does not have are an error", async () => {
    const { code, stderr } = await project.vibe(["--ram", "999", "run", "true"]);
    strictEqual(code, 125);
    match(stderr, /already runs.*--ram 2048/s);
    strictEqual((await project.vibe(["--ram", "2048", "run", "true"])).code, 0);
  });

  await t.step("the guest has a network, and its clock is right", async () => {
    await project.online();
    const { stdout } = await project.sh("date +%s; ip -o route show default; cat /etc/resolv.conf");
    const [seconds, route, ...resolver] = stdout.split("\n");
    ok(Math.abs(Number(seconds) - Date.now() / 1000) < 5, seconds);
    match(route, /^default via 10\.0\.2\.2 /);
    ok(resolver.includes("nameserver 10.0.2.3"), stdout);
  });

  await t.step("systemd comes up behind it with nothing failed", async () => {
    const { stdout } = await project.sh(
      "systemctl is-system-running --wait; systemctl --failed --no-legend",
    );
    strictEqual(stdout, "running\n");
  });
});

/** Waits, in the guest, until no process there has this command line. */
async function goneInGuest(project: Project, command: string): Promise<void> {
  const script =
    `for i in $(seq 100); do pgrep -xf "${command}" >/dev/null || exit 0; sleep 0.1; done
    exit 1`;
  strictEqual((await project.sh(script)).code, 0, `"${command}" still runs in the guest`);
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(bytes));
  return new Uint8Array(digest).toHex();
}
