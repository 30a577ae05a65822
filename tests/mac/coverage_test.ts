/** Every line of the bridge runs in the tests, but for those that docs/macos.md lists. */

import { deepStrictEqual as assertEquals, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run } from "../../lib/process.ts";
import { build, DYLIB_SOURCE } from "./build.ts";

const DOCUMENT = new URL("../../docs/macos.md", import.meta.url);

async function tool(argv: string[], env: Record<string, string> = {}): Promise<string> {
  const { success, stdout, stderr } = await run(argv, { env });
  if (!success) throw new Error(`${argv[0]} failed:\n${stdout}${stderr}`);
  return stdout;
}

/** `file: text` of each line with a statement that was never executed, by llvm-cov's lcov report. */
async function linesNotRun(report: string): Promise<string[]> {
  const found: string[] = [];
  for (const record of report.split("end_of_record\n")) {
    const path = /^SF:(.*)$/m.exec(record)?.[1];
    if (!path?.startsWith(`${DYLIB_SOURCE}/`) || path.includes("/sdk/")) continue;
    const lines = (await Deno.readTextFile(path)).split("\n");
    for (const [, number] of record.matchAll(/^DA:(\d+),0$/gm)) {
      const line = lines[Number(number) - 1].trim();
      if (/\w.*;/.test(line)) found.push(`${path.split("/").pop()}: ${line}`);
    }
  }
  return found.sort();
}

Deno.test("the suite runs every line of the bridge but those that are documented", async () => {
  const library = await build("elf-coverage");
  const dir = await Deno.makeTempDir();
  try {
    const suite = fileURLToPath(new URL("elf_test.ts", import.meta.url));
    const profile = `${dir}/suite.profraw`;
    await tool([Deno.execPath(), "test", "-A", suite], {
      VIBE_MAC_VARIANT: "elf-coverage",
      LLVM_PROFILE_FILE: profile,
    });
    await tool(["llvm-profdata-19", "merge", "-o", `${dir}/merged`, profile]);
    const report = await tool(
      ["llvm-cov-19", "export", "--format=lcov", library, `-instr-profile=${dir}/merged`],
    );
    // A report that counts nothing would pass.
    ok((report.match(/^DA:\d+,[1-9]/gm) ?? []).length > 400);
    const text = await Deno.readTextFile(DOCUMENT);
    const listed = /<!-- lines not run on Linux -->\s*```\n([^]*?)```/.exec(text)?.[1] ?? "";
    assertEquals(await linesNotRun(report), listed.trim().split("\n").filter(Boolean).sort());
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
