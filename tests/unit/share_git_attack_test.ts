/** A hostile guest tries to have git on the host run something; then git is used on the host. */

import { deepStrictEqual as assertEquals, ok as assert } from "node:assert/strict";
import { run } from "../../lib/process.ts";
import type { GitMode } from "../../lib/share/git_mode.ts";
import { projectShares } from "../../lib/share/project.ts";
import { Repo } from "./git_support.ts";
import { namespaceTest, type Place } from "./share_support.ts";

/** What root of the guest does in the share, each step in spite of those that failed. */
const ATTACK = `
cd project
try() { "$@"; } 2>/dev/null
hook() { mkdir -p "$1"; printf '#!/bin/sh\\ntouch %s\\n' "$MARK" >"$1/pre-commit"; chmod +x "$1"/*; }
settings() { printf '[core]\\n\\tfsmonitor = "touch %s; false"\\n' "$MARK" >>"$1"; }
anew() { mv "$1" "$1.old" && cp -r "$1.old" "$1"; }
infect() {
  for git in .git .git/modules/lib/sub nested/.git; do
    try hook $git/hooks; try settings $git/config
    try git --git-dir=$git config core.fsmonitor "touch $MARK; false"
    cp $git/config x; try settings x; try mv -f x $git/config; try ln -f x $git/config
    try rm -f $git/config && try settings $git/config
    try chmod 777 $git/config; try truncate -s 0 x; try settings $git/config
    try anew $git/hooks; try hook $git/hooks
  done
}
infect
for dir in .git .git/modules .git/modules/lib .git/modules/lib/sub lib lib/sub nested nested/.git; do
  try anew $dir
done
infect
cp -r nested/.git fake; hook fake/hooks; settings fake/config
try rm -f lib/sub/.git; try sh -c 'echo "gitdir: ../../fake" >lib/sub/.git'
try anew scripts; try sh -c 'echo "touch $MARK" >>scripts/check'
try settings gitconfig; try anew gitconfig; try settings gitconfig
try mount -o remount,rw,bind .git/hooks; try umount .git/config; try infect
echo done`;

async function attack(place: Place, mode: GitMode): Promise<string[]> {
  const { dir } = place;
  const env = { GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null", HOME: dir };
  const lib = await Repo.init(`${dir}/lib`);
  const repo = await Repo.init(`${dir}/p`, { "scripts/check": "#!/bin/sh\n", gitconfig: "" });
  await Deno.chmod(`${repo.path}/scripts/check`, 0o755);
  await repo.git("submodule", "add", lib.path, "lib/sub");
  await repo.git("config", "include.path", "../gitconfig");
  await repo.git("commit", "-m", "x");
  await Repo.init(`${repo.path}/nested`);
  await Deno.symlink("../../scripts/check", `${repo.path}/.git/hooks/pre-push`);
  await place.make({ "p/.vibe": null });
  const { shares } = await projectShares(repo.path, mode, "/nobody");
  const mark = `${dir}/p/ran`;
  const said = await place.inTree(shares, `export MARK=${mark}\n${ATTACK}`);
  assertEquals(said.at(-1), "done");
  await Deno.remove(mark).catch(() => {});
  const used = [
    ["status"],
    ["diff"],
    ["add", "README"],
    ["commit", "--allow-empty", "-m", "y"],
    ["-C", "lib/sub", "status"],
    ["-C", "lib/sub", "commit", "--allow-empty", "-m", "z"],
    ["-C", "nested", "status"],
    ["-C", "nested", "commit", "--allow-empty", "-m", "z"],
    ["push", ".", "HEAD:other"],
  ];
  const options = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
  const ran: string[] = [];
  for (const words of used) {
    await run([...place.as.change, "git", ...options, ...words], { cwd: repo.path, env });
    const there = await Deno.remove(mark).then(() => true, () => false);
    if (there) ran.push(words.join(" "));
  }
  return ran;
}

namespaceTest("git guard: git on the host runs nothing of a hostile guest", async (place) => {
  assertEquals(await attack(place, "guard"), []);
});

namespaceTest("git guard: nor does it with a read-only or hidden .git", async (place) => {
  assertEquals(await attack(place, "ro"), []);
  await Deno.remove(`${place.dir}/p`, { recursive: true });
  await Deno.remove(`${place.dir}/lib`, { recursive: true });
  assertEquals(await attack(place, "hide"), []);
});

namespaceTest("git guard: with --git rw the same attack works", async (place) => {
  const ran = await attack(place, "rw");
  for (const words of ["status", "-C lib/sub status", "-C nested status", "push . HEAD:other"]) {
    assert(ran.includes(words), ran.join());
  }
});
