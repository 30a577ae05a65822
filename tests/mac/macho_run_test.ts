/** The bytes that ship: the x86_64 slice under Deno, the arm64 slice under qemu-user. */

import { deepStrictEqual as assertEquals } from "node:assert/strict";
import { build, buildDylib } from "./build.ts";
import { defineSuite } from "./suite.ts";

const dylib = await buildDylib();
Deno.env.set("VIBE_MACHO", dylib);
await defineSuite("x86_64 slice", {
  path: await build("macho"),
  arm64Api: false,
  exceptions: false,
});
Deno.env.delete("VIBE_MACHO");

Deno.test("arm64 slice: a machine's life, under qemu-user", async () => {
  const output = await new Deno.Command("qemu-aarch64", {
    args: [await build("macho-arm64"), "saves"],
    env: { VIBE_MACHO: dylib, QEMU_LD_PREFIX: "/usr/aarch64-linux-gnu" },
  }).output();
  const decoder = new TextDecoder();
  assertEquals([decoder.decode(output.stdout), decoder.decode(output.stderr)], ["smoke: ok\n", ""]);
});
