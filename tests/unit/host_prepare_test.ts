/** Installing what is missing, with a package manager that is a script. */

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { isYes } from "../../lib/host/ask.ts";
import { missingTools, prepareHost } from "../../lib/host/prepare.ts";
import type { VibeError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { silentProgress } from "../../lib/progress.ts";

/** What "agent" needs: a compiler that knows a static C library. */
const COMPILER = "#!/bin/sh\\necho /lib/libc.a\\n";

/** A host with nothing but these programs (shell scripts), and an empty cache. */
async function withHost(
  programs: Record<string, string>,
  test: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const before = { PATH: Deno.env.get("PATH")!, VIBE_CACHE: Deno.env.get("VIBE_CACHE") };
  await Deno.mkdir(`${dir}/bin`);
  for (const [name, script] of Object.entries(programs)) {
    await Deno.writeTextFile(`${dir}/bin/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  Deno.env.set("PATH", `${dir}/bin`);
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

/** Remembers how it was called, and brings a compiler. */
const APT = `echo "apt-get $*" >>"$0.calls"
case $1 in install) printf '${COMPILER}' >"\${0%/*}/cc"; /bin/chmod 755 "\${0%/*}/cc";; esac`;

/** An ordinary user's words go through sudo. */
const SUDO = 'case $1 in -v) exit;; esac\nexec "$@"';

const prefix = Deno.uid() === 0 ? "" : "sudo ";
const INSTALL = `${prefix}apt-get update && ` +
  `${prefix}apt-get install -y --no-install-recommends gcc libc6-dev`;

Deno.test("nothing is asked or run when nothing is missing", () =>
  withHost({ cc: "echo /lib/libc.a", "apt-get": "exit 1" }, async () => {
    await prepareHost(["agent"], { progress: silentProgress });
    deepStrictEqual(await missingTools(["agent"]), []);
  }));

Deno.test("with --yes it is installed, and looked at again", () =>
  withHost({ "apt-get": APT, sudo: SUDO }, async (dir) => {
    deepStrictEqual(await missingTools(["agent"]), ["cc", "a static C library"]);
    const steps: string[] = [];
    const progress: Progress = { ...silentProgress, step: (text) => void steps.push(text) };
    await prepareHost(["agent"], { yes: true, progress });
    strictEqual(
      await Deno.readTextFile(`${dir}/bin/apt-get.calls`),
      "apt-get update\napt-get install -y --no-install-recommends gcc libc6-dev\n",
    );
    deepStrictEqual(steps, ["Installing what is missing"]);
    deepStrictEqual(await missingTools(["agent"]), []);
  }));

Deno.test("the question shows what is missing and the command; no means nothing is run", () =>
  withHost({ "apt-get": APT, sudo: SUDO }, async (dir) => {
    let asked = "";
    const ask = (question: string) => {
      asked = question;
      return Promise.resolve(false);
    };
    await rejects(prepareHost(["agent"], { ask, progress: silentProgress }), {
      code: "HOST_TOOLS_MISSING",
    });
    strictEqual(
      asked,
      "vibe needs cc and a static C library. Install with this command?\n" +
        `  ${INSTALL}\n[Y/n] `,
    );
    await rejects(Deno.stat(`${dir}/bin/apt-get.calls`), Deno.errors.NotFound);
    await prepareHost(["agent"], { ask: () => Promise.resolve(true), progress: silentProgress });
  }));

Deno.test("without a terminal the error holds the command", () =>
  withHost({ "apt-get": APT, sudo: SUDO }, async () => {
    await rejects(prepareHost(["agent"], { progress: silentProgress }), {
      code: "HOST_TOOLS_MISSING",
      message: "Cannot go on: this machine lacks cc and a static C library",
      hint: `Install what is missing with:\n  ${INSTALL}`,
    });
  }));

Deno.test("a failed installation shows the end of its output and where all of it is", () =>
  withHost({ "apt-get": "echo E: no such mirror >&2; exit 100", sudo: SUDO }, async () => {
    await rejects(prepareHost(["agent"], { yes: true, progress: silentProgress }), (
      error: VibeError,
    ) => {
      strictEqual(error.code, "HOST_INSTALL_FAILED");
      match(error.message, /E: no such mirror$/);
      const log = error.hint!.match(/output is in "(.+)"\.$/)![1];
      match(Deno.readTextFileSync(log), /^\+ .*apt-get update\nE: no such mirror\n$/);
      return true;
    });
  }));

Deno.test("an installation that brings nothing is not taken for one that did", () =>
  withHost({ "apt-get": "exit 0", sudo: SUDO }, async () => {
    await rejects(prepareHost(["agent"], { yes: true, progress: silentProgress }), {
      code: "HOST_TOOLS_MISSING",
    });
  }));

Deno.test("an interrupted installation ends, and is not gone on with", () =>
  withHost({ "apt-get": `${APT}\n/bin/sleep 0.2`, sudo: SUDO }, async (dir) => {
    const controller = new AbortController();
    const progress: Progress = { ...silentProgress, step: () => controller.abort() };
    await rejects(
      prepareHost(["agent"], { yes: true, progress, signal: controller.signal }),
      { code: "INTERRUPTED", exitCode: 130 },
    );
    strictEqual(await Deno.readTextFile(`${dir}/bin/apt-get.calls`), "apt-get update\n");
  }));

Deno.test("without a package manager the programs are named", () =>
  withHost({}, async () => {
    await rejects(prepareHost(["agent"], { yes: true, progress: silentProgress }), {
      code: "HOST_TOOLS_MISSING",
      hint: "Install by hand, this system has no package that vibe knows: cc, a static C library",
    });
  }));

Deno.test("answers that mean yes", () => {
  for (const answer of ["\n", "y\n", "Y\n", "yes\n", " YES \n"]) strictEqual(isYes(answer), true);
  for (const answer of ["n\n", "no\n", "yesterday\n", "q\n"]) strictEqual(isYes(answer), false);
});
