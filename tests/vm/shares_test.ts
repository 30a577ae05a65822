/** What the guest sees of the host, and what it cannot do to it. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { run } from "../../lib/process.ts";
import { DISK, NO_GUARDS, onlyOn } from "../support/driver.ts";
import { Project } from "../support/vibe.ts";

Deno.test("files travel both ways, with sane ownership", async () => {
  await using project = await Project.create();
  await project.write("from-host", "hello\n");
  const { stdout } = await project.sh(
    "cat from-host; stat -c '%U %a' from-host; echo hi > from-guest; mkdir -p a/b; " +
      "ln -s from-host link; chmod 750 from-guest",
  );
  strictEqual(stdout, "hello\nroot 644\n");
  strictEqual(await project.read("from-guest"), "hi\n");
  const info = await Deno.stat(project.path("from-guest"));
  deepStrictEqual([info.uid, (info.mode ?? 0) & 0o777], [Deno.uid(), 0o750]);
  strictEqual(await Deno.readLink(project.path("link")), "from-host");
});

Deno.test("extra mounts, and read-only that guest root cannot lift", async (t) => {
  await using project = await Project.create();
  const outside = `${project.dir}/../outside`;
  await Deno.mkdir(outside);
  await Deno.writeTextFile(`${outside}/file`, "original\n");
  await using _hold = await project.hold([
    ...["--mount", "../outside:data:read-only"],
    ...["--mount", "../outside:/srv/deep/data"],
  ]);

  await t.step("they are where they were asked for", async () => {
    const { stdout } = await project.sh("cat ~/data/file /srv/deep/data/file");
    strictEqual(stdout, "original\noriginal\n");
  });

  await t.step("read-only holds against remount, rename, unlink and a second mount", async () => {
    const attacks = [
      "echo x > ~/data/new",
      "echo x >> ~/data/file",
      "rm ~/data/file",
      "mv ~/data/file ~/data/gone",
      "mount -o remount,rw ~/data && echo x > ~/data/new",
      "mount -o remount,rw,bind ~/data && echo x > ~/data/new",
      "mkdir -p /m && mount -t virtiofs shared /m && echo x > /m/mount-0/file",
      "umount ~/data; rm /run/vibe/shared/mount-0/file; echo x > ~/data/file",
    ];
    for (const attack of attacks) await project.sh(attack);
    strictEqual(await Deno.readTextFile(`${outside}/file`), "original\n");
  });

  await t.step("the read-write one is writable", async () => {
    strictEqual((await project.sh("echo changed > /srv/deep/data/rw")).code, 0);
    strictEqual(await Deno.readTextFile(`${outside}/rw`), "changed\n");
  });
});

Deno.test({
  ...onlyOn("qemu", "macOS shares whole directories", "a single file as a mount, read-only"),
  fn: singleFile,
});

async function singleFile(): Promise<void> {
  await using project = await Project.create();
  const outside = `${project.dir}/../single`;
  await Deno.writeTextFile(outside, "one file\n");
  await using _hold = await project.hold(["--mount", "../single:conf/single:read-only"]);
  strictEqual((await project.sh("cat ~/conf/single")).stdout, "one file\n");
  const attacks = [
    "mount -o remount,rw ~/conf/single; echo x > ~/conf/single",
    "umount ~/conf/single; echo x > ~/conf/single; rm /run/vibe/shared/*/single",
  ];
  for (const attack of attacks) await project.sh(attack);
  strictEqual(await Deno.readTextFile(outside), "one file\n");
}

Deno.test({
  ...onlyOn("vz", "QEMU's file server can", "a single file as a mount is refused, with a remedy"),
  fn: singleFileRefused,
});

async function singleFileRefused(): Promise<void> {
  await using project = await Project.create();
  await project.write("single", "one file\n");
  const { code, stderr } = await project.sh("true", ["--mount", "single:conf/single"]);
  strictEqual(code, 125);
  match(
    stderr,
    /^vibe: Cannot share ".*\/single": it is not a directory\n.*share the one it is in/,
  );
}

Deno.test(".vibe is hidden, and Git's dangerous files are guarded", async (t) => {
  await using project = await Project.create();
  const git = async (...args: string[]) => {
    const result = await run(["git", "-C", project.dir, ...args]);
    ok(result.success, result.stderr);
    return result.stdout;
  };
  await git("init", "-q", "-b", "main");
  await git("config", "user.email", "me@example.org");
  await git("config", "user.name", "Me");
  await project.write("file", "1\n");
  await git("add", "file");
  await git("commit", "-q", "-m", "first");
  await using _hold = await project.hold();

  await t.step("status, commit and branch work in the guest", async () => {
    const { stdout, code, stderr } = await project.sh(
      "git status --short && echo 2 >> file && git commit -qam second && " +
        "git checkout -q -b feature && git commit -q --allow-empty -m third && git log --format=%s",
    );
    deepStrictEqual([stdout, code], ["third\nsecond\nfirst\n", 0], stderr);
    strictEqual(await git("log", "--format=%s", "feature"), "third\nsecond\nfirst\n");
  });

  await t.step("the guest sees nothing of .vibe and cannot write there", async () => {
    strictEqual((await project.sh("ls -A .vibe")).stdout, "");
    for (const attack of ["touch .vibe/x", "mv .vibe v && mkdir .vibe", "umount .vibe"]) {
      ok((await project.sh(attack)).code !== 0, attack);
    }
    ok((await Deno.stat(project.state(DISK))).isFile);
  });

  const guarded = "hooks and config stay as they were, whatever guest root tries";
  await t.step({ ...onlyOn("qemu", NO_GUARDS, guarded), fn: hooksAndConfigStay });

  async function hooksAndConfigStay(): Promise<void> {
    const before = await project.read(".git/config");
    const attacks = [
      "git config core.fsmonitor ./evil",
      "echo evil >> .git/config",
      "echo '#!/bin/sh' > .git/hooks/post-checkout",
      "mv .git .git2 && cp -r .git2 .git && echo evil >> .git/config",
      "rm -rf .git/hooks && mkdir .git/hooks && touch .git/hooks/pre-commit",
      "mount -o remount,rw .git/hooks; touch .git/hooks/pre-commit",
      "mkdir -p /m && mount -t virtiofs shared /m && echo evil >> /m/*/.git/config",
    ];
    for (const attack of attacks) await project.sh(attack);
    strictEqual(await project.read(".git/config"), before);
    const hooks = Array.from(Deno.readDirSync(project.path(".git/hooks")), ({ name }) => name);
    ok(hooks.every((name) => name.endsWith(".sample")), hooks.join());
    strictEqual(await git("fsck", "--no-progress"), "");
  }
});

Deno.test("--git rw, ro and hide; --no-default-mounts", async (t) => {
  await using project = await Project.create();
  await run(["git", "init", "-q", project.dir]);
  const readOnly = "touch .git/x; git status --short --branch; ls -A .git | grep x";
  const cases: [string[], string, RegExp, { guarded?: true }?][] = [
    [["--git", "rw"], "git config a.b c && cat .git/config", /b = c/],
    [["--git", "ro"], readOnly, /No commits/, { guarded: true }],
    [["--git", "hide"], "ls -A .git; git status 2>&1", /^fatal: not a git/, { guarded: true }],
    [["--no-default-mounts"], "pwd; ls -A", /^\/root\n(?!.*project)/],
  ];
  for (const [options, script, expected, { guarded } = {}] of cases) {
    const name = options.join(" ");
    await t.step({
      ...guarded ? onlyOn("qemu", NO_GUARDS, name) : { name },
      fn: async () => {
        match((await project.sh(script, options)).stdout, expected);
        await project.stopped();
      },
    });
  }
});

Deno.test("project names of every kind", async (t) => {
  for (const name of ["with space", "q'uo\"te", "ünïcödé 日本", "co:lon,comma", "-dash"]) {
    await t.step(name, async () => {
      await using project = await Project.create(name);
      const { stdout, code, stderr } = await project.sh("pwd; echo made > here");
      deepStrictEqual([stdout, code], [`/root/${name}\n`, 0], stderr);
      strictEqual(await project.read("here"), "made\n");
    });
  }
});
