/** Builds the dylib and what runs it on Linux, into dist/mac/. */

import { fileURLToPath } from "node:url";

/** The bridge's sources. */
export const DYLIB_SOURCE = fileURLToPath(new URL("../../dylib-src", import.meta.url));
const TESTS = fileURLToPath(new URL(".", import.meta.url)).replace(/\/$/, "");
const OUTPUT = fileURLToPath(new URL("../../dist/mac", import.meta.url));

/**
 * - `elf`: the bridge, compiled for Linux, over the test runtime and the double
 * - `elf-sanitized`: the same with AddressSanitizer and UndefinedBehaviorSanitizer
 * - `elf-coverage`: the same as `elf`, counting which lines of the bridge run
 * - `smoke-sanitized`: a program that drives the bridge, sanitized, with a check for leaks
 * - `macho`: the x86_64 slice of the dylib, loaded at run time, over the same
 * - `smoke-arm64`: the program that drives it, over the arm64 slice, for qemu-aarch64
 */
export type Variant =
  | "elf"
  | "elf-sanitized"
  | "elf-coverage"
  | "smoke-sanitized"
  | "macho"
  | "smoke-arm64";

interface Recipe {
  output: string;
  target: string;
  bridge: boolean;
  sources: string[];
  flags: string[];
  bridgeFlags: string[];
  link: string[];
}

const SHARED = ["-shared", "-Wl,-Bsymbolic"];
const SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const LOADER = ["macho/loader.c", "macho/libc.c", "macho/entry.c"];

const RECIPES: Record<Variant, Recipe> = {
  "elf": {
    output: "libvibe_vz.so",
    target: "x86_64-linux-gnu",
    bridge: true,
    sources: [],
    flags: [],
    bridgeFlags: [],
    link: SHARED,
  },
  "smoke-sanitized": {
    output: "smoke",
    target: "x86_64-linux-gnu",
    bridge: true,
    sources: ["macho/smoke.c"],
    flags: SANITIZE,
    bridgeFlags: [],
    link: SANITIZE,
  },
  "elf-sanitized": {
    output: "libvibe_vz.so",
    target: "x86_64-linux-gnu",
    bridge: true,
    sources: [],
    flags: SANITIZE,
    bridgeFlags: [],
    link: [...SHARED, ...SANITIZE, "-shared-libasan"],
  },
  "elf-coverage": {
    output: "libvibe_vz.so",
    target: "x86_64-linux-gnu",
    bridge: true,
    sources: [],
    flags: [],
    bridgeFlags: ["-fprofile-instr-generate", "-fcoverage-mapping"],
    link: [...SHARED, "-fprofile-instr-generate"],
  },
  "macho": {
    output: "libvibe_vz.so",
    target: "x86_64-linux-gnu",
    bridge: false,
    sources: LOADER,
    flags: [],
    bridgeFlags: [],
    link: SHARED,
  },
  "smoke-arm64": {
    output: "smoke",
    target: "aarch64-linux-gnu",
    bridge: false,
    sources: [...LOADER, "macho/smoke.c"],
    flags: ["-I/usr/aarch64-linux-gnu/include"],
    bridgeFlags: [],
    link: ["-rdynamic"],
  },
};

const COMMON = "-fPIC -pthread -g -O1 -D_GNU_SOURCE -fexceptions -Wall -Wextra -Werror".split(" ");
const OBJC = "-fobjc-runtime=macosx-13.0 -fblocks -fobjc-exceptions".split(" ");
const ARC = ["-fobjc-arc", "-fobjc-arc-exceptions"];

async function run(command: string, args: string[]): Promise<void> {
  const output = await new Deno.Command(command, { args, stdout: "inherit", stderr: "piped" })
    .output();
  if (output.success) return;
  const said = new TextDecoder().decode(output.stderr);
  throw new Error(`${command} ${args.join(" ")} failed:\n${said}`);
}

async function* files(dir: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(dir)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) yield* files(path);
    else yield path;
  }
}

async function sourcesIn(dir: string): Promise<string[]> {
  const found = await Array.fromAsync(files(dir));
  return found.filter((f) => /\.[cm]$/.test(f)).sort();
}

/** True if `output` is there and nothing that goes into it is newer. */
async function isFresh(output: string): Promise<boolean> {
  const made = (await Deno.stat(output).catch(() => null))?.mtime;
  if (!made) return false;
  for (const dir of [DYLIB_SOURCE, ...["runtime", "double", "macho"].map((d) => `${TESTS}/${d}`)]) {
    for await (const file of files(dir)) {
      if (((await Deno.stat(file)).mtime ?? made) > made) return false;
    }
  }
  return (await Deno.stat(`${TESTS}/build.ts`)).mtime! <= made;
}

/** Builds a variant if it is not there yet. Answers the path of its library or program. */
export async function build(variant: Variant): Promise<string> {
  const recipe = RECIPES[variant];
  const dir = `${OUTPUT}/${variant}`;
  const output = `${dir}/${recipe.output}`;
  if (await isFresh(output)) return output;
  await Deno.mkdir(dir, { recursive: true });
  const sources = [
    ...await sourcesIn(`${TESTS}/runtime`),
    ...await sourcesIn(`${TESTS}/double`),
    ...recipe.sources.map((s) => `${TESTS}/${s}`),
  ];
  if (recipe.bridge) {
    const bridge = (await sourcesIn(DYLIB_SOURCE)).filter((f) => f.endsWith(".m"));
    sources.push(...bridge);
  }
  const objects: string[] = [];
  for (const source of sources) {
    const isBridge = source.startsWith(DYLIB_SOURCE);
    const object = `${dir}/${source.split("/").slice(-2).join("-")}.o`;
    objects.push(object);
    await run("clang-19", [
      ...["-target", recipe.target, ...COMMON, ...recipe.flags],
      ...[`-I${DYLIB_SOURCE}`, `-I${DYLIB_SOURCE}/sdk/frameworks`],
      ...source.endsWith(".m") ? OBJC : [],
      // The runtime's own classes count references by hand: they are what ARC stands on.
      ...source.endsWith(".m") && !source.includes("/runtime/") ? ARC : [],
      ...isBridge ? recipe.bridgeFlags : [],
      ...["-c", source, "-o", object],
    ]);
  }
  await run("clang-19", [
    ...["-target", recipe.target, "-fuse-ld=lld-19", ...recipe.link],
    "-Wl,--defsym=__CFConstantStringClassReference=OBJC_CLASS_$___NSCFConstantString",
    ...["-o", `${output}.new`, ...objects, "-lpthread", "-ldl", "-lgcc_s"],
  ]);
  await Deno.rename(`${output}.new`, output);
  return output;
}

/** Builds the universal dylib that ships, as `deno task build` does. Answers its path. */
export async function buildDylib(): Promise<string> {
  const output = `${OUTPUT}/libvibe_vz.dylib`;
  if (await isFresh(output)) return output;
  await Deno.mkdir(OUTPUT, { recursive: true });
  await run(`${DYLIB_SOURCE}/build.sh`, [output]);
  return output;
}
