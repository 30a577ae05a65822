/** `--plan`: what it says, that it changes nothing, and that its command line says the same. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { VARIABLES } from "../../lib/config/places.ts";
import { readBase } from "../../lib/image/base.ts";
import { nameImage } from "../../lib/image/catalog.ts";
import { run, shellWord } from "../../lib/process.ts";
import { formatMount } from "../../lib/share/mount_spec.ts";
import { MAIN } from "../support/vibe.ts";
import { fakeBase, fakeVm } from "./image_support.ts";
import { plan, Scene } from "./plan_support.ts";

Deno.test("the explicit command line plans the same, whatever it was made from", async () => {
  await using scene = await Scene.make();
  let seed = 7;
  const random = (below: number) => (seed = seed * 48271 % 0x7fffffff) % below;
  const maybe = (...words: string[]) => random(2) === 0 ? words : [];
  const one = <T>(...values: T[]) => values[random(values.length)];
  const before = await scene.files();
  for (let round = 0; round < 60; round++) {
    for (const name of Object.values(VARIABLES)) scene.set(name, "");
    scene.set("VIBE_RAM", one("", "512"));
    scene.set("VIBE_TIMEOUT", one("", "9"));
    const mode = one("", ":ro", ":read-write,git=guard", ":ro,git=hide", ":git=rw");
    const name = maybe("--name", "group-1");
    const args = [
      ...maybe("--cpus", "1"),
      ...maybe("--ram", one("300", "777")),
      ...maybe("--git", one("guard", "rw", "ro", "hide")),
      ...maybe("--network", one("nat", "none")),
      ...maybe("--mount", `${scene.root}/other:other${mode}`),
      ...maybe("--mount", `${scene.root}/more,data:/srv/a\\:b:${one("ro", "rw")}`),
      ...maybe("--mount", one("file.txt:/etc/f.txt:ro", ".:/work", "src:src")),
      ...maybe("--mount", one("src:/root/.m2:ro", "src:.claude/sub")),
      ...maybe("--no-default-mounts"),
      ...maybe("--home-mounts"),
      ...maybe("--image", "default"),
      ...maybe("--disk", "30"),
      ...maybe("--reset"),
      ...maybe(one("--keep", "--rm")),
      ...maybe("--timeout", "2.5"),
      ...name,
      ...random(2) === 0
        ? ["run", "--", "sh", "-c", "echo 'a b'"]
        : maybe("--send", "make 'x'", "--expect", "$ ", "5", "--script", "src/a", "--expect", "y"),
    ];
    const first = await plan(args);
    const [program, ...explicit] = first.command;
    strictEqual(program, "vibe");
    ok(explicit.includes("--no-default-mounts"));
    // Neither settings nor variables add to it.
    for (const name of Object.values(VARIABLES)) scene.set(name, "");
    deepStrictEqual(await plan(explicit), first, args.join(" "));
  }
  strictEqual(await scene.files(), before, "a plan changes nothing");
});

Deno.test("settings of files are in the plan, and in its command line", async () => {
  await using scene = await Scene.make();
  await Deno.writeTextFile(
    `${scene.root}/config/vibe/config.toml`,
    'ram = 600\nmount = ["~/:home-dir:ro"]\ngit = "ro"\n',
  );
  await Deno.writeTextFile(`${scene.project}/vibe.toml`, 'network = "none"\ncpus = 1\n');
  const first = await plan(["run", "--", "true"]);
  deepStrictEqual(
    [first.cpus, first.memoryMiB, first.network, first.shares.map(({ guest }) => guest)],
    [1, 600, "none", [
      ...["/root/.claude", "/root/.claude/.credentials.json", "/root/.m2"],
      ...["/root/home-dir", "/root/my: project"],
    ]],
  );
  ok(!first.devices.some(({ kind }) => kind === "network"));
  deepStrictEqual(await plan(first.command.slice(1)), first);
});

Deno.test("the same for names that no shell leaves alone, as JSON and as it is printed", async () => {
  await using scene = await Scene.make();
  const odd = [
    "it's",
    '"q" $x `y`',
    "a\\",
    "-rf",
    "new\nline",
    "e\u0301 日本 \u{1f600}",
    "\u202e\x1b[2J",
  ];
  const mounts: string[] = [];
  for (const [i, name] of odd.entries()) {
    await Deno.mkdir(`${scene.root}/${name}`);
    mounts.push(
      "--mount",
      formatMount({ host: `${scene.root}/${name}`, guest: `/${i}/${name}`, readOnly: i % 2 === 0 }),
    );
  }
  const project = `${scene.root}/it's 日本`;
  await Deno.mkdir(project);
  await Deno.writeTextFile(`${project}/-s.sh`, "");
  Deno.chdir(project);
  for (
    const args of [
      [...mounts, "run", "--", "printf", "%s", ...odd, ""],
      [...mounts, ...odd.flatMap((text) => ["--send", text, "--expect", text, "1.5"])],
      ["--script", "-s.sh", "--expect", "5", "--send", "--plan", "--no-default-mounts"],
      ["--keep", "--idle", "5", "start"],
    ]
  ) {
    const first = await plan(args);
    deepStrictEqual(await plan(first.command.slice(1)), first, args.join(" "));
    const program = [Deno.execPath(), "run", "--allow-all", MAIN, "--plan"];
    const { stdout, stderr } = await run([...program, ...args]);
    const line = stdout.trimEnd().split("\n").at(-1)!;
    ok(!/[^\P{C}\n]/u.test(stdout), stdout + stderr);
    const typed = await run(["bash", "-c", `printf '%s\\0' ${line}`]);
    deepStrictEqual(typed.stdout.split("\0").slice(0, -1), first.command);
  }
});

Deno.test("the same for a disk image, an image by its name, and a VM that is there", async () => {
  await using scene = await Scene.make();
  const disk = `${scene.root}/it's a disk.raw`;
  const bytes = new Uint8Array(1 << 20);
  // Code in the boot sector, a partition, the boot sector's mark.
  [bytes[0], bytes[450], bytes[510], bytes[511]] = [0xeb, 0x83, 0x55, 0xaa];
  await Deno.writeFile(disk, bytes);
  scene.set("VIBE_IMAGE", "tools");
  const planned = async (...args: string[]) => {
    const first = await plan(args);
    scene.set("VIBE_IMAGE", "");
    deepStrictEqual(await plan(first.command.slice(1)), first);
    scene.set("VIBE_IMAGE", "tools");
    return first;
  };
  const ofDisk = await planned("--cpus", "1", disk);
  deepStrictEqual(
    [ofDisk.image, ofDisk.disk.path, ofDisk.boot, ofDisk.login.via],
    [null, disk, { kind: "bios" }, "console"],
  );

  await fakeBase(`${scene.root}/cache`, "one");
  await Deno.mkdir(`${scene.root}/cache/images`);
  await nameImage("tools", (await readBase("one"))!);
  deepStrictEqual((await planned()).image, { name: "tools", base: "one" });
  deepStrictEqual((await planned("--disk", "30")).disk.bytes, 30 * 2 ** 30);

  // A VM keeps its image, whatever the environment says.
  await fakeBase(`${scene.root}/cache`, "two");
  await fakeVm(scene.project, "two");
  deepStrictEqual((await planned()).image, { name: "default", base: "two" });
});

Deno.test("a linked worktree's plan is the same said explicitly", async () => {
  await using scene = await Scene.make();
  await run(["git", "-C", `${scene.root}/other`, "worktree", "add", `${scene.root}/tree`]);
  Deno.chdir(`${scene.root}/tree`);
  const first = await plan([]);
  const hosts = first.shares.map(({ host }) => host);
  for (const path of ["tree", "other/.git"]) ok(hosts.includes(`${scene.root}/${path}`), path);
  deepStrictEqual(await plan(first.command.slice(1)), first);
});

Deno.test("--plan prints it, builds nothing and says what is missing", async () => {
  await using scene = await Scene.make();
  const vibe = (...args: string[]) =>
    run([Deno.execPath(), "run", "--allow-all", MAIN, ...args], { cwd: scene.project });
  const { stdout, code } = await vibe("--plan", "--network", "none");
  strictEqual(code, 0);
  match(stdout, /^image +default \(not built yet\)$/m);
  match(stdout, /^missing +the image "default", which is built$/m);
  match(stdout, /^share +.*my: project at \/root\/my: project, read-write$/m);
  match(stdout, /^ +read-only nested\/\.git\/hooks$/m);
  const [line] = /^ {2}vibe .*$/m.exec(stdout)!;
  // What is printed can be typed into a shell.
  const typed = await run(["sh", "-c", `for w in ${line.trim()}; do printf '%s\\n' "$w"; done`]);
  const json = JSON.parse((await vibe("--plan", "--json", "--network", "none")).stdout);
  deepStrictEqual(typed.stdout.trim().split("\n"), json.command);
  deepStrictEqual(
    [...Deno.readDirSync(scene.root)].map(({ name }) => name).includes("cache"),
    false,
  );
});

Deno.test("words as a shell reads them", () => {
  deepStrictEqual(["a", "", "a b", "it's", "$x"].map(shellWord), [
    "a",
    "''",
    "'a b'",
    "'it'\\''s'",
    "'$x'",
  ]);
});
