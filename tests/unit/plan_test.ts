/** `--plan`: what it says, that it changes nothing, and that its command line says the same. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Command } from "commander";
import { addVmOptions, type CliOptions, mergedOptions } from "../../lib/cli/options.ts";
import { actionsOf, addActionOptions, joinSeconds } from "../../lib/cli/actions.ts";
import { planFor, type Planned } from "../../lib/cli/plan_command.ts";
import { VARIABLES } from "../../lib/config/places.ts";
import { type PlanReport, shellWord } from "../../lib/plan/report.ts";
import { run } from "../../lib/process.ts";
import { MAIN } from "../support/vibe.ts";
import { Repo } from "./git_support.ts";

/** A project with repositories in it, some without hooks, and things to share. */
class Scene implements AsyncDisposable {
  readonly #before = new Map<string, string | undefined>();
  readonly #cwd = Deno.cwd();
  private constructor(readonly root: string, readonly project: string) {}

  static async make(): Promise<Scene> {
    const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "vibe-plan-" }));
    const scene = new Scene(root, `${root}/my: project`);
    for (const name of Object.values(VARIABLES)) scene.set(name, "");
    scene.set("VIBE_CACHE", `${root}/cache`);
    scene.set("VIBE_DATA", `${root}/data`);
    scene.set("XDG_CONFIG_HOME", `${root}/config`);
    scene.set("HOME", `${root}/home`);
    scene.set("GIT_CONFIG_GLOBAL", "/dev/null");
    for (const dir of ["home", "config/vibe", "data dir", "more,data"]) {
      await Deno.mkdir(`${root}/${dir}`, { recursive: true });
    }
    // Directories of the user's that are shared as copies, with a login in one.
    await Deno.mkdir(`${root}/home/.claude/projects`, { recursive: true });
    await Deno.writeTextFile(`${root}/home/.claude/.credentials.json`, "");
    await Deno.mkdir(`${root}/home/.m2`);
    await Repo.init(`${root}/other`, { "src/x": "1\n" });
    await Repo.init(scene.project, { "src/a": "1\n", "file.txt": "2\n" });
    await Repo.init(`${scene.project}/nested`);
    await Deno.remove(`${scene.project}/nested/.git/hooks`, { recursive: true });
    Deno.chdir(scene.project);
    return scene;
  }

  set(name: string, value: string): void {
    if (!this.#before.has(name)) this.#before.set(name, Deno.env.get(name));
    Deno.env.set(name, value);
  }

  /** Every path below the root, with sizes and times of change. */
  async files(): Promise<string> {
    const { stdout } = await run(["find", this.root, "-printf", "%p %s %C@\n"]);
    return stdout.split("\n").sort().join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Deno.chdir(this.#cwd);
    for (const [name, value] of this.#before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
    await Deno.remove(this.root, { recursive: true });
  }
}

/** The plan for a command line, parsed as the program parses it. */
async function plan(args: string[]): Promise<PlanReport> {
  const parsed = Promise.withResolvers<[Planned, CliOptions]>();
  const program = addActionOptions(addVmOptions(new Command("vibe"))).exitOverride()
    .enablePositionalOptions().action((_, command: Command) =>
      parsed.resolve([{ run: null, actions: actionsOf(command) }, mergedOptions(command)])
    );
  addVmOptions(program.command("run").argument("<command...>").passThroughOptions())
    .action((words: string[], _: unknown, command: Command) =>
      parsed.resolve([{ run: words, actions: [] }, mergedOptions(command)])
    );
  await program.parseAsync(joinSeconds(args, program), { from: "user" });
  return await planFor(...await parsed.promise, () => {});
}

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
