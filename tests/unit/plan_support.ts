/** Plans of command lines, in a project made for them. */

import { Command } from "commander";
import { actionsOf, addActionOptions, joinSeconds } from "../../lib/cli/actions.ts";
import { diskArgument } from "../../lib/cli/disk_argument.ts";
import { addVmOptions, type CliOptions, mergedOptions } from "../../lib/cli/options.ts";
import { planFor, type Planned } from "../../lib/cli/plan_command.ts";
import { VARIABLES } from "../../lib/config/places.ts";
import type { PlanReport } from "../../lib/plan/report.ts";
import { run } from "../../lib/process.ts";
import { Repo } from "./git_support.ts";

/** A project with repositories in it, some without hooks, and things to share. */
export class Scene implements AsyncDisposable {
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
export async function plan(args: string[]): Promise<PlanReport> {
  const parsed = Promise.withResolvers<[Planned, CliOptions]>();
  const program = addActionOptions(addVmOptions(new Command("vibe"))).exitOverride()
    .enablePositionalOptions().allowExcessArguments().configureOutput({ writeErr() {} })
    .action(async (_, command: Command) => {
      const diskImage = await diskArgument(command.args, []);
      const options = { ...mergedOptions(command), diskImage };
      parsed.resolve([{ run: null, actions: actionsOf(command) }, options]);
    });
  addVmOptions(program.command("run").argument("<command...>").passThroughOptions())
    .action((words: string[], _: unknown, command: Command) =>
      parsed.resolve([{ run: words, actions: [] }, mergedOptions(command)])
    );
  addVmOptions(program.command("start")).action((_: unknown, command: Command) => {
    const options = { ...mergedOptions(command), keep: true };
    parsed.resolve([{ run: null, actions: [], startOnly: true }, options]);
  });
  await program.parseAsync(joinSeconds(args, program), { from: "user" });
  return await planFor(...await parsed.promise, () => {});
}
