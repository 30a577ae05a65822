/** The bytes that ship: the x86_64 slice under Deno, the arm64 slice under qemu-user. */

import { deepStrictEqual as assertEquals, throws } from "node:assert/strict";
import { VzLibrary } from "../../ffi/machine.ts";
import { build, buildDylib } from "./build.ts";
import { defineSuite } from "./suite.ts";

const dylib = await buildDylib();
Deno.env.set("VIBE_MACHO", dylib);
const path = await build("macho");
const library = await VzLibrary.open(path);
Deno.env.delete("VIBE_MACHO");
await defineSuite("x86_64 slice", { path, arm64Api: false, exceptions: false });

Deno.test("x86_64 slice: on macOS 13 it loads, and offers nothing newer", () => {
  Deno.env.set("VIBE_DOUBLE_MACOS", "13.0");
  Deno.env.set("VIBE_DOUBLE_NESTED", "1");
  try {
    assertEquals([library.host().nested, library.host().saveRestore], [false, false]);
    const config = { cpus: 1, memory: 1 << 29, boot: { kernel: "/k" }, nested: true };
    throws(() => library.create(config), { setting: "nested" });
    Deno.env.set("VIBE_DOUBLE_MACOS", "15.0");
    assertEquals(library.host().nested, true);
  } finally {
    Deno.env.delete("VIBE_DOUBLE_MACOS");
    Deno.env.delete("VIBE_DOUBLE_NESTED");
  }
});

for (
  const [macos, saves] of [["15.0", "saves"], ["14.0", "saves"], ["13.7", "does not save"]] as const
) {
  Deno.test(`arm64 slice: a machine's life on macOS ${macos}, under qemu-user`, async () => {
    const output = await new Deno.Command("qemu-aarch64", {
      args: [await build("smoke-arm64"), saves],
      env: {
        VIBE_MACHO: dylib,
        VIBE_DOUBLE_MACOS: macos,
        QEMU_LD_PREFIX: "/usr/aarch64-linux-gnu",
      },
    }).output();
    const decoder = new TextDecoder();
    assertEquals([decoder.decode(output.stdout), decoder.decode(output.stderr)], [
      "smoke: ok\n",
      "",
    ]);
  });
}
