/** The library's public face. What it does is tested with VMs, in tests/vm/library_test.ts. */

import { match, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run } from "../../lib/process.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

Deno.test("all that the library exports is documented, and refers to nothing private", async () => {
  const { success, stderr } = await deno("doc", "--lint", "lib/api/mod.ts");
  strictEqual(success, true, stderr);
});

Deno.test("the package can be published: its exports have explicit types", async () => {
  const { success, stderr } = await deno("publish", "--dry-run", "--allow-dirty");
  strictEqual(success, true, stderr);
  match(stderr, /Success Dry run complete/);
});

function deno(...args: string[]) {
  return run([Deno.execPath(), ...args], { cwd: ROOT, env: { NO_COLOR: "1" } });
}
