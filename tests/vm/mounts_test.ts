/** Shares that come to a running VM, and go. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { DRIVER, NO_GUARDS, onlyOn } from "../support/driver.ts";
import { Project } from "../support/vibe.ts";

/** What is shared from outside of the project; the test's cache may add a share to each VM. */
async function added(project: Project): Promise<{ guest: string }[]> {
  const { stdout } = await project.vibe(["mount", "ls", "--json"]);
  const own = ["/root/project", "/root/.cache/mise"];
  return JSON.parse(stdout).filter(({ guest }: { guest: string }) => !own.includes(guest));
}

/** Nothing is said when it works. */
const ok = { code: 0, stdout: "", stderr: "", bytes: new Uint8Array() };

Deno.test("vibe mount add, ls and rm", async (t) => {
  await using project = await Project.create();
  const outside = await Deno.realPath(await Deno.makeTempDir());
  await Deno.mkdir(`${outside}/other/.vibe`, { recursive: true });
  await Deno.writeTextFile(`${outside}/other/.vibe/disk.qcow2`, "secret\n");
  await Deno.writeTextFile(`${outside}/file`, "original\n");
  const add = (spec: string) => project.vibe(["mount", "add", spec]);
  const rm = (...words: string[]) => project.vibe(["mount", "rm", ...words]);
  try {
    match((await add(`${outside}:data`)).stderr, /does not run\n/);
    await using _hold = await project.hold();

    await t.step("what is added is there, writable, at once", async () => {
      deepStrictEqual(await add(`${outside}:data`), ok);
      strictEqual(
        (await project.sh("cat ~/data/file; echo hi > ~/data/new")).stdout,
        "original\n",
      );
      strictEqual(await Deno.readTextFile(`${outside}/new`), "hi\n");
      match((await project.vibe(["mount", "ls"])).stdout, / \/root\/data +read-write\n$/);
      deepStrictEqual(await added(project), [
        { host: outside, guest: "/root/data", readOnly: false },
      ]);
    });

    await t.step("read-only is the host's to enforce", async () => {
      deepStrictEqual(await add(`${outside}:/srv/ro:ro`), ok);
      const attacks = [
        "echo x > /srv/ro/file",
        "mount -o remount,rw,bind /srv/ro; echo x > /srv/ro/file",
        "for s in /run/vibe/shared/added-2/; do echo x > $s/file; rm -f $s/file; done",
      ];
      for (const attack of attacks) await project.sh(attack);
      strictEqual(await Deno.readTextFile(`${outside}/file`), "original\n");
    });

    await t.step({
      ...onlyOn("qemu", NO_GUARDS, "so are other VMs' disks"),
      fn: async () => {
        await project.sh("echo x > ~/data/other/.vibe/disk.qcow2; mv ~/data/other ~/data/moved");
        const secret = `${outside}/other/.vibe/disk.qcow2`;
        strictEqual(await Deno.readTextFile(secret), "secret\n");
        strictEqual((await project.sh("grep -r secret ~/data /run/vibe/shared")).stdout, "");
      },
    });

    await t.step("what cannot be is said, and changes nothing", async () => {
      match((await add(`${outside}:data`)).stderr, /mounted at "\/root\/data" already/);
      match((await add(`${outside}/none:x`)).stderr, /no such file/);
      match((await add(`${project.state()}:x`)).stderr, /it is vibe's own/);
      match((await rm("nothing")).stderr, /Nothing is shared at "\/root\/nothing"/);
      strictEqual((await added(project)).length, 2);
    });

    await t.step("one in use is not taken away, unless by force", async () => {
      const stands = project.vibe(["run", "--", "sh", "-c", "cd ~/data && exec sleep 1000"]);
      await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
      match((await rm("data")).stderr, /it is in use\n.*--force/);
      deepStrictEqual(await rm("--force", "data"), ok);
      strictEqual((await project.sh("ls -A ~/data")).stdout, "");
      await project.sh("pkill -xf 'sleep 1000'");
      await stands;
      strictEqual(
        (await project.sh("ls -d /run/vibe/shared/added-*")).stdout,
        "/run/vibe/shared/added-2\n",
      );
    });

    await t.step("the other one, unused, goes without; the place can be used again", async () => {
      deepStrictEqual(await rm("/srv/ro"), ok);
      deepStrictEqual(await add(`${outside}:/srv/ro`), ok);
      strictEqual((await project.sh("cat /srv/ro/file")).stdout, "original\n");
    });

    await t.step("a single file, where the host can share one", async () => {
      const { code, stderr } = await add(`${outside}/file:/srv/one`);
      if (DRIVER === "vz") return match(stderr, /file": it is not a directory\n/);
      deepStrictEqual([code, stderr], [0, ""]);
      strictEqual((await project.sh("cat /srv/one")).stdout, "original\n");
    });
  } finally {
    await Deno.remove(outside, { recursive: true });
  }
});
