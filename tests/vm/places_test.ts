/** Directories that vibe cannot or should not use, and users that are not root. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { dirname } from "node:path";
import { run } from "../../lib/process.ts";
import { onlyOn } from "../support/driver.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

/** Runs vibe in a mount namespace of its own, after `mounts` (a shell script; $1 is the project). */
async function vibeWithMounts(project: Project, mounts: string, args: string[]) {
  const script = `${mounts}\ncd "$1" && shift && exec "$@"`;
  const result = await run(
    ["unshare", "-Urm", "sh", "-c", script, "sh", project.dir, ...vibeCommand(...args)],
    { env: project.env },
  );
  return result;
}

const ELSEWHERE = "a Mac's VM has no files in the project";

Deno.test({
  ...onlyOn("qemu", ELSEWHERE, "a read-only project directory is named, and how to share it"),
  fn: readOnlyProject,
});

async function readOnlyProject(): Promise<void> {
  await using project = await Project.create();
  const { code, stderr } = await vibeWithMounts(
    project,
    'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"',
    ["run", "true"],
  );
  strictEqual(code, 125);
  match(stderr, /^vibe: Cannot make a VM in ".*\/project": it is read-only/);
  match(stderr, /--mount .*:read-only/);
}

Deno.test({
  ...onlyOn("qemu", ELSEWHERE, "a .vibe that is no directory is left alone"),
  fn: blockedState,
});

async function blockedState(): Promise<void> {
  await using project = await Project.create();
  await project.write(".vibe", "");
  const blocked = await project.vibe(["run", "true"]);
  strictEqual(blocked.code, 125);
  match(blocked.stderr, /^vibe: Cannot use ".*\/\.vibe": it is not a directory/);
}

Deno.test("a full disk while the VM's disk is made: an error, and nothing half done", async () => {
  await using project = await Project.create();
  const above = dirname(project.state());
  const { code, stderr } = await vibeWithMounts(
    project,
    `mkdir -p '${above}' && mount -t tmpfs -o size=96k tmpfs '${above}'`,
    ["run", "true"],
  );
  strictEqual(code, 125);
  match(stderr, /No space left|full/i);
  strictEqual((await project.sh("echo fine")).stdout, "fine\n");
});

Deno.test("the root directory and the home directory are refused", async () => {
  await using project = await Project.create();
  const { code, stderr } = await project.vibe(["run", "true"], { env: { HOME: project.dir } });
  strictEqual(code, 2);
  match(stderr, /home directory/);
  match(stderr, /--no-default-mounts/);
  // What is shared on purpose is shared.
  const options = ["--no-default-mounts", "--mount", ".:home"];
  const own = await project.vibe([...options, "run", "--", "ls", "-d", "/root/home"], {
    env: { HOME: project.dir },
  });
  deepStrictEqual([own.stdout, own.code], ["/root/home\n", 0]);
});

Deno.test("mounts that cannot be are refused before anything starts", async () => {
  await using project = await Project.create();
  const cases: [string, RegExp][] = [
    ["nonsense", /nonsense/],
    ["/no/such/dir:x", /"\/no\/such\/dir"/],
    [".:/proc/x", /\/proc/],
    [".:x:sometimes", /sometimes/],
    [":x", /":x"/],
  ];
  for (const [spec, message] of cases) {
    const { code, stderr, stdout } = await project.vibe(["--mount", spec, "run", "true"]);
    deepStrictEqual([code, stdout], [2, ""], spec);
    match(stderr, message);
  }
});
