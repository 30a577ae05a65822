/** What the tests in this directory need beside Deno, and how to get it. */

import { fileURLToPath } from "node:url";
import { run } from "../../lib/process.ts";

/** What is loaded into Deno before a sanitized library. */
export const SANITIZER_RUNTIME =
  "/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.asan-x86_64.so";

/** Debian packages: a file of each, which shows that it is there, and what it is for. */
export const DEBIAN_PACKAGES: { name: string; file: string; why: string }[] = [
  {
    name: "clang-19",
    file: "/usr/bin/clang-19",
    why: "compiles for macOS, and for the test runtime",
  },
  { name: "lld-19", file: "/usr/bin/ld64.lld-19", why: "links Mach-O" },
  { name: "llvm-19", file: "/usr/bin/llvm-lipo-19", why: "universal files, nm, otool, coverage" },
  {
    name: "libclang-rt-19-dev",
    file: SANITIZER_RUNTIME,
    why: "sanitizers and coverage",
  },
  { name: "shellcheck", file: "/usr/bin/shellcheck", why: "reads the build script" },
  { name: "qemu-user", file: "/usr/bin/qemu-aarch64", why: "runs the arm64 slice" },
  {
    name: "libc6-dev-arm64-cross",
    file: "/usr/aarch64-linux-gnu/include/stdio.h",
    why: "headers and libc for that",
  },
  {
    name: "libgcc-12-dev-arm64-cross",
    file: "/usr/lib/gcc-cross/aarch64-linux-gnu/12/libgcc.a",
    why: "start-up code and unwinder for that",
  },
];

/** A Deno for macOS with the signature of its makers: what the signer is compared with. */
const MAC_DENO = { name: "@deno/darwin-arm64", version: "2.9.5" };
/** TypeScript declarations that are generated from the SDK of macOS. */
const MAC_TYPES = { name: "@nativescript/macos-node-api", version: "0.4.0" };
const DOWNLOADS = fileURLToPath(new URL("../../dist/mac/npm", import.meta.url));

/** The Debian packages that are not installed. */
export async function missingPackages(): Promise<string[]> {
  const missing: string[] = [];
  for (const { name, file } of DEBIAN_PACKAGES) {
    if (!await Deno.stat(file).then(() => true, () => false)) missing.push(name);
  }
  return missing;
}

/** The path of a Deno for macOS (80 MB), downloaded through npm the first time. */
export function macDeno(): Promise<string> {
  return fileOfPackage(MAC_DENO, "deno");
}

/** The text of the declarations of Foundation (6 MB to download), from the SDK of macOS. */
export async function macFoundation(): Promise<string> {
  const files = ["types/Runtime.d.ts", "types/Foundation.d.ts"];
  const texts = [];
  for (const file of files) {
    texts.push(await Deno.readTextFile(await fileOfPackage(MAC_TYPES, file)));
  }
  return texts.join("\n");
}

/** The path of a file of an npm package. Nothing in the package is run. */
async function fileOfPackage(
  { name, version }: { name: string; version: string },
  file: string,
): Promise<string> {
  const dir = `${DOWNLOADS}/${name.replace("/", "-")}-${version}`;
  const path = `${dir}/package/${file}`;
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  const aside = await Deno.makeTempDir({ dir: await made(DOWNLOADS) });
  const spec = `${name}@${version}`;
  const packed = await run(["npm", "pack", "--silent", "--pack-destination", aside, spec]);
  if (!packed.success) throw new Error(`Cannot download ${spec}:\n${packed.stderr}`);
  const unpacked = await run(["tar", "-xzf", `${aside}/${packed.stdout.trim()}`, "-C", aside]);
  if (!unpacked.success) throw new Error(`Cannot unpack ${spec}:\n${unpacked.stderr}`);
  await Deno.rename(aside, dir);
  return path;
}

async function made(dir: string): Promise<string> {
  await Deno.mkdir(dir, { recursive: true });
  return dir;
}

if (import.meta.main) {
  const missing = await missingPackages();
  if (missing.length > 0) {
    const sudo = Deno.uid() === 0 ? [] : ["sudo"];
    const install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", ...missing];
    for (const words of [["apt-get", "update", "-q"], install]) {
      const [program, ...args] = [...sudo, "env", "DEBIAN_FRONTEND=noninteractive", ...words];
      const { success } = await new Deno.Command(program, { args }).spawn().status;
      if (!success) Deno.exit(1);
    }
  }
}
