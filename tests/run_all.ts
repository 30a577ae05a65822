/**
 * `deno task test`: installs what the tests need, runs them and prints a summary. Every suite runs
 * even if one before it failed; the exit code says whether all passed. Names of suites after it
 * choose some of them. Suites run in two lanes, for a VM in software emulation keeps one core busy.
 */

import { once } from "node:events";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { prepareHost } from "../lib/host/prepare.ts";
import { which } from "../lib/process.ts";
import { silentProgress } from "../lib/progress.ts";
import { missingPackages } from "./mac/packages.ts";

/** What the tests want beside what vibe needs itself. Program -> Debian package. */
const TEST_PROGRAMS: Record<string, string> = {
  git: "git",
  gcc: "gcc",
  tmux: "tmux",
  "qemu-img": "qemu-utils",
  xz: "xz-utils",
  zsh: "zsh",
  fish: "fish",
};

interface Suite {
  name: string;
  lane: 0 | 1;
  dir: string;
  /** The files of `dir` that it is made of; all unless given. */
  files?: RegExp;
  /** Files that it leaves out, and why. */
  without?: Record<string, string>;
  env?: Record<string, string>;
}

const ABOVE = "it is about what is above drivers, and uses of them what other files show";

/**
 * `parity` is `vm` again over the Mac's driver. What it leaves out has nothing to do with drivers, or
 * chooses one itself. Single tests that cannot hold there say so (`onlyOn` in tests/support/driver.ts).
 */
const SUITES: Suite[] = [
  { name: "unit", lane: 0, dir: "tests/unit" },
  { name: "vm", lane: 0, dir: "tests/vm", files: /^(?!images?_)/ },
  { name: "images", lane: 1, dir: "tests/vm", files: /^images?_/ },
  // What the next two build of the bridge is the same: not both at once.
  { name: "mac", lane: 1, dir: "tests/mac" },
  {
    name: "parity",
    lane: 1,
    dir: "tests/vm",
    files: /^(?!images?_)/,
    without: {
      "actions_test.ts": ABOVE,
      "copy_test.ts": ABOVE,
      "doctor_test.ts": ABOVE,
      "groups_example_test.ts": ABOVE,
      "hooks_test.ts": ABOVE,
      "life_test.ts": ABOVE,
      "programs_test.ts": ABOVE,
      "stress_test.ts": ABOVE,
      "download_faults_test.ts": "it starts no VM",
      "config_test.ts": "where settings come from is known before a driver is",
      "disk_test.ts": "QEMU's firmware is what it tests",
      "library_test.ts": "it chooses its driver itself",
      "user_shares_test.ts": "logins are single files, which a Mac does not share",
    },
    env: { VIBE_TEST_DRIVER: "vz" },
  },
];

/** The last line of `deno test`. Steps that are ignored are counted apart from tests. */
const CLOSING =
  /^(?:ok|FAILED) \| (\d+) passed.* \| (\d+) failed(?:.* \| (\d+) ignored(?: \((\d+) step)?)?/;

interface Tally {
  name: string;
  passed: number;
  failed: number;
  ignored: number;
  /** Files that were left out. */
  without: number;
  ok: boolean;
  seconds: number;
}

/** What vibe needs, as `vibe --yes` installs it, and what the tests want beside that. */
async function installPrograms(): Promise<void> {
  const progress = { ...silentProgress, step: (text: string) => console.log(text) };
  await prepareHost(["run", "image", "agent", "efi"], { yes: true, progress });
  const missing: string[] = [];
  for (const [program, name] of Object.entries(TEST_PROGRAMS)) {
    if (!await which(program)) missing.push(name);
  }
  missing.push(...await missingPackages());
  if (missing.length === 0) return;
  const sudo = Deno.uid() === 0 ? [] : ["sudo"];
  await runOrThrow([...sudo, "apt-get", "update", "-q"]);
  await runOrThrow([
    ...sudo,
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    ...["apt-get", "install", "-y", "-q", "--no-install-recommends", ...missing],
  ]);
}

async function runOrThrow(argv: string[]): Promise<void> {
  console.log(`+ ${argv.join(" ")}`);
  const status = await new Deno.Command(argv[0], { args: argv.slice(1) }).spawn().status;
  if (!status.success) throw new Error(`${argv[0]} exited with ${status.code}`);
}

/** The test files of a suite. */
function filesOf({ dir, files, without = {} }: Suite): string[] {
  const names = Array.from(Deno.readDirSync(dir), ({ name }) => name);
  return names.filter((name) => name.endsWith("_test.ts") && !(name in without))
    .filter((name) => files?.test(name) ?? true).sort().map((name) => `${dir}/${name}`);
}

/**
 * Runs a suite and counts by its closing line. What it prints is passed on by lines, each with its
 * name in front if `named`.
 */
async function runSuite(suite: Suite, named: boolean): Promise<Tally> {
  const { name, without = {}, env } = suite;
  const say = (line: string) => console.log(named ? `${name.padEnd(6)} | ${line}` : line);
  say(`== ${name} ==`);
  const leftOut = Object.entries(without);
  for (const [file, why] of leftOut) say(`without ${file}: ${why}`);
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--quiet", "--allow-all", ...filesOf(suite)],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let closing: RegExpMatchArray | null = null;
  const lines = createInterface({ input: Readable.fromWeb(child.stdout) });
  lines.on("line", (line) => {
    say(line);
    closing = line.match(CLOSING) ?? closing;
  });
  const said = once(lines, "close");
  const { success } = await child.status;
  // All it said is in the pipe. A process that a test left behind may hold the pipe open.
  await Promise.race([said, new Promise((resolve) => setTimeout(resolve, 2000))]);
  lines.close();
  const counts = closing as RegExpMatchArray | null;
  const [passed, failed, ...skipped] = [1, 2, 3, 4].map((group) => Number(counts?.[group] ?? 0));
  const ignored = skipped[0] + skipped[1];
  const seconds = Math.round((performance.now() - started) / 1000);
  const result = { name, passed, failed, ignored, without: leftOut.length, seconds };
  return { ...result, ok: success && counts !== null };
}

const unknown = Deno.args.filter((name) => !SUITES.some((suite) => suite.name === name));
if (unknown.length > 0) throw new Error(`There is no suite "${unknown[0]}"`);
await installPrograms();
const chosen = SUITES.filter(({ name }) => Deno.args.length === 0 || Deno.args.includes(name));
const tallies: Tally[] = [];
await Promise.all([0, 1].map(async (lane) => {
  for (const suite of chosen.filter((suite) => suite.lane === lane)) {
    tallies.push(await runSuite(suite, chosen.length > 1));
  }
}));

console.log("\n== summary ==");
for (const t of tallies) {
  const ignored = t.ignored ? `, ${t.ignored} ignored` : "";
  const without = t.without ? `, ${t.without} files left out` : "";
  const counts = `${t.passed} passed, ${t.failed} failed${ignored}${without}`;
  console.log(`${t.ok ? "ok    " : "FAILED"}  ${t.name}: ${counts} (${t.seconds} s)`);
}
const sum = (pick: (t: Tally) => number) => tallies.reduce((total, t) => total + pick(t), 0);
// A suite that broke down before it could count has failed, too.
const broken = tallies.filter((t) => !t.ok && t.failed === 0).length;
console.log(`${sum((t) => t.passed)} passed, ${sum((t) => t.failed) + broken} failed`);
Deno.exit(tallies.every((t) => t.ok) ? 0 : 1);
