/** Imports go downward only, and no file grows past 400 lines (see docs/architecture.md). */

import { deepStrictEqual as assertEquals } from "node:assert/strict";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** First match wins; a file may import from its own layer and those below. */
const LAYERS: [RegExp, number][] = [
  [/^main\.ts$/, 5],
  [/^lib\/(cli|api)\//, 4],
  [/^lib\/(plan\/|config\/|instance\/|image\/|doctor\/)/, 3],
  [/^lib\/(driver|console|agent|guest|net|share|host|macos)\//, 2],
  [/^ffi\//, 1],
  [/^lib\/[a-z_]+\.ts$/, 0],
];

function layerOf(path: string): number | undefined {
  return LAYERS.find(([pattern]) => pattern.test(path))?.[1];
}

async function* files(dir: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(dir)) {
    if (entry.name.startsWith(".") || ["node_modules", "dist"].includes(entry.name)) continue;
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) yield* files(path);
    else if (/\.(ts|c|h|m|sh)$/.test(entry.name)) yield path;
  }
}

/** The relative imports of a module, static and dynamic. */
function importsOf(source: string): string[] {
  const pattern = /(?:from\s+|import\s*\(\s*|^import\s+)["'](\.{1,2}\/[^"']+)["']/gm;
  return [...source.matchAll(pattern)].map((m) => m[1]);
}

async function violations(root: string): Promise<string[]> {
  const found: string[] = [];
  for await (const path of files(root)) {
    const name = relative(root, path);
    const source = await Deno.readTextFile(path);
    const lines = source.split("\n").length - 1;
    if (lines > 400) found.push(`${name}: ${lines} lines`);
    if (!name.endsWith(".ts") || name.startsWith("tests/")) continue;
    const from = layerOf(name);
    if (from === undefined) {
      found.push(`${name}: belongs to no layer`);
      continue;
    }
    for (const specifier of importsOf(source)) {
      const target = relative(root, resolve(dirname(path), specifier));
      const to = layerOf(target);
      if (to === undefined || to > from) found.push(`${name} (L${from}) -> ${target} (L${to})`);
      if (from === 0) found.push(...(target === "lib/errors.ts" ? [] : [`${name} -> ${target}`]));
      if (to === 1 && from !== 1 && !/^lib\/(driver|share|host)\//.test(name)) {
        found.push(`${name} -> ${target}: only drivers, shares and host import ffi`);
      }
    }
  }
  return found.sort();
}

Deno.test("imports go downward and files stay under 400 lines", async () => {
  assertEquals(await violations(ROOT), []);
});

Deno.test("the check sees what it is for", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${dir}/lib/cli`, { recursive: true });
    await Deno.mkdir(`${dir}/ffi`);
    await Deno.writeTextFile(`${dir}/main.ts`, 'import "./lib/cli/a.ts";\n');
    await Deno.writeTextFile(`${dir}/lib/cli/a.ts`, 'await import("../../ffi/x.ts");\n');
    await Deno.writeTextFile(`${dir}/lib/low.ts`, 'import { a } from "./cli/a.ts";\n');
    await Deno.writeTextFile(`${dir}/ffi/x.ts`, "\n".repeat(401));
    await Deno.writeTextFile(`${dir}/stray.ts`, "");
    assertEquals(await violations(dir), [
      "ffi/x.ts: 401 lines",
      "lib/cli/a.ts -> ffi/x.ts: only drivers, shares and host import ffi",
      "lib/low.ts (L0) -> lib/cli/a.ts (L4)",
      "lib/low.ts -> lib/cli/a.ts",
      "stray.ts: belongs to no layer",
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
