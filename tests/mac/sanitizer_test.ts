/** The bridge, the runtime and the double under AddressSanitizer and UndefinedBehaviorSanitizer. */

import { deepStrictEqual as assertEquals, match } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run } from "../../lib/process.ts";
import { build } from "./build.ts";
import { SANITIZER_RUNTIME } from "./packages.ts";

/** Deno itself is not sanitized, and leaks by design. */
const OPTIONS = "detect_leaks=0:verify_asan_link_order=0";

async function sanitizedDeno(...args: string[]) {
  return await run([Deno.execPath(), ...args], {
    env: {
      LD_PRELOAD: SANITIZER_RUNTIME,
      ASAN_OPTIONS: OPTIONS,
      VIBE_MAC_VARIANT: "elf-sanitized",
      NO_COLOR: "1",
    },
  });
}

Deno.test("the suite runs clean", async () => {
  await build("elf-sanitized");
  const suite = fileURLToPath(new URL("elf_test.ts", import.meta.url));
  const { stdout, stderr, code } = await sanitizedDeno("test", "-A", suite);
  assertEquals(code, 0, stdout + stderr);
  match(stdout, /\nok \| \d\d passed \| 0 failed/);
});

Deno.test("the sanitizer sees what it is for", async () => {
  const twice = `
    const { symbols } = Deno.dlopen(${JSON.stringify(await build("elf-sanitized"))}, {
      vibe_vz_host: { parameters: [], result: "pointer" },
      vibe_vz_free: { parameters: ["pointer"], result: "void" },
    });
    const text = symbols.vibe_vz_host();
    symbols.vibe_vz_free(text);
    symbols.vibe_vz_free(text);`;
  const { stderr, code } = await sanitizedDeno("eval", twice);
  match(stderr, /AddressSanitizer: attempting double-free/);
  assertEquals(code, 1);
});

Deno.test("a machine's life from C leaks nothing", async () => {
  const { stdout, stderr } = await run([await build("smoke-sanitized")]);
  assertEquals([stdout, stderr], ["smoke: ok\n", ""]);
});
