/** A supervisor of another version, or one that does not answer, played by a small program. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { flockHolders, isLocked, lockHolders } from "../../lib/instance/holder.ts";
import { instancePaths, projectInstance } from "../../lib/paths.ts";

const MAIN = fileURLToPath(import.meta.resolve("../../main.ts"));

/** Holds the lock, listens, greets with the words it is given, and tells what it is asked. */
const FAKE = `
const [lock, socket, hello] = Deno.args.slice(1);
const file = await Deno.open(lock, { create: true, read: true, write: true });
await file.lock(true);
const listener = Deno.listen({ transport: "unix", path: socket });
console.log("up");
for await (const conn of listener) {
  if (!hello) continue;
  const text = new TextEncoder().encode(hello);
  await conn.write(new Uint8Array([0, 0, 0, 0, 8 + text.length, 0, 0, 1, 86, 73, 66, 69, 1, 0, 0, 0, ...text]));
}`;

/** A project whose VM seems to run under another build. */
async function withFake(
  hello: string,
  test: (fake: {
    vibe(...args: string[]): Promise<{ code: number; stderr: string }>;
    state(): Promise<string>;
    child: Deno.ChildProcess;
    lock: string;
  }) => Promise<void>,
): Promise<void> {
  const root = await Deno.realPath(await Deno.makeTempDir());
  const project = `${root}/project`;
  const instance = await projectInstance(project);
  const runtime = `${root}/r/${instance.id}`;
  await Deno.mkdir(`${project}/.vibe`, { recursive: true });
  await Deno.mkdir(runtime, { recursive: true, mode: 0o700 });
  const { lock, record } = instancePaths({ dir: `${project}/.vibe` });
  const made = { version: 1, image: "default", base: "b", created: "2026-01-02T03:04:05Z" };
  await Deno.writeTextFile(record, JSON.stringify(made));
  await Deno.writeTextFile(`${root}/fake.ts`, FAKE);
  const env = { VIBE_RUNTIME: `${root}/r`, VIBE_DATA: `${root}/data`, VIBE_CACHE: `${root}/cache` };
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${root}/fake.ts`, "__supervise", lock, `${runtime}/vibe.sock`, hello],
    stdout: "piped",
  }).spawn();
  const said = child.stdout.getReader();
  await said.read();
  try {
    await test({
      child,
      lock,
      state: async () => {
        const { stdout } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", MAIN, "ls", "--json"],
          cwd: project,
          env,
        }).output();
        return JSON.parse(new TextDecoder().decode(stdout))[0].state;
      },
      vibe: async (...args) => {
        const { code, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", MAIN, ...args],
          cwd: project,
          env: { ...env, NO_COLOR: "1" },
        }).output();
        return { code, stderr: new TextDecoder().decode(stderr) };
      },
    });
  } finally {
    try {
      child.kill("SIGKILL");
    } catch {
      // The test ended it.
    }
    await said.cancel();
    await child.status;
    await Deno.remove(root, { recursive: true });
  }
}

for (const [hello, version] of [["vibe", "older than"], ["vibe 9.9.9 control 99", "9\\.9\\.9"]]) {
  Deno.test(`a VM of another version (${hello}) is told apart, and can be stopped`, () =>
    withFake(hello, async ({ vibe, child, lock, state }) => {
      const { code, stderr } = await vibe("run", "true");
      strictEqual(code, 125);
      match(stderr, new RegExp(`was started by another version of vibe: ${version}`));
      match(stderr, /`vibe restart`/);
      strictEqual(await state(), "other-version");
      deepStrictEqual(await lockHolders(lock), [child.pid]);
      strictEqual(await isLocked(lock), true);
      deepStrictEqual(await vibe("stop"), { code: 0, stderr: "" });
      strictEqual((await child.status).signal, "SIGTERM");
      strictEqual(await isLocked(lock), false);
    }));
}

Deno.test("a supervisor that does not answer ends by force", () =>
  withFake("", async ({ vibe, child, state }) => {
    child.kill("SIGSTOP");
    strictEqual(await state(), "silent");
    deepStrictEqual(await vibe("stop", "--force"), { code: 0, stderr: "" });
    strictEqual((await child.status).signal, "SIGKILL");
    strictEqual(await state(), "stopped");
  }));

Deno.test("/proc/locks: who holds a lock, not who waits, nor another kind", () => {
  const table = `1: POSIX  ADVISORY  READ 11 fe:00:5 128 128
2: FLOCK  ADVISORY  WRITE 12 fe:00:5 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 fe:00:5 0 EOF
3: FLOCK  ADVISORY  WRITE 14 00:2a:55 0 EOF
`;
  deepStrictEqual(flockHolders(table, 5), [12]);
});
