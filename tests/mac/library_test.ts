/** The dylib that travels in the program: whole, up to date, and put in its place. */

import { deepStrictEqual as assertEquals, ok, rejects } from "node:assert/strict";
import { packed } from "../../ffi/dylib_data.ts";
import { install, installLibrary, sha256, unpack } from "../../ffi/library.ts";
import { VzLibrary } from "../../ffi/machine.ts";
import { SYMBOLS } from "../../ffi/symbols.ts";
import { run } from "../../lib/process.ts";
import { buildDylib } from "./build.ts";

async function inTempDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vibe-lib-" });
  try {
    await body(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("the committed dylib is what the sources build", async () => {
  assertEquals(packed.sha256, await sha256(await Deno.readFile(await buildDylib())));
});

Deno.test("it is written once, and again if it was damaged", () =>
  inTempDir(async (dir) => {
    const path = await install(packed, dir);
    assertEquals(await sha256(await Deno.readFile(path)), packed.sha256);
    const before = (await Deno.stat(path)).ino;
    assertEquals(await install(packed, dir), path);
    assertEquals((await Deno.stat(path)).ino, before);
    await Deno.truncate(path, 1000);
    await install(packed, dir);
    assertEquals(await sha256(await Deno.readFile(path)), packed.sha256);
    await Deno.writeFile(path, new Uint8Array([1]), { append: true });
    await install(packed, dir);
    assertEquals(await sha256(await Deno.readFile(path)), packed.sha256);
  }));

Deno.test("another version's goes", () =>
  inTempDir(async (dir) => {
    await Deno.writeTextFile(`${dir}/libvibe_vz-0000.dylib`, "");
    await Deno.writeTextFile(`${dir}/somebody's file`, "");
    const path = await install(packed, dir);
    const names = (await Array.fromAsync(Deno.readDir(dir))).map((e) => e.name).sort();
    assertEquals(names, [path.slice(dir.length + 1), "somebody's file"]);
  }));

Deno.test("damaged text is noticed before anything is written", () =>
  inTempDir(async (dir) => {
    await rejects(unpack({ ...packed, sha256: "0".repeat(64) }), /damaged/);
    await rejects(install({ ...packed, sha256: "0".repeat(64) }, dir), /damaged/);
    ok(!(await Array.fromAsync(Deno.readDir(dir))).some((e) => e.name.endsWith(".dylib")));
  }));

Deno.test("VIBE_VZ_LIBRARY names another one", async () => {
  assertEquals(await installLibrary({ get: () => "/elsewhere.dylib" }), "/elsewhere.dylib");
});

Deno.test("what is no library, or a Mac's on Linux, is an error with a remedy", async () => {
  for (const path of ["/nonexistent.dylib", await buildDylib()]) {
    await rejects(VzLibrary.open(path), { code: "VZ_LIBRARY", hint: /mac:check/ });
  }
});

Deno.test("a library of another interface is refused", () =>
  inTempDir(async (dir) => {
    const functions = Object.keys(SYMBOLS).filter((name) => name !== "vibe_vz_abi")
      .map((name) => `void ${name}(void) {}`);
    const source = ["int vibe_vz_abi(void) { return 99; }", ...functions].join("\n");
    const path = `${dir}/other.so`;
    const compiled = await run(["clang-19", "-shared", "-fPIC", "-x", "c", "-", "-o", path], {
      stdin: source,
    });
    ok(compiled.success, compiled.stderr);
    await rejects(VzLibrary.open(path), {
      code: "VZ_LIBRARY",
      message: /has interface 99, this vibe needs 1$/,
    });
  }));
