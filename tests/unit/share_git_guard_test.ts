/** What is guarded in which repository. Every case is made with the git of this host. */

import { deepStrictEqual as assertEquals, ok as assert, rejects } from "node:assert/strict";
import type { Guard } from "../../lib/driver/driver.ts";
import type { GitMode } from "../../lib/share/git_mode.ts";
import { makeDirectories } from "../../lib/share/directory.ts";
import { newRepositories, scanRepositories } from "../../lib/share/git_scan.ts";
import { type ProjectShares, projectShares } from "../../lib/share/project.ts";
import { gitTest, Repo } from "./git_support.ts";

const find = (project: string, mode: GitMode = "guard") => projectShares(project, mode, "/nobody");

/** `path rule`, sorted. */
function rules(guards: Guard[]): string[] {
  return guards.map(({ path, rule }) => `${path} ${rule}`).sort();
}

function guardsOf(found: ProjectShares): string[] {
  return rules(found.shares[0].guards);
}

gitTest("git guard: an ordinary repository", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  const found = await find(repo.path);
  assertEquals(guardsOf(found), [
    ".git pin",
    ".git/config read-only",
    ".git/hooks read-only",
    ".vibe hide",
  ]);
  const absent = ["config.worktree", "commondir"].map((name) => `${repo.path}/.git/${name}`);
  assertEquals(found.watch, {
    absent,
    settings: [`${repo.path}/.git/config`],
    repositories: [{ gitDir: `${repo.path}/.git`, workTree: repo.path }],
    guarded: [`${repo.path}/.git`],
  });
  assertEquals(found.repositories, [{ path: "", kind: "directory" }]);
  assertEquals([found.warnings, found.shares.length, found.shares[0].guestPath], [
    [],
    1,
    "/root/p",
  ]);
});

gitTest("git guard: each mode", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  await Repo.init(`${repo.path}/nested`);
  const nested = (rule: string) => [".vibe hide", "nested pin", `nested/.git ${rule}`];
  assertEquals(guardsOf(await find(repo.path, "rw")), [".vibe hide"]);
  assertEquals(guardsOf(await find(repo.path, "ro")), [".git read-only", ...nested("read-only")]);
  assertEquals(guardsOf(await find(repo.path, "hide")), [".git hide", ...nested("hide")]);
  assertEquals(guardsOf(await find(repo.path)), [
    ...[".git pin", ".git/config read-only", ".git/hooks read-only"],
    ...nested("pin"),
    ...["nested/.git/config read-only", "nested/.git/hooks read-only"],
  ]);
});

gitTest("git guard: no repository, and one without hooks", async (dir) => {
  await Deno.mkdir(`${dir}/none`);
  assertEquals(guardsOf(await find(`${dir}/none`)), [".vibe hide"]);
  const repo = await Repo.init(`${dir}/p`);
  await Deno.remove(`${repo.path}/.git/hooks`, { recursive: true });
  const found = await find(repo.path);
  assert(guardsOf(found).includes(".git/hooks read-only"));
  // To look changes nothing; it is made before the VM starts.
  await rejects(Deno.lstat(`${repo.path}/.git/hooks`), Deno.errors.NotFound);
  await makeDirectories(found.shares, found.directories);
  assertEquals([...Deno.readDirSync(`${repo.path}/.git/hooks`)], []);
});

gitTest("the settings of projects cannot be written by the guest", async (dir) => {
  await Deno.mkdir(`${dir}/sub/.vibe`, { recursive: true });
  for (const name of ["vibe.toml", "sub/vibe.toml"]) await Deno.writeTextFile(`${dir}/${name}`, "");
  assertEquals(guardsOf(await find(dir)), [
    ".vibe hide",
    "sub pin",
    "sub/.vibe hide",
    "sub/vibe.toml read-only",
    "vibe.toml read-only",
  ]);
});

gitTest("git guard: submodules, also within submodules, and worktrees", async (dir) => {
  const inner = await Repo.init(`${dir}/inner`);
  const middle = await Repo.init(`${dir}/middle`);
  await middle.git("submodule", "add", inner.path, "in");
  await middle.git("commit", "-m", "x");
  const repo = await Repo.init(`${dir}/p`);
  await repo.git("submodule", "add", middle.path, "lib/mid dle");
  await repo.git("submodule", "update", "--init", "--recursive");
  await repo.git("commit", "-m", "x");
  await repo.git("worktree", "add", `${dir}/elsewhere`);
  const found = await find(repo.path);
  const module = ".git/modules/lib/mid dle";
  assertEquals(
    guardsOf(found),
    [
      ...[".git pin", ".git/config read-only", ".git/hooks read-only", ".vibe hide"],
      ...[".git/modules pin", ".git/modules/lib pin", `${module} pin`],
      ...[`${module}/config read-only`, `${module}/hooks read-only`, `${module}/modules pin`],
      ...[`${module}/modules/in pin`, `${module}/modules/in/config read-only`],
      `${module}/modules/in/hooks read-only`,
      ...["lib pin", "lib/mid dle pin", "lib/mid dle/.git read-only"],
      ...["lib/mid dle/in pin", "lib/mid dle/in/.git read-only"],
      ...[".git/worktrees pin", ".git/worktrees/elsewhere read-only"],
    ].sort(),
  );
  const guarded = [".git", "lib/mid dle/.git", "lib/mid dle/in/.git"];
  assertEquals(found.watch.guarded.sort(), guarded.map((path) => `${repo.path}/${path}`));
  assertEquals(found.watch.repositories.length, 3);
});

gitTest("git guard: a project that is a linked worktree", async (dir) => {
  const main = await Repo.init(`${dir}/main`);
  await main.git("worktree", "add", `${dir}/tree`);
  await main.git("worktree", "add", `${dir}/other`);
  const found = await find(`${dir}/tree`);
  const [project, git] = found.shares;
  assertEquals(rules(project.guards), [".git read-only", ".vibe hide"]);
  assertEquals(
    [git.name, git.source, git.guestPath, git.readOnly],
    ["git", `${main.path}/.git`, `${main.path}/.git`, false],
  );
  assertEquals(
    rules(git.guards),
    [
      ...["config read-only", "hooks read-only", "worktrees pin", "worktrees/other read-only"],
      ...["worktrees/tree pin", "worktrees/tree/commondir read-only"],
      "worktrees/tree/gitdir read-only",
    ].sort(),
  );
  assertEquals((await find(`${dir}/tree`, "hide")).shares.length, 1);
  const [, readOnly] = (await find(`${dir}/tree`, "ro")).shares;
  assertEquals([readOnly.readOnly, readOnly.guards], [true, []]);
});

gitTest("git guard: the submodules of a linked worktree", async (dir) => {
  const lib = await Repo.init(`${dir}/lib`);
  const main = await Repo.init(`${dir}/main`);
  await main.git("submodule", "add", lib.path, "sub");
  await main.git("commit", "-m", "x");
  await main.git("worktree", "add", `${dir}/tree`);
  await new Repo(`${dir}/tree`).git("submodule", "update", "--init");
  const { shares: [project, git], watch } = await find(`${dir}/tree`);
  assertEquals(rules(project.guards), [
    ...[".git read-only", ".vibe hide", "sub pin", "sub/.git read-only"],
  ]);
  const module = "worktrees/tree/modules/sub";
  for (const rule of [`${module} pin`, `${module}/config read-only`, `${module}/hooks read-only`]) {
    assert(rules(git.guards).includes(rule), rules(git.guards).join());
  }
  assertEquals(watch.repositories[1], {
    gitDir: `${main.path}/.git/${module}`,
    workTree: `${dir}/tree/sub`,
  });
});

gitTest("git guard: a .git file does not open another repository", async (dir) => {
  const other = await Repo.init(`${dir}/other`);
  await other.git("worktree", "add", `${dir}/tree`);
  await Deno.mkdir(`${dir}/p`);
  for (const target of ["../other/.git", `${dir}/other/.git`, "../other/.git/worktrees/tree"]) {
    await Deno.writeTextFile(`${dir}/p/.git`, `gitdir: ${target}\n`);
    const found = await find(`${dir}/p`);
    assertEquals(found.shares.length, 1, target);
    assert(/Git will not work/.test(found.warnings[0]), found.warnings[0]);
    assertEquals(guardsOf(found), [".git read-only", ".vibe hide"]);
  }
});

gitTest("git guard: what settings and hooks lead to in the project", async (dir) => {
  const repo = await Repo.init(`${dir}/p`, {
    "scripts/check": "#!/bin/sh\n",
    "conf/gitconfig": "[alias]\n\tx = status\n",
    ".husky/_/h": "",
    ".husky/pre-commit": "",
  });
  await repo.git("config", "include.path", "../conf/gitconfig");
  await repo.git("config", "includeIf.onbranch:never.path", "../conf/later");
  await repo.git("config", "include.path", "../none/x", "--add");
  await repo.git("config", "core.hooksPath", ".husky/_");
  await Deno.symlink("../../scripts/check", `${repo.path}/.git/hooks/pre-push`);
  await Deno.symlink("/bin/true", `${repo.path}/.git/hooks/post-merge`);
  const found = await find(repo.path);
  assertEquals(
    guardsOf(found),
    [
      ...[".git pin", ".git/config read-only", ".git/hooks read-only", ".vibe hide"],
      ...["conf pin", "conf/gitconfig read-only", ".husky read-only"],
      ...["scripts pin", "scripts/check read-only"],
    ].sort(),
  );
  assertEquals(
    found.watch.absent.filter((path) => !path.includes("/.git/")).sort(),
    [`${repo.path}/conf/later`, `${repo.path}/none`],
  );
});

gitTest("git guard: hooks that the user's own settings name for every repository", async (dir) => {
  const repo = await Repo.init(`${dir}/p`, { ".githooks/pre-commit": "" });
  await Repo.init(`${repo.path}/nested`, { ".githooks/pre-commit": "" });
  await Deno.writeTextFile(`${dir}/global`, "[core]\n\thooksPath = .githooks\n");
  Deno.env.set("GIT_CONFIG_GLOBAL", `${dir}/global`);
  const guards = guardsOf(await find(repo.path));
  assert(guards.includes(".githooks read-only"), guards.join());
  assert(guards.includes("nested/.githooks read-only"), guards.join());
});

gitTest(
  "git guard: links are not followed; the project's own repository is refused",
  async (dir) => {
    const other = await Repo.init(`${dir}/other`);
    for (const path of [".git", ".git/hooks", ".git/config", ".git/commondir", ".git/modules"]) {
      const repo = await Repo.init(`${dir}/p`);
      await Deno.remove(`${repo.path}/${path}`, { recursive: true }).catch(() => {});
      await Deno.symlink(`${other.path}/${path}`, `${repo.path}/${path}`);
      await rejects(find(repo.path), (error: Error & { code: string }) => {
        assert(error.message.includes(`"${repo.path}/${path}"`), error.message);
        return error.code === "GIT_UNGUARDABLE";
      });
      assertEquals(guardsOf(await find(repo.path, "rw")), [".vibe hide"]);
      await Deno.remove(repo.path, { recursive: true });
    }
    const repo = await Repo.init(`${dir}/p`);
    await Deno.mkdir(`${repo.path}/sub`);
    await Deno.symlink(`${other.path}/.git`, `${repo.path}/sub/.git`);
    const { warnings } = await find(repo.path);
    assertEquals(warnings.length, 1);
    assert(warnings[0].includes(`"${repo.path}/sub/.git"`));
  },
);

gitTest("git guard: other projects' VMs are hidden", async (dir) => {
  const repo = await Repo.init(`${dir}/p`, { "apps/web/.vibe/disk.qcow2": "" });
  for (const mode of ["guard", "rw", "ro", "hide"] as const) {
    const guards = guardsOf(await find(repo.path, mode));
    assertEquals(guards.filter((rule) => rule.startsWith("apps")), [
      "apps pin",
      "apps/web pin",
      "apps/web/.vibe hide",
    ]);
  }
});

gitTest("project: too wide, and names of any kind", async (dir) => {
  for (const project of ["/", dir, await Deno.realPath("/tmp")]) {
    const home = project === "/" ? undefined : dir;
    await rejects(projectShares(project, "guard", home), { code: "PROJECT_TOO_WIDE" }, project);
  }
  await Deno.symlink(dir, `${dir}/link`);
  await rejects(projectShares(dir, "guard", `${dir}/link`), { code: "PROJECT_TOO_WIDE" });
  for (const name of ["-x", "a b", 'it\'s "so"', "snow☃", "a:b,c", "new\nline"]) {
    await Deno.mkdir(`${dir}/${name}`);
    const { shares: [share] } = await find(`${dir}/${name}`);
    assertEquals([share.guestPath, share.source], [`/root/${name}`, `${dir}/${name}`]);
  }
  await Deno.mkdir(`${dir}/linked`);
  await Deno.symlink(dir, `${dir}/linked/.vibe`);
  await rejects(find(`${dir}/linked`), { code: "PROJECT_STATE" });
});

gitTest("repositories that were made meanwhile are found", async (dir) => {
  const repo = await Repo.init(`${dir}/p`, { "node_modules/dep/index.js": "" });
  await Repo.init(`${repo.path}/node_modules/dep`);
  const before = scanRepositories(repo.path);
  await Repo.init(`${repo.path}/a/b`);
  await repo.git("init", "--bare", "store.git");
  await Deno.symlink(dir, `${repo.path}/round`);
  const after = scanRepositories(repo.path);
  assertEquals(newRepositories(before.repositories, after.repositories), [
    { path: "store.git", kind: "bare" },
    { path: "a/b", kind: "directory" },
  ]);
  assertEquals(newRepositories(after.repositories, before.repositories), []);
  assertEquals([before.complete, after.complete], [true, true]);
});

gitTest("a scan has bounds, and says so", async (dir) => {
  await Deno.mkdir(`${dir}/p/1/2/3/4/5/6/7`, { recursive: true });
  assertEquals(scanRepositories(`${dir}/p`).complete, false);
  await Deno.mkdir(`${dir}/wide`);
  for (let n = 0; n < 1000; n++) await Deno.mkdir(`${dir}/wide/${n}`);
  assertEquals(scanRepositories(`${dir}/wide`).complete, false);
  await Deno.remove(`${dir}/wide/0`);
  assertEquals(scanRepositories(`${dir}/wide`).complete, true);
});
