/** An ordinary user: their own copy of the program, their own image, no root anywhere. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { dirname } from "node:path";
import { run } from "../../lib/process.ts";
import { onlyOn } from "../support/driver.ts";
import { MAIN, TEST_CACHE } from "../support/vibe.ts";

const USER = "vibe-tester";

Deno.test({
  ...onlyOn(
    "qemu",
    "the framework takes every user alike",
    "an ordinary user starts a VM, and their files stay theirs",
  ),
  fn: ordinaryUser,
});

async function ordinaryUser(t: Deno.TestContext): Promise<void> {
  // Only root can become somebody else; an ordinary user's whole run of these tests is that test.
  if (Deno.uid() !== 0) {
    console.log("run by an ordinary user: every other VM test shows the same");
    return;
  }
  await run(["useradd", "--create-home", USER]);
  const [uid, gid] = await Promise.all(["-u", "-g"].map(async (flag) => {
    return Number((await run(["id", flag, USER])).stdout);
  }));
  const root = await Deno.makeTempDir({ prefix: "vibe-user-" });
  try {
    await prepare(root, uid, gid);
    const vibe = (...args: string[]) =>
      run(
        [
          ...["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--init-groups", "--"],
          ...["env", "-C", `${root}/project`],
          ...[`${root}/deno`, "run", "--allow-all", `${root}/program/main.ts`, ...args],
        ],
        {
          env: {
            HOME: `${root}/home`,
            DENO_DIR: `${root}/home/deno`,
            VIBE_CACHE: `${root}/cache`,
            VIBE_RUNTIME: `${root}/home/r`,
            NO_COLOR: "1",
          },
        },
      );

    await t.step("it runs", async () => {
      const { stdout, stderr, code } = await vibe("run", "--", "sh", "-c", "id -un; echo x > made");
      deepStrictEqual([stdout, code], ["root\n", 0], stderr);
    });

    await t.step("what the guest's root made is the user's", async () => {
      const info = await Deno.stat(`${root}/project/made`);
      deepStrictEqual([info.uid, info.gid], [uid, gid]);
    });

    await t.step("what root of the host owns stays out of reach", async () => {
      await Deno.writeTextFile(`${root}/project/of-root`, "secret\n", { mode: 0o600 });
      const { stdout, code } = await vibe("run", "--", "cat", "of-root");
      deepStrictEqual([stdout, code], ["", 1]);
    });

    await t.step("QEMU and virtiofsd ran as the user", async () => {
      const script = "until test -e stop; do sleep 0.1; done";
      const session = vibe("run", "--", "sh", "-c", `touch up; ${script}`);
      const up = (async () => {
        for await (const event of Deno.watchFs(`${root}/project`)) {
          if (event.paths.some((path) => path.endsWith("/up"))) return null;
        }
      })();
      const early = await Promise.race([up, session]);
      ok(!early, early?.stderr);
      const { stdout } = await run(["ps", "-u", `${uid}`, "-o", "comm="]);
      ok(stdout.includes("qemu-system") && stdout.includes("virtiofsd"), stdout);
      await Deno.writeTextFile(`${root}/project/stop`, "");
      strictEqual((await session).code, 0);
    });
  } finally {
    await stopped(`${root}/project/.vibe/lock`);
    await Deno.remove(root, { recursive: true });
    await run(["userdel", "--remove", USER]);
  }
}

/** Waits for the end of the VM that holds a lock, if there is one. */
async function stopped(path: string): Promise<void> {
  using lock = await Deno.open(path, { read: true, write: true }).catch(() => null);
  await lock?.lock(true);
}

/** The program, Deno and the image of the other tests, where the user can read them. */
async function prepare(root: string, uid: number, gid: number): Promise<void> {
  await Deno.chmod(root, 0o755);
  const source = dirname(MAIN);
  for (const dir of ["program", "project", "home"]) await Deno.mkdir(`${root}/${dir}`);
  await Deno.copyFile(Deno.execPath(), `${root}/deno`);
  const parts = ["main.ts", "deno.json", "deno.lock", "lib", "ffi", "provision"];
  const copies = [
    ["cp", "-r", ...parts.map((part) => `${source}/${part}`), `${root}/program`],
    ["cp", "-r", "--sparse=always", TEST_CACHE, `${root}/cache`],
    ["chown", "-R", `${uid}:${gid}`, `${root}/project`, `${root}/home`, `${root}/cache`],
    ["chmod", "755", `${root}/deno`],
  ];
  for (const argv of copies) {
    const { success, stderr } = await run(argv);
    ok(success, stderr);
  }
}
