/** The cross-built dylib is what a Mac can load: architectures, symbols, libraries, signature. */

import { deepStrictEqual as assertEquals, ok } from "node:assert/strict";
import { SYMBOLS } from "../../ffi/symbols.ts";
import { run } from "../../lib/process.ts";
import { buildDylib, DYLIB_SOURCE } from "./build.ts";
import { readSignature, slices } from "./signature.ts";

const dylib = await buildDylib();
const CPUS = { x86_64: 0x1000007, arm64: 0x100000c };
const MINIMUM_MACOS = 13;

async function llvm(tool: string, ...args: string[]): Promise<string> {
  const output = await run([`${tool}-19`, ...args, dylib]);
  if (!output.success) throw new Error(output.stderr);
  return output.stdout;
}

/** The functions that the header declares. */
async function declared(): Promise<string[]> {
  const header = await Deno.readTextFile(`${DYLIB_SOURCE}/vibe_vz.h`);
  return [...header.matchAll(/^VIBE_EXPORT .*?(vibe_vz_\w+)\(/gm)].map((m) => m[1]).sort();
}

Deno.test("the symbol table, the header and the exports of both slices are one list", async () => {
  const names = await declared();
  assertEquals(Object.keys(SYMBOLS).sort(), names);
  for (const arch of Object.keys(CPUS)) {
    const lines = await llvm(
      "llvm-nm",
      "-g",
      "--defined-only",
      "--format=just-symbols",
      "--arch",
      arch,
    );
    assertEquals(lines.trim().split("\n").sort(), names.map((n) => `_${n}`));
  }
});

Deno.test("both slices are dylibs for macOS 13, named relative to their loader", async () => {
  for (const arch of Object.keys(CPUS)) {
    const text = await llvm("llvm-otool", "-arch", arch, "-hl");
    const field = (pattern: RegExp) => pattern.exec(text)?.[1];
    assertEquals(field(/\bminos (\S+)/), `${MINIMUM_MACOS}.0`);
    assertEquals(field(/\bplatform (\S+)/), "1");
    assertEquals(field(/LC_ID_DYLIB[^]*?name (\S+)/), "@rpath/libvibe_vz.dylib");
  }
});

Deno.test("every import is a symbol that its library is known to have", async () => {
  const header = `${DYLIB_SOURCE}/sdk/frameworks/Virtualization/Virtualization.h`;
  const declared = (await Deno.readTextFile(header)).matchAll(
    /VZ_API\(([\d.]+)\) @interface (\w+)/g,
  );
  const introduced = new Map([...declared].map(([, version, name]) => [name, version]));
  for (const arch of Object.keys(CPUS)) {
    const lines = (await llvm("llvm-nm", "-m", "-u", "--arch", arch)).trim().split("\n");
    ok(lines.length > 60, lines.join("\n"));
    for (const line of lines) {
      const [, weak, symbol, library] =
        /\(undefined\) (weak )?external (\S+) \(from (\w+)\)/.exec(line) ?? [];
      const known = await Deno.readTextFile(`${DYLIB_SOURCE}/sdk/symbols/${library}.sym`);
      const entry = symbol.replace(/^_OBJC_(META)?CLASS_\$_/, "class ")
        .replace(/^_OBJC_EHTYPE_\$_/, "exception ");
      ok(known.split("\n").includes(entry), line);
      // A class that the oldest macOS lacks must not keep the dylib from loading there.
      const since = introduced.get(entry.slice("class ".length));
      assertEquals(weak !== undefined, parseFloat(since ?? "0") > MINIMUM_MACOS, line);
    }
  }
});

Deno.test("the libraries are those of macOS, at the paths it has them", async () => {
  const lines = (await llvm("llvm-otool", "-L")).trim().split("\n").slice(1);
  const frameworks = "/System/Library/Frameworks";
  assertEquals(lines.map((l) => l.trim().split(" ")[0]), [
    "@rpath/libvibe_vz.dylib",
    `${frameworks}/CoreFoundation.framework/Versions/A/CoreFoundation`,
    `${frameworks}/Foundation.framework/Versions/C/Foundation`,
    `${frameworks}/Virtualization.framework/Versions/A/Virtualization`,
    "/usr/lib/libSystem.B.dylib",
    "/usr/lib/libobjc.A.dylib",
  ]);
});

Deno.test("both slices carry a signature whose every page hash is right", async () => {
  const found = slices(await Deno.readFile(dylib));
  assertEquals([...found.keys()].sort(), Object.values(CPUS).sort());
  for (const slice of found.values()) {
    const signature = await readSignature(slice);
    ok(signature.pages > 3);
    assertEquals([signature.badPages, signature.badSlots], [[], []]);
    const ADHOC = 0x2;
    ok(signature.flags & ADHOC);
    // One changed byte is noticed.
    const changed = slice.slice();
    changed[5000] ^= 1;
    assertEquals((await readSignature(changed)).badPages, [1]);
  }
});

Deno.test("the same sources give the same bytes, without a path of this machine", async () => {
  const again = await Deno.makeTempFile();
  try {
    const output = await run([`${DYLIB_SOURCE}/build.sh`, again]);
    assertEquals([output.success, output.stderr], [true, ""]);
    const [one, other] = [await Deno.readFile(dylib), await Deno.readFile(again)];
    ok(one.every((byte, i) => byte === other[i]) && one.length === other.length);
    const text = new TextDecoder("latin1").decode(one);
    ok(!text.includes(DYLIB_SOURCE) && !text.includes("/tmp/"));
  } finally {
    await Deno.remove(again);
  }
});
