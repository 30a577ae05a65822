/** The worked example in docs/, run by Node.js as its readers would run it. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run, which } from "../../lib/process.ts";
import { libraryHome } from "../support/library.ts";
import { vibeCommand } from "../support/vibe.ts";

const EXAMPLE = fileURLToPath(new URL("../../docs/examples/groups.mjs", import.meta.url));

Deno.test("docs/examples/groups.mjs: one job is done, one fails, one is late", async () => {
  const node = await which("node");
  if (!node) throw new Error("Node.js is not installed; README.md starts with it");
  await using home = await libraryHome();
  const env = { VIBE_COMMAND: vibeCommand().join(" "), GROUP_FILES: `${home.root}/groups` };

  const { success, stdout, stderr } = await run([node, EXAMPLE], { env });
  deepStrictEqual([success, stderr], [true, ""]);
  deepStrictEqual(stdout.trimEnd().split("\n").sort(), [
    'blue: late: Cannot finish "env": it took longer than 5 s and was ended',
    "green: failed: exit status 7",
    'red: done: {"runs":1,"host":"vibe"}',
  ]);
  strictEqual(await Deno.readTextFile(`${home.root}/groups/red/count`), "1\n");
});
