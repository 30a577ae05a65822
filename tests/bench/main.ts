/**
 * `deno task bench`: what matters, each figure beside its floor measured in the same run. With
 * `--json`: {name: {value, floor, ratio, unit}}. Names after the options choose some of them.
 */

import { missingPackages } from "../mac/packages.ts";
import { Project, TEST_CACHE } from "../support/vibe.ts";
import { build } from "./build.ts";
import { download } from "./download.ts";
import { findBaseFiles } from "./floor_initrd.ts";
import {
  type Bench,
  coldRun,
  create,
  fileSystem,
  type Measure,
  pipeOut,
  supervisor,
  warmRun,
} from "./measures.ts";
import { afterBuild, echo, list, roundTrips, secondTerminal } from "./sessions.ts";
import { bridge, coldRunVz } from "./vz.ts";

/** What is aimed at; shown, not enforced. */
const AIMS: Record<string, string> = {
  cold_run: "<= 1.25x",
  warm_run: "<= 4x",
  pipe_out: ">= 0.7x",
  create_1g: "< 0.1 s",
  create_10g: "< 0.1 s",
  download: ">= 0.9x",
  download_rss: "<= 120 MB",
  build: "<= 1.2x",
  fs_read: ">= 0.95x",
  fs_write: ">= 0.95x",
  fs_small: "<= 1.05x",
  supervisor_rss: "<= 70 MB",
  idle_cpu: "< 1 %",
  bridge: "< 0.005 s",
  second_terminal: "< 0.15 s",
  run_p50: "",
  run_p99: "",
  echo_p50: "",
  echo_p99: "",
  echo_flood_p50: "",
  echo_flood_p99: "< 0.1 s",
  echo_unread_p50: "",
  echo_unread_p99: "< 0.1 s",
  ls_20: "",
  after_build: "",
  cold_run_vz: "<= 1.25x",
};

/** Which figures are asked for. */
type Wanted = (name: string) => boolean;

/** Measures what is wanted of some figures, telling of each. */
async function measureEach(
  measures: Record<string, () => Promise<Measure>>,
  wanted: Wanted,
): Promise<Record<string, Measure>> {
  const results: Record<string, Measure> = {};
  for (const [name, measure] of Object.entries(measures)) {
    if (!wanted(name)) continue;
    console.error(`measuring ${name} …`);
    results[name] = await measure();
  }
  return results;
}

/** What needs no VM, and so no image. */
const FILES = ["create_1g", "create_10g", "download", "download_rss"];

async function measureFiles(dir: string, wanted: Wanted): Promise<Record<string, Measure>> {
  const results = await measureEach({
    create_1g: () => create(1, { dir }),
    create_10g: () => create(10, { dir }),
  }, wanted);
  if (!wanted("download") && !wanted("download_rss")) return results;
  console.error("measuring download, download_rss …");
  return { ...results, ...await download({ dir }) };
}

/** What needs no running VM. */
async function measureCold(bench: Bench, wanted: Wanted): Promise<Record<string, Measure>> {
  const results = await measureEach({
    build: () => build(bench),
    cold_run: () => coldRun(bench),
    after_build: afterBuild,
  }, wanted);
  const vz = { bridge: () => bridge(bench.dir), cold_run_vz: coldRunVz };
  const missing = Object.keys(vz).some(wanted) ? await missingPackages() : [];
  if (missing.length === 0) return { ...results, ...await measureEach(vz, wanted) };
  console.error(
    `not measuring bridge, cold_run_vz: install ${missing.join(", ")} (\`deno task test\` does)`,
  );
  return results;
}

/** What is measured in one VM that runs. */
async function measureWarm(bench: Bench, wanted: Wanted): Promise<Record<string, Measure>> {
  const fs = ["fs_read", "fs_write", "fs_small"];
  const idle = ["supervisor_rss", "idle_cpu"];
  const sessions = ["second_terminal", "ls_20", ...SESSION_GROUPS.flatMap(([names]) => names)];
  if (!["warm_run", "pipe_out", ...fs, ...idle, ...sessions].some(wanted)) return {};
  await using project = await Project.create();
  await using _hold = await project.hold();
  await project.booted();
  const results = await measureEach({
    warm_run: () => warmRun(project, bench),
    pipe_out: () => pipeOut(project, bench),
  }, wanted);
  if (fs.some(wanted)) {
    console.error(`measuring ${fs.join(", ")} …`);
    Object.assign(results, await fileSystem(project, bench));
  }
  if (idle.some(wanted)) {
    console.error(`measuring ${idle.join(", ")} …`);
    Object.assign(results, await supervisor(project, bench));
  }
  return { ...results, ...await measureSessions(project, bench, wanted) };
}

async function measureSessions(
  project: Project,
  bench: Bench,
  wanted: Wanted,
): Promise<Record<string, Measure>> {
  const results = await measureEach({
    second_terminal: () => secondTerminal(project, bench),
    ls_20: () => list(project, bench),
  }, wanted);
  for (const [names, measure] of SESSION_GROUPS) {
    if (!names.some(wanted)) continue;
    console.error(`measuring ${names.join(", ")} …`);
    Object.assign(results, await measure(project, bench));
  }
  return results;
}

/** Figures that come together. */
const SESSION_GROUPS: [string[], typeof roundTrips | typeof echo][] = [
  [["run_p50", "run_p99"], roundTrips],
  [Object.keys(AIMS).filter((name) => name.startsWith("echo_")), echo],
];

/** What needs the image; the first VM builds it if there is none. */
async function measureVms(dir: string, wanted: Wanted): Promise<Record<string, Measure>> {
  {
    await using project = await Project.create();
    const { code, stderr } = await project.vibe(["--yes", "run", "true"]);
    if (code !== 0) throw new Error(stderr);
  }
  const bench = { base: await findBaseFiles(), dir };
  return { ...await measureCold(bench, wanted), ...await measureWarm(bench, wanted) };
}

/** Null where the floor is nothing. */
function ratio({ value, floor }: Measure): number | null {
  return floor === 0 ? null : Number((value / floor).toFixed(3));
}

function printTable(results: Record<string, Measure>): void {
  const row = (cells: string[]) =>
    console.log(
      cells[0].padEnd(16) + cells.slice(1, 4).map((c) => c.padStart(10)).join("") +
        `  ${cells[4].padEnd(6)}${cells[5]}`,
    );
  row(["name", "vibe", "floor", "ratio", "unit", "aim"]);
  for (const [name, measure] of Object.entries(results)) {
    const figure = (value: number) => value.toFixed(value < 10 ? 3 : 1);
    const times = ratio(measure);
    row([
      name,
      figure(measure.value),
      figure(measure.floor),
      times === null ? "-" : times.toFixed(2),
      measure.unit,
      AIMS[name],
    ]);
  }
}

const names = Deno.args.filter((arg) => !arg.startsWith("-"));
const unknown = names.filter((name) => !(name in AIMS));
if (unknown.length > 0) throw new Error(`No measure is called ${unknown.join(", ")}`);
Deno.env.set("VIBE_CACHE", TEST_CACHE);
const dir = await Deno.makeTempDir({ prefix: "vibe-bench-" });
try {
  const wanted = (name: string) => names.length === 0 || names.includes(name);
  const results = await measureFiles(dir, wanted);
  if (Object.keys(AIMS).some((name) => wanted(name) && !FILES.includes(name))) {
    Object.assign(results, await measureVms(dir, wanted));
  }
  if (Deno.args.includes("--json")) {
    const entries = Object.entries(results).map(([name, m]) => [name, { ...m, ratio: ratio(m) }]);
    console.log(JSON.stringify(Object.fromEntries(entries), null, 2));
  } else printTable(results);
} finally {
  await Deno.remove(dir, { recursive: true });
}
