/** ffi/dylib_data.ts is made by hand and committed: nobody must forget to. */

import { deepStrictEqual as assertEquals } from "node:assert/strict";
import { packed } from "../../ffi/dylib_data.ts";
import { sha256, unpack } from "../../ffi/library.ts";
import { sourceDigest } from "../../ffi/pack.ts";

Deno.test("the packed dylib was built from dylib-src/ as it is (deno task build:dylib)", async () => {
  assertEquals(packed.sources, await sourceDigest());
  assertEquals(await sha256(await unpack(packed)), packed.sha256);
});
