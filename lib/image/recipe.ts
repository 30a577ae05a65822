/** How the Debian base image is made: the files in provision/debian/ and what they are given. */

import { join } from "node:path";
import { readAsset } from "../assets.ts";
import { run } from "../process.ts";
import { digestOf } from "./digest.ts";

/** The release that images are made of. */
export const SUITE = { codename: "trixie", version: "13" };

/** The hooks are named for the moment at which mmdebstrap runs them. */
const RECIPE_FILES = ["build.sh", "hooks/setup.sh", "hooks/essential.sh", "hooks/customize.sh"];

/** Size of the disk that the guest sees. It is sparse: a fresh image takes 0.8 GB. */
export const DISK_BYTES = 20 * 2 ** 30;
const DISK_MIB = DISK_BYTES / 2 ** 20;

/** What is installed. Tests make do with less than the real image. */
export interface Contents {
  /** mmdebstrap's name for the set of packages to begin with. */
  variant: string;
  /** Packages beside those and the kernel. */
  packages: string[];
  /** Free disk space that the build takes at its fullest, with a margin. */
  roomBytes: number;
}

/** All that goes into a base image, but for the versions of packages. */
export interface Recipe {
  contents: Contents;
  /** Debian's name for the processor. */
  architecture: string;
  /** Of everything here and the files, in hex. */
  digest: string;
  files: [name: string, content: Uint8Array<ArrayBuffer>][];
}

/** The recipe for this host's processor; with other `contents` if given, and some more packages. */
export async function debianRecipe(
  contents?: Contents,
  morePackages: string[] = [],
): Promise<Recipe> {
  const files = await Promise.all(
    RECIPE_FILES.map(async (name): Promise<Recipe["files"][0]> => [
      name,
      await readAsset(`provision/debian/${name}`),
    ]),
  );
  // Measured: 1.6 GB, when both the directory and the disk made of it are there.
  contents ??= { variant: "minbase", packages: await readPackages(), roomBytes: 2e9 };
  const architecture = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
  contents = { ...contents, packages: [...contents.packages, ...morePackages] };
  const { variant, packages } = contents;
  const rest = JSON.stringify([SUITE, DISK_MIB, architecture, variant, packages]);
  const digest = await digestOf([...files, ["rest", new TextEncoder().encode(rest)]]);
  return { contents, architecture, digest, files };
}

async function readPackages(): Promise<string[]> {
  const text = new TextDecoder().decode(await readAsset("provision/debian/packages.txt"));
  return parsePackages(text);
}

/** One name a line; empty lines and those that begin with # do not count. */
export function parsePackages(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => /^[^#]/.test(line));
}

/** Puts the recipe's files into a directory. Resolves to nothing; `build.sh` is then in it. */
export async function writeRecipe(recipe: Recipe, dir: string): Promise<void> {
  await Deno.mkdir(join(dir, "hooks"), { recursive: true });
  for (const [name, content] of recipe.files) {
    await Deno.writeFile(join(dir, name), content, { mode: 0o755 });
    await Deno.chmod(join(dir, name), 0o755);
  }
  await Deno.writeTextFile(join(dir, "host-apt.conf"), await hostAptSettings());
}

/** The arguments of `build.sh`. */
export function buildArguments(recipe: Recipe, out: string, mirrors: string[]): string[] {
  const { variant, packages } = recipe.contents;
  const all = [...packages, `linux-image-cloud-${recipe.architecture}`].join(",");
  return [out, SUITE.codename, variant, all, String(DISK_MIB), ...mirrors];
}

/**
 * apt's sources for a mirror such as `http://host/debian`; none means Debian's own. Security
 * updates come from beside it (`http://host/debian-security`), where `exists` finds them.
 */
export async function mirrorSources(
  mirror: string | undefined,
  exists: (url: string) => Promise<boolean> = urlExists,
): Promise<string[]> {
  if (!mirror) return [];
  const uri = mirror.replace(/\/+$/, "");
  const { codename } = SUITE;
  const sources = [`deb ${uri} ${codename} main`, `deb ${uri} ${codename}-updates main`];
  const security = `${uri}-security`;
  if (await exists(`${security}/dists/${codename}-security/InRelease`)) {
    sources.push(`deb ${security} ${codename}-security main`);
  }
  return sources;
}

async function urlExists(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(10_000) })).ok;
  } catch {
    return false;
  }
}

/** How this host's apt reaches mirrors (proxies, certificates): mmdebstrap does not look there. */
async function hostAptSettings(): Promise<string> {
  try {
    const { stdout } = await run(["apt-config", "dump", "Acquire"]);
    return mirrorSettings(stdout);
  } catch {
    // No apt of its own.
    return "";
  }
}

/** What matters for reaching mirrors of a dump by apt-config. */
export function mirrorSettings(dump: string): string {
  const pattern = /^Acquire::(?:https?::|Check-Valid-Until |Check-Date ).*";$/i;
  return dump.split("\n").filter((line) => pattern.test(line) && !line.endsWith(' "";'))
    .map((line) => line + "\n").join("");
}
