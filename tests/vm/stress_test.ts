/** Much at once and much in a row: nothing is lost, nobody is held up, nothing is left over. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { supervisorsOf } from "../support/processes.ts";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

const MEGABYTE = 1_000_000;

/** What a supervisor holds. */
async function holdings(project: Project): Promise<{ descriptors: number; megabytes: number }> {
  const [{ pid }] = await supervisorsOf(project);
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return {
    descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    megabytes: Number(status.match(/^VmRSS:\s+(\d+) kB$/m)![1]) / 1000,
  };
}

/**
 * The programs in the guest, by name and how many. Kernel threads do not count, nor udev's workers,
 * which end when they have been idle for a while.
 */
async function guestPrograms(project: Project): Promise<string> {
  const { stdout } = await project.sh(
    "ps -eo ppid=,comm= | awk '$1 != 2 && $2 != \"(udev-worker)\" { print $2 }' | sort",
  );
  return stdout;
}

Deno.test("many sessions on one VM", async (t) => {
  await using project = await Project.create();
  await using _hold = await project.hold();
  await project.booted();

  await t.step("20 at once, each with its own answer", async () => {
    const numbers = Array.from({ length: 20 }, (_, i) => i);
    const answers = await Promise.all(
      numbers.map((i) => project.sh(`read -r line; echo "$line" ${i}; sleep 1; exit ${i}`)),
    );
    deepStrictEqual(
      answers.map(({ code, stdout }) => [code, stdout]),
      numbers.map((i) => [i, ` ${i}\n`]),
    );
  });

  await t.step("200 in a row leave nothing behind", async () => {
    for (let i = 0; i < 5; i++) await project.vibe(["run", "true"]);
    const programs = await guestPrograms(project);
    const before = await holdings(project);
    for (let i = 0; i < 200; i++) strictEqual((await project.vibe(["run", "true"])).code, 0);
    const after = await holdings(project);
    strictEqual(await guestPrograms(project), programs);
    strictEqual(after.descriptors, before.descriptors);
    ok(after.megabytes < before.megabytes + 30, `${before.megabytes} MB -> ${after.megabytes} MB`);
  });

  await t.step("a program whose output nobody reads holds up only itself", async () => {
    const before = await holdings(project);
    const flood = project.spawn([
      "run",
      "--",
      "sh",
      "-c",
      "echo $$ >&2; exec head -c 1G /dev/zero",
    ]);
    const reader = flood.stderr.getReader();
    const pid = new TextDecoder().decode((await reader.read()).value).trim();
    // It has filled every buffer on the way once it sleeps in a write.
    await project.sh(
      `until grep -q pipe_write /proc/${pid}/wchan || grep -q ' S ' /proc/${pid}/stat; do sleep 0.1; done`,
    );
    for (let i = 0; i < 10; i++) strictEqual((await project.sh("echo fine")).stdout, "fine\n");
    const during = await holdings(project);
    ok(
      during.megabytes < before.megabytes + 30,
      `${before.megabytes} MB -> ${during.megabytes} MB`,
    );
    let bytes = 0;
    for await (const chunk of flood.stdout) bytes += chunk.byteLength;
    strictEqual(bytes, 2 ** 30);
    await reader.cancel();
    await flood.stdin.close();
    strictEqual((await flood.status).code, 0);
  });

  await t.step("a paste of 100 MB arrives whole", async () => {
    const line = new TextEncoder().encode("0123456789abcdef".repeat(4096));
    const count = Math.ceil(100 * MEGABYTE / line.length);
    const work = `stty raw -echo; echo ready; head -c ${count * line.length} | sha256sum`;
    // node-pty drops what a terminal does not take at once; script(1) waits.
    const words = vibeCommand("run", "--", "sh", "-c", `'${work}'`).join(" ");
    const terminal = new Deno.Command("script", {
      args: ["--quiet", "--return", "--command", words, "/dev/null"],
      cwd: project.dir,
      env: project.env,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    let text = "";
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const reading = (async () => {
      for await (const chunk of terminal.stdout.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        if (text.includes("ready")) resolve();
      }
    })();
    await Promise.race([ready, reading]);
    const writer = terminal.stdin.getWriter();
    const pasted = (await import("node:crypto")).createHash("sha256");
    for (let i = 0; i < count; i++) {
      pasted.update(line);
      await writer.write(line);
    }
    await reading;
    strictEqual((await terminal.status).code, 0);
    await writer.close().catch(() => {});
    strictEqual(text.match(/[0-9a-f]{64}/)?.[0], pasted.digest("hex"));
  });

  await t.step("a storm of resizes ends with the last size", async () => {
    using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
    await terminal.waitFor(/root@vibe:~\/project#\s*$/);
    for (let i = 0; i < 500; i++) {
      terminal.resize(40 + i % 100, 10 + i % 50);
      if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    terminal.resize(91, 27);
    terminal.type(
      "until [ \"$(stty size)\" = '27 91' ]; do sleep 0.1; done; echo as it should be\r",
    );
    match((await terminal.waitFor(/\nas it should be/)).input!, /as it should be/);
    terminal.type("exit\r");
    strictEqual(await terminal.exited, 0);
  });
});
