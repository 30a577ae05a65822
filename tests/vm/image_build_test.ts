/** `vibe image build`: layers that work, fail, hang and are killed. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { run } from "../../lib/process.ts";
import { Project, TEST_CACHE } from "../support/vibe.ts";
import { Building, names } from "./support_build.ts";
import { smallDisk, testImage } from "./support_image.ts";

/** Waits until the log of a build holds a text. */
async function logged(cache: string, pid: number, text: string): Promise<void> {
  for (;;) {
    const log = (await names(`${cache}/logs`)).find((name) => name.endsWith(`-${pid}.log`));
    const content = log ? await Deno.readTextFile(`${cache}/logs/${log}`) : "";
    if (content.includes(text)) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

Deno.test("image build: layers that worked are kept, can be used, and are not done again", async () => {
  await using building = await Building.create();
  const { project, name } = building;
  await project.write(
    "one.sh",
    'echo one >/etc/one\necho "vibe: installed thing 1.2"\necho "vibe: missing other no server"\n' +
      "test $(id -u) = 0\ntest -e /run/vibe-build/one.sh",
  );
  await project.write("two.sh", '#!/bin/bash\necho "two says $(cat /etc/one)"\nexit 3');
  const failed = await project.vibe(building.words("one.sh", "two.sh"));
  strictEqual(failed.code, 125, failed.stderr);
  match(failed.stderr, /The layer "one\.sh" goes without other: no server/);
  match(failed.stderr, /its layer "two\.sh" failed, it exited with 3:\n(.*\n)*two says one\n/);
  match(
    failed.stderr,
    /can be used, but ends before that layer \(it has one\.sh of one\.sh, two\.sh\)/,
  );
  match(failed.stderr, new RegExp(`vibe image build ${name} --resume`));
  const partial = await building.info();
  strictEqual(partial.unfinished, "two.sh");
  deepStrictEqual(partial.layers[0].installed, { thing: "1.2" });
  deepStrictEqual(partial.layers[0].missing, { other: "no server" });

  await project.write("two.sh", "cat /etc/one /etc/one >/etc/two\nrm -rf /run/vibe-build");
  const built = await project.vibe(["image", "build", name, "--resume", "--json"]);
  strictEqual(built.code, 0, built.stderr);
  const report = JSON.parse(built.stdout);
  strictEqual(report.resumed, 1);
  deepStrictEqual(report.layers.map((layer: { name: string }) => layer.name), ["one.sh", "two.sh"]);
  const info = await building.info();
  strictEqual(info.id, report.base);
  strictEqual(info.unfinished, undefined);
  strictEqual(info.source, "default");
  ok(info.packages.systemd);
  await building.tidy();
  const disk = `${TEST_CACHE}/bases/${info.id}/disk.raw`;
  strictEqual((await run(["/sbin/e2fsck", "-fn", disk])).code, 0);
  await Deno.remove(`${TEST_CACHE}/bases/${partial.id}`, { recursive: true });

  await using _hold = await project.hold(["--image", name]);
  const { stdout } = await project.sh("cat /etc/two; ls /run/vibe-build");
  match(stdout, /^one\none\n$/);
});

Deno.test("image build: killed at any moment, it goes on, and leaves nothing", async () => {
  await using building = await Building.create();
  const { project, name } = building;
  await project.write("one.sh", "echo one >>/etc/one; sleep 2");
  await project.write("two.sh", "echo two >>/etc/one; sleep 2");
  const words = building.words("one.sh", "two.sh");
  const moments: number[] = [];
  for (let anew = true; moments.length < 10;) {
    const child = project.spawn(anew ? words : [...words, "--resume"]);
    // Before, in and between layers, at another moment each time.
    const moment = Math.round(Math.random() * 15_000);
    const timer = setTimeout(() => Deno.kill(child.pid, "SIGKILL"), moment);
    const stderr = new Response(child.stderr).text();
    const [{ code }] = await Promise.all([
      child.status,
      child.stdout.cancel(),
      child.stdin.close().catch(() => {}),
    ]);
    clearTimeout(timer);
    anew = code !== 137;
    if (anew) strictEqual(code, 0, `after kills at ${moments} ms: ${await stderr}`);
    else moments.push(moment);
  }
  const built = await project.vibe([...words, "--resume", "--json"]);
  strictEqual(built.code, 0, built.stderr);
  await building.tidy();
  deepStrictEqual((await names(`${TEST_CACHE}/bases`)).filter((n) => n.endsWith(".partial")), []);
  const { stdout } = await project.vibe(["--image", name, "run", "cat", "/etc/one"]);
  strictEqual(stdout, "one\ntwo\n");
});

Deno.test("image build: Ctrl-C, a layer that hangs, two at once, once more by reset", async () => {
  await using building = await Building.create();
  const { project, name } = building;
  await project.write("hang.sh", "echo it hangs; exec sleep 1000");
  const hung = await project.vibe([...building.words("hang.sh"), "--layer-timeout", "0.05"]);
  strictEqual(hung.code, 125);
  match(hung.stderr, /its layer "hang\.sh" failed, it took longer than 0\.05 minutes:\nit hangs\n/);
  match(hung.stderr, /There is no image "test-\w+" yet/);

  const child = project.spawn(building.words("hang.sh"));
  const stderr = new Response(child.stderr).text();
  await logged(TEST_CACHE, child.pid, "it hangs");
  child.kill("SIGINT");
  strictEqual((await child.status).code, 130);
  await Promise.all([child.stdout.cancel(), child.stdin.close()]);
  match(await stderr, /^vibe: Cannot finish the image: interrupted\n/m);
  deepStrictEqual(await project.processes(building.buildDir), []);
  deepStrictEqual(await names(building.buildDir), ["state.json"]);

  await project.write("quick.sh", "echo quick >>/etc/quick");
  const both = await Promise.all([1, 2].map(() => project.vibe(building.words("quick.sh"))));
  deepStrictEqual(both.map(({ code }) => code), [0, 0], both.map((b) => b.stderr).join());
  await building.tidy();
  await project.write("quick.sh", "echo quicker >>/etc/quick");
  const reset = await project.vibe(["image", "reset", name]);
  strictEqual(reset.code, 0, reset.stderr);
  const { stdout } = await project.vibe(["--image", name, "run", "cat", "/etc/quick"]);
  strictEqual(stdout, "quicker\n");
  const [first] = both.map(({ stderr }) => stderr).filter((text) => !text.includes("Waiting"));
  ok(first !== undefined);
  // Those that were built first have no name any more.
  await project.vibe(["prune"]);
});

Deno.test("image build: a host's disk that becomes full, or is read-only, is named", async () => {
  const base = await testImage();
  await using disk = await smallDisk(2900);
  const cache = `${disk.dir}/cache`;
  await Deno.mkdir(`${cache}/bases`, { recursive: true });
  await Deno.mkdir(`${cache}/images`);
  const copied = await run(["cp", "-r", "--sparse=always", base.dir, `${cache}/bases/`]);
  ok(copied.success, copied.stderr);
  const pointer = JSON.stringify({ base: base.id });
  await Deno.writeTextFile(`${cache}/images/default.json`, pointer);
  await using project = await Project.create();
  await project.write("fill.sh", "echo begun; sleep 5; yes | head -c 400M >/big; sync; echo over");
  const words = ["image", "build", "full", "--base", "default", "--layers", "none"];
  const child = project.spawn(
    [...words, "--script", project.path("fill.sh")],
    { VIBE_CACHE: cache },
  );
  const stderr = new Response(child.stderr).text();
  await logged(cache, child.pid, "begun");
  {
    using filler = await Deno.open(`${disk.dir}/filler`, { write: true, create: true });
    const block = new Uint8Array(4 << 20);
    const { statfs } = await import("node:fs/promises");
    const room = async () => {
      const { bavail, bsize } = await statfs(disk.dir);
      return bavail * bsize;
    };
    while (await room() > 100 << 20) await filler.write(block);
  }
  const { code } = await child.status;
  await Promise.all([child.stdout.cancel(), child.stdin.close()]);
  strictEqual(code, 125);
  match(await stderr, /^vibe: Cannot build the image: no space is left in "/m);
  deepStrictEqual(await names(`${cache}/builds/full`), ["state.json"]);
  deepStrictEqual(await names(`${cache}/bases`), [base.id, "use.lock"].sort());

  await Deno.remove(`${cache}/builds`, { recursive: true });
  const sudo = Deno.uid() === 0 ? [] : ["sudo", "-n"];
  const mounted = await run([...sudo, "mount", "-o", "remount,ro", disk.dir]);
  ok(mounted.success, mounted.stderr);
  const refused = await project.vibe(
    [...words, "--script", project.path("fill.sh")],
    { env: { VIBE_CACHE: cache } },
  );
  strictEqual(refused.code, 125);
  match(refused.stderr, /^vibe: Cannot write in "/);
  match(refused.stderr, /VIBE_CACHE/);
});
