/** The check for a first run on a Mac runs here, too, over the double and a codesign of its own. */

import { deepStrictEqual as assertEquals, match } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run } from "../../lib/process.ts";
import { build } from "./build.ts";

Deno.test("every step of mac:check does what it says, as far as Linux goes", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vibe-check-" });
  try {
    await Deno.mkdir(`${dir}/bin`);
    const keys = 'cat "$(dirname "$0")/../entitlements"';
    const script = `#!/bin/sh\ncase "$1" in\n--force) cp "$7" '${dir}/entitlements';;\n` +
      `--verify) echo valid on disk;;\n-d) ${keys};;\nesac\n`;
    await Deno.writeTextFile(`${dir}/bin/codesign`, script, { mode: 0o755 });
    await Deno.writeTextFile(`${dir}/kernel`, "");
    const check = fileURLToPath(new URL("check.ts", import.meta.url));
    const { stdout, stderr } = await run(
      [Deno.execPath(), "run", "-A", check, "--kernel", `${dir}/kernel`],
      {
        env: {
          PATH: `${dir}/bin:${Deno.env.get("PATH")}`,
          VIBE_CACHE: `${dir}/cache`,
          VIBE_VZ_LIBRARY: await build("elf"),
          VIBE_DOUBLE_GUEST:
            'fd=$(printf %s "$VIBE_DOUBLE_CONFIG" | grep -o \'"fd":[0-9]*\' | cut -d: -f2); ' +
            'bash -c "echo booting >&$fd; exec sleep 100"',
        },
      },
    );
    assertEquals(stderr, "");
    const lines = stdout.trim().split("\n");
    match(lines[0], /^ok {7}1 {2}this computer: macOS none, x86_64, Deno /);
    match(lines[1], /^ok {7}2 {2}.*: valid on disk$/);
    match(lines[2], /^ok {7}3 {2}.*"supported":true/);
    // Nothing here is entitled or not: the double lets every process.
    match(lines[3], /^FAILED {3}4 {2}.*this Deno may run machines: made/);
    match(lines[4], /^ok {7}5 {2}a copy with the entitlement: valid on disk$/);
    match(lines[5], /^ok {7} {3}a machine is made in the signed copy: made/);
    match(lines[6], /^ok .*"booting\\n"; pause and resume; saved \d+ bytes; in .*; restored in /);
    match(lines[7], /^ok {7}6 {2}in the copy: see above$/);
    match(lines[8], /^FAILED {3}7 {2}.*it is not a Mach-O executable/);
    match(lines[9], /^FAILED {3}8 {2}.*Cannot load /);
    assertEquals(lines.length, 10);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
