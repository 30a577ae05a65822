/** Compiling the agent: with a compiler that is a script, to see how it is called. */

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { VibeError } from "../../lib/errors.ts";
import { AGENT_SOURCES, ensureAgent } from "../../lib/image/agent_build.ts";
import type { Base } from "../../lib/image/base.ts";
import { ensureBootFiles, initrdEntries } from "../../lib/image/initrd.ts";
import { silentProgress } from "../../lib/progress.ts";

const options = { progress: silentProgress };

/** Runs a test with an empty cache and a `cc` that is this shell script. */
async function withCompiler(
  script: string,
  test: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const before = { PATH: Deno.env.get("PATH")!, VIBE_CACHE: Deno.env.get("VIBE_CACHE") };
  await Deno.mkdir(`${dir}/bin`);
  await Deno.writeTextFile(
    `${dir}/bin/cc`,
    `#!/bin/sh\ncase $1 in -print-file-name=*) echo /lib/libc.a; exit;; esac\n${script}\n`,
    { mode: 0o755 },
  );
  Deno.env.set("PATH", `${dir}/bin:${before.PATH}`);
  Deno.env.set("VIBE_CACHE", `${dir}/cache`);
  try {
    await test(dir);
  } finally {
    Deno.env.set("PATH", before.PATH);
    if (before.VIBE_CACHE === undefined) Deno.env.delete("VIBE_CACHE");
    else Deno.env.set("VIBE_CACHE", before.VIBE_CACHE);
    await Deno.remove(dir, { recursive: true });
  }
}

/** Writes its last -o argument, and its arguments beside it. */
const OBEDIENT = `echo "$@" >>"$0.calls"
while [ "$1" != -o ]; do shift; done
cat *.c >"$2"`;

async function names(dir: string): Promise<string[]> {
  const found = await Array.fromAsync(Deno.readDir(dir), (entry) => entry.name);
  return found.sort();
}

Deno.test("all of the agent's source is compiled, and nothing that is not there", async () => {
  const dir = fileURLToPath(import.meta.resolve("../../provision/agent"));
  deepStrictEqual(AGENT_SOURCES, (await names(dir)).filter((name) => /\.[ch]$/.test(name)));
});

Deno.test("Ctrl-C ends the compiler, which is no fault of the source", () =>
  withCompiler("kill -INT $$", async () => {
    await rejects(ensureAgent({ ...options, signal: AbortSignal.abort() }), {
      code: "INTERRUPTED",
      exitCode: 130,
      message: "Cannot finish the guest agent: interrupted",
    });
  }));

Deno.test("the agent is compiled once, statically, under its digest", () =>
  withCompiler(OBEDIENT, async (dir) => {
    const agent = await ensureAgent(options);
    strictEqual(agent.path, `${dir}/cache/agent/${agent.digest}/vibe-agent`);
    match(await Deno.readTextFile(agent.path), /int main\(/);
    const calls = await Deno.readTextFile(`${dir}/bin/cc.calls`);
    match(calls, new RegExp(`^-static .*-DBUILD_ID="${agent.digest.slice(0, 8)}" .*main\\.c`));
    deepStrictEqual(await ensureAgent(options), agent);
    strictEqual(await Deno.readTextFile(`${dir}/bin/cc.calls`), calls);
    deepStrictEqual(await names(`${dir}/cache/agent`), [agent.digest]);
    deepStrictEqual(await names(`${dir}/cache/agent/${agent.digest}`), ["vibe-agent"]);
  }));

Deno.test("two at once do not get in each other's way", () =>
  withCompiler(`sleep 0.2\n${OBEDIENT}`, async (dir) => {
    const [one, two] = await Promise.all([ensureAgent(options), ensureAgent(options)]);
    deepStrictEqual(one, two);
    deepStrictEqual(await names(`${dir}/cache/agent`), [one.digest]);
  }));

Deno.test("a compiler's complaint is shown, and nothing is left", () =>
  withCompiler("echo main.c:1: no such header >&2; exit 1", async (dir) => {
    await rejects(ensureAgent(options), (error: VibeError) => {
      strictEqual(error.code, "AGENT_BUILD_FAILED");
      match(error.message, /no such header$/);
      return true;
    });
    deepStrictEqual(await names(`${dir}/cache/agent`), []);
  }));

Deno.test("the initrd holds the agent and the modules in their order", () =>
  withCompiler(OBEDIENT, async (dir) => {
    await Deno.mkdir(`${dir}/modules`);
    await Deno.writeTextFile(`${dir}/modules/order`, "b.ko\na.ko\n");
    await Deno.writeTextFile(`${dir}/modules/a.ko`, "module a");
    await Deno.writeTextFile(`${dir}/modules/b.ko`, "module b");
    const info = { root: "/dev/vda1" };
    const base = { id: "one", dir, kernel: `${dir}/vmlinux`, info } as Base;
    const boot = await ensureBootFiles(base, options);
    strictEqual(boot.kernel, base.kernel);
    deepStrictEqual(boot.args, ["root=/dev/vda1"]);
    const archive = await Deno.readTextFile(boot.initrd);
    match(
      archive,
      /init\0[^]*int main\([^]*order\0+b\.ko\na\.ko\n[^]*b\.ko\0+module b[^]*module a/,
    );
    const { mtime } = await Deno.stat(boot.initrd);
    deepStrictEqual(await ensureBootFiles(base, options), boot);
    deepStrictEqual((await Deno.stat(boot.initrd)).mtime, mtime);
  }));

Deno.test("the initrd's entries: directories to mount on, /init executable", () => {
  const entries = initrdEntries(new Uint8Array([1]), [{ name: "x.ko", content: new Uint8Array() }]);
  deepStrictEqual(
    entries.map(({ name, content, mode }) => `${content ? "file" : "dir"} ${name} ${mode ?? ""}`),
    [
      "dir dev ",
      "dir proc ",
      "dir sys ",
      "dir newroot ",
      "dir modules ",
      "file init ",
      `file modules/order ${0o644}`,
      `file modules/x.ko ${0o644}`,
    ],
  );
});
