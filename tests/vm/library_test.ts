/** The library, in this very process. */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { VibeError, Vm } from "../../lib/api/mod.ts";
import { run } from "../../lib/process.ts";
import { libraryHome } from "../support/library.ts";

const encoder = new TextEncoder();

// A supervisor is a child process that is meant to outlive what started it.
Deno.test({ name: "a VM by its name", sanitizeResources: false, sanitizeOps: false }, async (t) => {
  await using home = await libraryHome();
  const shared = `${home.root}/a:b`;
  await Deno.mkdir(shared);
  const steps: string[] = [];
  const options = {
    name: "docs-vm",
    ram: 512,
    mounts: [{ host: shared, guest: "data" }, { host: shared, guest: "/ro", readOnly: true }],
    timeout: 300,
    onProgress: (text: string) => steps.push(text),
  };
  await using vm = await Vm.open(options);

  await t.step("is described, and tells what it is doing", () => {
    const { title, ram, workdir, mounts } = vm.description;
    deepStrictEqual([title, ram, workdir], ["docs-vm", 512, null]);
    deepStrictEqual(mounts.map((m) => [m.guest, m.readOnly]), [["/root/data", false], [
      "/ro",
      true,
    ]]);
    ok(steps.includes("Booting"), steps.join());
  });

  await t.step("programs: status, both outputs, input, environment, directory, user", async () => {
    const script = 'cat; echo "$A $PWD $(id -un)" >&2; exit 7';
    const result = await vm.exec(["sh", "-c", script], {
      stdin: "in",
      env: { A: "b=c d" },
      cwd: "/var/tmp",
      user: "nobody",
    });
    const { stdout, stderr, code, signal, success, timedOut, truncated } = result;
    deepStrictEqual([stdout, stderr], ["in", "b=c d /var/tmp nobody\n"]);
    deepStrictEqual([code, signal, success, timedOut, truncated], [7, null, false, false, false]);
    const killed = await vm.exec(["sh", "-c", "kill -9 $$"]);
    deepStrictEqual([killed.code, killed.signal], [null, "SIGKILL"]);
  });

  await t.step("what cannot be run, and what makes no sense, is an error", async () => {
    await rejects(vm.exec(["no-such-program"]), code("EXEC_FAILED"));
    await rejects(vm.exec(["a\0b"]), /NUL/);
    await rejects(
      vm.exec(["cat"], { stdin: failingStream(new Error("no more")) }),
      /no more/,
    );
    throws(() => vm.spawn(["true"]).kill("SIGNONE"), code("SIGNAL_UNKNOWN"));
    await rejects(Vm.open({ name: "../x" }), code("VM_NAME"));
    await rejects(Vm.open({}), code("VM_TARGET"));
    await rejects(Vm.open({ ...options, cpus: 0.5 }), code("SETTING_INVALID"));
    await rejects(Vm.open({ ...options, ram: 777 }), code("VM_DIFFERS"));
  });

  await t.step("a limit, and a signal, end a program and all it started", async () => {
    const script = "setsid sleep 5001 & exec sleep 5002";
    const late = await vm.exec(["sh", "-c", script], { timeout: 4 });
    deepStrictEqual([late.timedOut, late.success, late.signal], [true, false, "SIGTERM"]);
    const controller = new AbortController();
    const program = vm.spawn(["sh", "-c", `echo ready; ${script}`], { signal: controller.signal });
    await program.stdout.getReader().read();
    controller.abort(new Error("not wanted"));
    await rejects(program.status, /not wanted/);
    await rejects(vm.exec(["true"], { signal: controller.signal }), /not wanted/);
    strictEqual((await vm.exec(["pgrep", "-r", "D,R,S,T", "sleep"])).code, 1);
  });

  await t.step("output is bounded, or goes where it is told to", async () => {
    const argv = ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"];
    const { stdout, truncated } = await vm.exec(argv, { maxOutput: 1000 });
    deepStrictEqual([stdout.length, truncated], [1000, true]);
    let bytes = 0;
    const sink = new WritableStream<Uint8Array>({ write: (chunk) => void (bytes += chunk.length) });
    const piped = await vm.exec(argv, { stdout: sink });
    deepStrictEqual([piped.stdout, bytes, sink.locked], ["", 300_000, false]);
  });

  await t.step("a program with streams, signals and a terminal", async () => {
    const program = vm.spawn([
      "sh",
      "-c",
      "trap 'echo bye; exit 3' USR1; tty; read x; echo $x; cat",
    ], {
      tty: { rows: 30, columns: 100 },
    });
    const reader = program.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const sees = async (what: RegExp) => {
      while (!what.test(text)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`ended after ${JSON.stringify(text)}`);
        text += value;
      }
    };
    await sees(/pts\/\d+\r\n/);
    const writer = program.stdin.getWriter();
    await writer.write(encoder.encode("hello\n"));
    await sees(/hello\r\nhello\r\n/);
    program.resize({ rows: 10, columns: 20 });
    program.kill("SIGUSR1");
    await writer.write(encoder.encode("\x04"));
    await sees(/bye/);
    strictEqual((await program.status).code, 3);
  });

  await t.step("scripts: any bytes, an interpreter, arguments", async () => {
    const text = "#!/bin/bash\ncat <<'EOF'\nEOF'\"$x\nEOF\necho \"$1|$#|$(cat)\"\nexit 9";
    const { stdout, code } = await vm.script(text, ["a b"], { stdin: "in" });
    deepStrictEqual([stdout, code], ["EOF'\"$x\na b|1|in\n", 9]);
    const plain = await vm.script(encoder.encode("echo ü $((1 + 1))"), [], { user: "nobody" });
    strictEqual(plain.stdout, "ü 2\n");
    strictEqual((await vm.exec(["sh", "-c", "ls -A /var/tmp | grep vibe"])).stdout, "");
  });

  await t.step("files: any bytes and name, modes, whole or not at all", async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    for (const path of ["-n", "/root/a b'\"$x\n", "/root/data/shared"]) {
      await vm.writeFile(path, bytes, { mode: 0o640 });
      deepStrictEqual(await new Response(vm.readFile(path)).bytes(), bytes);
    }
    deepStrictEqual(await Deno.readFile(`${shared}/shared`), bytes);
    const { stdout } = await vm.exec(["stat", "-c", "%a %s", "./-n"]);
    strictEqual(stdout, "640 60000\n");
    await rejects(vm.writeFile("-n", failingStream(new Error("broken"))), /broken/);
    const aborted = AbortSignal.abort(new Error("enough"));
    await rejects(vm.writeFile("-n", "x", { signal: aborted }), /enough/);
    deepStrictEqual(await new Response(vm.readFile("-n")).bytes(), bytes);
    const { stdout: names } = await vm.exec(["sh", "-c", "ls | grep '^-n'"]);
    strictEqual(names, "-n\n");
    await rejects(vm.writeFile("no/such", "x"), code("GUEST_FILE_NOT_FOUND"));
    await rejects(vm.readTextFile("none"), code("GUEST_FILE_NOT_FOUND"));
    await rejects(vm.readTextFile("/etc"), code("GUEST_FILE"));
    await rejects(vm.writeFile("/ro/x", "x"), /Read-only file system/);
  });

  await t.step("a reader that leaves a file early leaves nothing running", async () => {
    const reader = vm.readFile("/dev/zero").getReader();
    await reader.read();
    await reader.cancel();
    const wait = "for i in $(seq 100); do pgrep -x cat || exit 0; sleep 0.1; done; exit 1";
    strictEqual((await vm.exec(["sh", "-c", wait])).code, 0);
  });

  await t.step("the same VM twice, also from the command line", async () => {
    await using again = await Vm.open({ name: "docs-vm" });
    await again.writeFile("/root/from-again", "x");
    const { stdout } = await home.vibe("--name", "docs-vm", "run", "cat", "/root/from-again");
    strictEqual(stdout, "x");
    again.close();
    await rejects(again.exec(["true"]), code("VM_CLOSED"));
    strictEqual((await vm.exec(["true"])).code, 0);
  });

  await t.step("every example in its documentation runs", async () => {
    const files = ["lib/api/mod.ts", "lib/api/vm.ts", "docs/library.md"];
    const root = fileURLToPath(new URL("../../", import.meta.url));
    const { success, stdout, stderr } = await run(
      [Deno.execPath(), "test", "--allow-all", "--doc", ...files],
      { cwd: root, env: { NO_COLOR: "1" } },
    );
    ok(success, stdout + stderr);
    match(stdout, /^ok \| (?:[89]|\d\d) passed \| 0 failed/m);
  });

  await t.step("how it is, from outside", async () => {
    const stats = await vm.stats();
    const { exists, running, image, cpus, ram } = stats;
    deepStrictEqual([exists, running, image, cpus, ram], [true, true, "default", 2, 512]);
    ok(stats.diskBytes > 1 << 20 && stats.since! > stats.created! && stats.modified !== null);
    const none = await Vm.stats({ name: "nobody" });
    deepStrictEqual([none.exists, none.running, none.diskBytes], [false, false, 0]);
    deepStrictEqual([await Vm.remove({ name: "nobody" })], [false]);
  });

  await t.step("a reset throws the disk away, and only that", async () => {
    const { created } = await vm.stats();
    await vm.reset();
    strictEqual((await vm.exec(["test", "-e", "/root/from-again"])).code, 1);
    strictEqual((await vm.exec(["test", "-s", "/root/data/shared"])).code, 0);
    ok((await vm.stats()).created! > created!);
  });

  await t.step("a start that is given up", async () => {
    const signal = AbortSignal.abort(new Error("changed my mind"));
    await rejects(Vm.open({ ...options, signal }), /changed my mind/);
  });

  await t.step("it is stopped, then removed", async () => {
    await vm.stop();
    await rejects(vm.exec(["true"]), code("VM_CLOSED"));
    const { exists, running, since, modified } = await Vm.stats({ name: "docs-vm" });
    deepStrictEqual([exists, running, since], [true, false, null]);
    ok(modified! > new Date(Date.now() - 3_600_000));
    strictEqual(await Vm.remove({ name: "docs-vm" }), true);
    strictEqual((await Vm.stats({ name: "docs-vm" })).exists, false);
  });
});

function code(wanted: string): (error: unknown) => boolean {
  return (error) => error instanceof VibeError && error.code === wanted;
}

/** A stream that breaks after its first bytes. */
function failingStream(error: Error): ReadableStream<Uint8Array> {
  let first = true;
  return new ReadableStream({
    pull(controller) {
      if (first) controller.enqueue(encoder.encode("x".repeat(1000)));
      else controller.error(error);
      first = false;
    },
  });
}
