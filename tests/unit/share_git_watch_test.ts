/** What a guest could add to Git directories, taken away while it runs. */

import { deepStrictEqual as assertEquals, ok as assert } from "node:assert/strict";
import { type GitViolation, watchGit } from "../../lib/share/git_watch.ts";
import { projectShares } from "../../lib/share/project.ts";
import { run } from "../../lib/process.ts";
import { gitTest, Repo } from "./git_support.ts";

/** A guarded project, what its watch told, and a wait for more. */
class Watched implements AsyncDisposable {
  readonly told: GitViolation[] = [];
  readonly quarantine: string;
  readonly #watch: AsyncDisposable;
  #more = Promise.withResolvers<void>();

  private constructor(project: string, start: (self: Watched) => AsyncDisposable) {
    this.quarantine = `${project}/.vibe/quarantine`;
    this.#watch = start(this);
  }

  static async start(project: string): Promise<Watched> {
    const { watch } = await projectShares(project, "guard", "/nobody");
    return new Watched(project, (self) =>
      watchGit(watch, self.quarantine, (violation) => {
        self.told.push(violation);
        self.#more.resolve();
      }));
  }

  /** Resolves once `count` violations were told in all. */
  async until(count: number): Promise<GitViolation[]> {
    while (this.told.length < count) {
      await this.#more.promise;
      this.#more = Promise.withResolvers();
    }
    return this.told;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#watch[Symbol.asyncDispose]();
  }
}

/** A repository whose settings make `git status` write a file: `dir/ran`. */
async function trap(dir: string, path: string): Promise<Repo> {
  const repo = await Repo.init(path);
  await repo.git("config", "core.fsmonitor", `touch ${dir}/ran; false`);
  return repo;
}

/** True if `git status` on the host runs what the trap holds. */
async function sprung(dir: string, repo: Repo): Promise<boolean> {
  await repo.git("status");
  return await exists(`${dir}/ran`);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

/** Has the index call `path` a submodule. */
async function link(repo: Repo, path: string): Promise<void> {
  const head = (await repo.git("rev-parse", "HEAD")).trim();
  await repo.git("update-index", "--add", "--cacheinfo", `160000,${head},${path}`);
}

gitTest("git watch: a commondir is moved away", async (dir) => {
  const evil = await trap(dir, `${dir}/evil`);
  const repo = await Repo.init(`${dir}/p`);
  await using watched = await Watched.start(repo.path);
  await Deno.writeTextFile(`${repo.path}/.git/commondir`, `${evil.path}/.git`);
  const [violation] = await watched.until(1);
  assertEquals(violation.kind, "appeared");
  assertEquals(violation.path, `${repo.path}/.git/commondir`);
  assertEquals(await Deno.readTextFile(violation.movedTo!), `${evil.path}/.git`);
  assert(violation.movedTo!.startsWith(`${watched.quarantine}/`));
  assertEquals(await sprung(dir, repo), false);
  // As often as it comes, and whatever it is; what is too much is not kept.
  for (let count = 2; count <= 21; count++) {
    await Deno.mkdir(`${repo.path}/.git/commondir`);
    await watched.until(count);
  }
  assertEquals([...Deno.readDirSync(watched.quarantine)].length, 20);
  assertEquals(await exists(`${repo.path}/.git/commondir`), false);
});

gitTest("git watch: without it, a commondir works", async (dir) => {
  const evil = await trap(dir, `${dir}/evil`);
  const repo = await Repo.init(`${dir}/p`);
  await Deno.writeTextFile(`${repo.path}/.git/commondir`, `${evil.path}/.git`);
  assertEquals(await sprung(dir, repo), true);
});

gitTest("git watch: a repository where the index has a submodule", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  await Repo.init(`${repo.path}/before`);
  await Deno.mkdir(`${repo.path}/a/b`, { recursive: true });
  await link(repo, "a/b");
  const spring = async () => {
    await Deno.remove(`${dir}/ran`).catch(() => {});
    return await sprung(dir, repo);
  };
  await using watched = await Watched.start(repo.path);
  // A repository of before is guarded, whatever the index says of it.
  await link(repo, "before");
  await trap(dir, `${repo.path}/later`);
  // First the repository, then the index says it is a submodule.
  await link(repo, "later");
  const [first] = await watched.until(1);
  assertEquals([first.kind, first.path], ["submodule", `${repo.path}/later/.git`]);
  assert(await exists(first.movedTo!));
  assertEquals(await spring(), false);
  // First the index, then the repository, moved there with all that is above it.
  await trap(dir, `${repo.path}/c/b`);
  await Deno.rename(`${repo.path}/a`, `${repo.path}/old`);
  await Deno.rename(`${repo.path}/c`, `${repo.path}/a`);
  const [, second] = await watched.until(2);
  assertEquals(second.path, `${repo.path}/a/b/.git`);
  assertEquals(await spring(), false);
  assert(await exists(`${repo.path}/before/.git`));
});

gitTest("git watch: without it, such a repository works", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  await trap(dir, `${repo.path}/later`);
  assertEquals(await sprung(dir, repo), false);
  await link(repo, "later");
  assertEquals(await sprung(dir, repo), true);
});

gitTest("git watch: submodules of before stay, and nothing outside is touched", async (dir) => {
  const lib = await Repo.init(`${dir}/lib`);
  const repo = await Repo.init(`${dir}/p`);
  await repo.git("submodule", "add", lib.path, "lib");
  await Deno.symlink(`${dir}`, `${repo.path}/up`);
  await Deno.mkdir(`${repo.path}/line\n`);
  const watched = await Watched.start(repo.path);
  await trap(dir, `${repo.path}/line\n`);
  // `up/lib` is a repository of the host, behind a link.
  await link(repo, "up/lib");
  await link(repo, "line\n");
  const [violation] = await watched.until(1);
  assertEquals(violation.path, `${repo.path}/line\n/.git`);
  assert(violation.movedTo !== null);
  await watched[Symbol.asyncDispose]();
  assertEquals(watched.told.length, 1);
  assert(await exists(`${repo.path}/lib/.git`));
  assert(await exists(`${lib.path}/.git`));
});

gitTest("git watch: settings that change are told, once, with their new lines", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  const watched = await Watched.start(repo.path);
  await repo.git("config", "alias.x", "!echo \x1b[31m");
  const [violation] = await watched.until(1);
  assertEquals([violation.kind, violation.path], ["changed", `${repo.path}/.git/config`]);
  assert(violation.message.includes("x = !echo \\x1b[31m"), violation.message);
  assert(!violation.message.includes("bare"));
  for (const [index, value] of ["a", "b", "a"].entries()) {
    await repo.git("config", "alias.x", value);
    await watched.until(index + 2);
  }
  await watched[Symbol.asyncDispose]();
  assertEquals(watched.told.length, 4);
});

gitTest("git watch: a last look when it ends", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  const watched = await Watched.start(repo.path);
  const ended = watched[Symbol.asyncDispose]();
  await Deno.writeTextFile(`${repo.path}/.git/commondir`, "x");
  await ended;
  assertEquals(watched.told.map(({ kind }) => kind), ["appeared"]);
});

gitTest("git watch: FIFOs and links in place of files do not stop it", async (dir) => {
  const repo = await Repo.init(`${dir}/p`);
  await run(["mkfifo", `${dir}/fifo`]);
  await using watched = await Watched.start(repo.path);
  for (const name of ["index", "sharedindex.x"]) {
    await run(["mkfifo", `${repo.path}/.git/${name}.lock`]);
    await Deno.rename(`${repo.path}/.git/${name}.lock`, `${repo.path}/.git/${name}`);
  }
  await Deno.writeTextFile(`${repo.path}/.git/commondir`, "x");
  await watched.until(1);
  await Deno.remove(`${repo.path}/.git/index`);
  await Deno.symlink(`${dir}/fifo`, `${repo.path}/.git/index`);
  await Deno.writeTextFile(`${repo.path}/.git/commondir`, "x");
  await watched.until(2);
});
