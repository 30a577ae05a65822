/** `--plan`: what it says, that it changes nothing, and that its command line says the same. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { VARIABLES } from "../../lib/config/places.ts";
import { run, shellWord } from "../../lib/process.ts";
import { MAIN } from "../support/vibe.ts";
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
