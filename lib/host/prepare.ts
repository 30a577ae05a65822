/** Looks for what vibe needs on a Linux host and offers to install what is missing. */

import { join } from "node:path";
import { ExitCode, VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";
import { cacheDir } from "../paths.ts";
import { run, which } from "../process.ts";
import type { Progress } from "../progress.ts";
import { follow, LogFile } from "./follow.ts";
import {
  codenames,
  installCommands,
  type PackageManager,
  packagesFor,
  type Purpose,
  type Requirement,
  requirements,
} from "./requirements.ts";
import { freeSubid, ID_COUNT, ownSubids } from "./userns.ts";

/** How {@link prepareHost} may go about it. */
export interface PrepareOptions {
  /** Install without asking. */
  yes?: boolean;
  /** Asks a yes-or-no question; left out when nobody is there to answer (see `terminalAsk`). */
  ask?: (question: string) => Promise<boolean>;
  progress: Progress;
  signal?: AbortSignal;
}

/** What is missing, and the commands that mend it, without sudo. */
interface Repair {
  missing: string[];
  commands: string[][];
  /** What no command brings. */
  unavailable: string[];
}

/**
 * Makes sure that everything for some purposes is there. When it is, "run" costs a few file lookups
 * (1-2 ms), "agent" asks the C compiler, too.
 *
 * @throws {VibeError} `HOST_TOOLS_MISSING` with the command to run, if it may not be run here;
 * `HOST_INSTALL_FAILED`.
 */
export async function prepareHost(purposes: Purpose[], options: PrepareOptions): Promise<void> {
  const repair = await findRepair(purposes);
  if (!repair) return;
  const sudo = await sudoPrefix();
  const text = repair.commands.map((argv) => [...(sudo ?? []), ...argv].join(" ")).join(" && ");
  const refusal = toolsMissing(repair, sudo ? text : `as root: ${text}`);
  if (repair.commands.length === 0 || !sudo) throw refusal;
  const agreed = options.yes || await options.ask?.(
    `vibe needs ${listed(repair.missing)}. Install with this command?\n  ${text}\n[Y/n] `,
  );
  if (!agreed) throw refusal;
  await install(repair.commands.map((argv) => [...sudo, ...argv]), options);
  const still = await findRepair(purposes);
  if (still) throw toolsMissing(still, text);
}

/** Installs nothing; resolves to what is missing for some purposes, by name. */
export async function missingTools(purposes: Purpose[]): Promise<string[]> {
  return (await findRepair(purposes))?.missing ?? [];
}

function toolsMissing({ missing, unavailable }: Repair, command: string): VibeError {
  const hints = [];
  if (missing.length > unavailable.length) {
    hints.push(`Install what is missing with:\n  ${command}`);
  }
  if (unavailable.length > 0) {
    hints.push(
      `Install by hand, this system has no package that vibe knows: ${unavailable.join(", ")}`,
    );
  }
  return new VibeError(
    "HOST_TOOLS_MISSING",
    `Cannot go on: this machine lacks ${listed(missing)}`,
    { hint: hints.join("\n") },
  );
}

async function findRepair(purposes: Purpose[]): Promise<Repair | null> {
  const table = requirements({ arch: Deno.build.arch, codenames: [] });
  const needed = table.filter((r) =>
    purposes.includes(r.purpose) && !(r.unprivileged && Deno.uid() === 0)
  );
  const found = await Promise.all(needed.map(isThere));
  const names = needed.filter((_, i) => !found[i]).map(({ name }) => name);
  const subids = purposes.includes("image") && Deno.uid() !== 0 ? await subidCommand() : null;
  if (names.length === 0 && !subids) return null;
  // Only now is it worth asking what system this is.
  const osRelease = await readTextIfPresent("/etc/os-release") ?? "";
  const host = { arch: Deno.build.arch, codenames: codenames(osRelease) };
  const missing = requirements(host).filter(({ name }) => names.includes(name));
  const manager = await packageManager();
  const { packages, unavailable } = manager
    ? packagesFor(missing, manager)
    : { packages: [], unavailable: names };
  const commands = manager && packages.length > 0 ? installCommands(manager, packages) : [];
  if (subids) {
    commands.push(subids);
    names.push("sub-user ids for you");
  }
  return { missing: names, commands, unavailable };
}

async function isThere({ anyOf, library }: Requirement): Promise<boolean> {
  if (library) return await compilerKnows(library);
  for (const place of anyOf) {
    if (place.startsWith("/") ? await isFile(place) : await which(place)) return true;
  }
  return false;
}

function isFile(path: string): Promise<boolean> {
  return Deno.stat(path).then((info) => info.isFile, () => false);
}

async function compilerKnows(library: string): Promise<boolean> {
  const compiler = await which("cc") ?? await which("gcc");
  if (!compiler) return false;
  // It answers with the bare name when it knows no such file.
  return (await run([compiler, `-print-file-name=${library}`])).stdout.trim().startsWith("/");
}

async function packageManager(): Promise<PackageManager | null> {
  const programs: [string, PackageManager][] = [
    ["apt-get", "apt"],
    ["dnf", "dnf"],
    ["pacman", "pacman"],
    ["zypper", "zypper"],
  ];
  for (const [program, manager] of programs) if (await which(program)) return manager;
  return null;
}

/** Words before a command that needs root; null if there is no way. */
async function sudoPrefix(): Promise<string[] | null> {
  if (Deno.uid() === 0) return [];
  return await which("sudo") ? ["sudo"] : null;
}

/** The command that gives this user sub-ids, or null if they have them. */
async function subidCommand(): Promise<string[] | null> {
  const user = (await run(["id", "-un"])).stdout.trim();
  if (await ownSubids(user)) return null;
  const tables = ["/etc/subuid", "/etc/subgid"].map((path) => readTextIfPresent(path));
  const first = freeSubid((await Promise.all(tables)).map((table) => table ?? ""));
  const range = `${first}-${first + ID_COUNT - 1}`;
  return ["usermod", "--add-subuids", range, "--add-subgids", range, user];
}

async function install(commands: string[][], options: PrepareOptions): Promise<void> {
  using log = await LogFile.create(join(cacheDir(), "logs"), "install");
  if (commands[0][0] === "sudo" && Deno.stdin.isTerminal()) await askPassword();
  options.progress.step("Installing what is missing");
  for (const argv of commands) {
    log.write(`+ ${argv.join(" ")}\n`);
    const child = new Deno.Command(argv[0], {
      args: argv.slice(1),
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const onLine = (line: string) => options.progress.detail(line.slice(0, 60));
    // Not killed by the signal: Ctrl-C reaches it by itself, and it stops where that does no harm.
    const { success, tail } = await follow(child, { log, onLine });
    if (success && !options.signal?.aborted) continue;
    options.progress.done();
    if (options.signal?.aborted) {
      throw new VibeError("INTERRUPTED", "Cannot install what is missing: interrupted", {
        exitCode: ExitCode.interrupted,
      });
    }
    throw new VibeError("HOST_INSTALL_FAILED", `Cannot install what is missing:\n${tail}`, {
      hint: `Run it yourself: ${argv.join(" ")}\nThe whole output is in "${log.path}".`,
    });
  }
  options.progress.done();
}

/** Lets sudo ask before our own line of progress is on the screen. */
async function askPassword(): Promise<void> {
  await new Deno.Command("sudo", { args: ["-v"] }).spawn().status;
}

function listed(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
