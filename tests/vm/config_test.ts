/** Settings from files and the environment, as a guest and its user meet them. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { NO_GUARDS, onlyOn } from "../support/driver.ts";
import { Project } from "../support/vibe.ts";

/** CPUs, MiB (roughly), interfaces: what a VM was started with. */
const LOOK = "nproc; ls /sys/class/net; ls /root";

Deno.test("settings shape the VM, and a stranger's file cannot widen it", async (t) => {
  await using project = await Project.create();
  const config = `${project.dir}/../config/vibe`;
  await Deno.mkdir(config, { recursive: true });
  await Deno.writeTextFile(`${config}/config.toml`, 'ram = 700\ngit = "ro"\n');
  await Deno.mkdir(`${project.dir}/../secret`);
  await Deno.writeTextFile(`${project.dir}/../secret/key`, "");
  await project.write(
    "vibe.toml",
    `# made for attacks
cpus = 1
network = "none"
git = "rw"
ram = 4096
mount = ["../secret:secret", "/etc:host-etc:ro"]
`,
  );

  await t.step("the user's values hold where the project's would widen them", async () => {
    const { code, stdout, stderr } = await project.sh(LOOK);
    strictEqual(code, 0, stderr);
    // No NIC at all: the loopback interface is alone.
    deepStrictEqual(stdout, "1\nlo\nproject\n");
    const path = `${project.dir}/vibe.toml`;
    deepStrictEqual(stderr.split("\n").filter((line) => line.includes("line ")), [
      "vibe:   line 5: ram = 4096: that is more than you give; it is 700",
      'vibe:   line 4: git = "rw": that is laxer than "ro"',
      'vibe:   line 6: mount = ["' +
      `${project.dir.replace(/\/project$/, "")}/secret:/root/secret` +
      ':read-write"]: it is outside of the project',
      'vibe:   line 6: mount = ["/etc:/root/host-etc:read-only"]: it is outside of the project',
    ]);
    ok(stderr.startsWith(`vibe: "${path}" is not trusted`), stderr);
  });

  const guarded = onlyOn("qemu", NO_GUARDS, "the guest cannot change the file");
  await t.step({ ...guarded, fn: cannotChange });

  async function cannotChange(): Promise<void> {
    const write = "echo > vibe.toml; rm -f vibe.toml; mv vibe.toml x; cat vibe.toml | head -1";
    const { stdout } = await project.sh(write);
    strictEqual(stdout, "# made for attacks\n");
    match(await project.read("vibe.toml"), /^# made for attacks/);
  }

  await t.step("the environment is the user's word, and a flag beats it", async () => {
    await project.stopped();
    await project.write("vibe.toml", 'network = "none"\n');
    const env = { VIBE_RAM: "600", VIBE_CPUS: "1" };
    const shown = await project.vibe(["--ram", "650", "config", "show", "--origin"], { env });
    strictEqual(shown.code, 0, shown.stderr);
    match(shown.stdout, /^cpus = 1 +# VIBE_CPUS$/m);
    match(shown.stdout, /^ram = 650 +# command line$/m);
    match(shown.stdout, /^git = "ro" +# .*\/config\.toml:2$/m);
    match(shown.stdout, /^network = "none" +# .*\/vibe\.toml:1$/m);
    match(shown.stdout, /^default-mounts = true +# default$/m);
    await project.stopped();
    const script = "grep MemTotal /proc/meminfo; nproc";
    const { stdout, stderr } = await project.vibe(["run", "--", "sh", "-c", script], { env });
    const [, kib, cpus] = /MemTotal: +(\d+) kB\n(\d)/.exec(stdout)!;
    ok(Number(kib) > 450 << 10 && Number(kib) < 600 << 10, stdout);
    strictEqual(cpus, "1");
    ok(!stderr.includes("trusted"), stderr);
  });

  await t.step("a file that is trusted does what it says, until it is changed", async () => {
    await project.stopped();
    await project.write("vibe.toml", 'git = "rw"\nmount = ["../secret:secret"]\n');
    const trusted = await project.vibe(["trust"]);
    strictEqual(trusted.code, 0);
    match(trusted.stderr, /line 1: git = "rw"\n.*line 2: mount/);
    const first = await project.sh("ls /root/secret");
    strictEqual(first.stdout, "key\n");
    ok(!first.stderr.includes("trusted"), first.stderr);
    strictEqual(
      (await project.vibe(["trust", "--list"])).stdout.split("  ")[1].trim(),
      project.path("vibe.toml"),
    );

    await project.stopped();
    await project.write("vibe.toml", 'git = "rw"\nmount = ["../secret:secret", "/etc:e"]\n');
    const changed = await project.vibe(["run", "--", "sh", "-c", "ls /root/secret; sleep 60"], {
      env: { VIBE_TIMEOUT: "2" },
    });
    strictEqual(changed.code, 124);
    strictEqual(changed.stdout, "");
    match(changed.stderr, /has changed since you trusted it/);
    strictEqual((await project.vibe(["trust", "--revoke"])).code, 0);
    strictEqual((await project.vibe(["trust", "--list"])).stdout, "");
  });

  await t.step("a file that makes no sense stops the start, by file, line and key", async () => {
    await project.write("vibe.toml", 'netwrok = "none"\n');
    await project.stopped();
    const { code, stderr } = await project.sh("true");
    strictEqual(code, 2);
    match(
      stderr,
      /^vibe: Cannot use ".*\/vibe\.toml", line 1: "netwrok": There is no such setting/,
    );
  });
});

Deno.test("VIBE_DEBUG says what --verbose says", async () => {
  await using project = await Project.create();
  await project.write("vibe.toml", "cpus = 0\n");
  const plain = await project.vibe(["run", "true"]);
  const debug = await project.vibe(["run", "true"], { env: { VIBE_DEBUG: "1" } });
  const verbose = await project.vibe(["--verbose", "run", "true"]);
  for (const { stderr } of [debug, verbose]) match(stderr, /\[CONFIG_INVALID\]/);
  ok(!plain.stderr.includes("CONFIG_INVALID"));
});
