/**
 * `deno task bench`: what matters, each figure beside its floor measured in the same run. With
 * `--json`: {name: {value, floor, ratio, unit}}. Names after the options choose some of them.
 */

import { Project, TEST_CACHE } from "../support/vibe.ts";
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

/** What is aimed at; shown, not enforced. */
const AIMS: Record<string, string> = {
  cold_run: "<= 1.25x",
  warm_run: "<= 4x",
  pipe_out: ">= 0.7x",
  create_1g: "< 0.1 s",
  create_10g: "< 0.1 s",
  fs_read: ">= 0.95x",
  fs_write: ">= 0.95x",
  fs_small: "<= 1.05x",
  supervisor_rss: "<= 70 MB",
  idle_cpu: "< 1 %",
};

async function measureAll(bench: Bench, wanted: (name: string) => boolean) {
  const results: Record<string, Measure> = {};
  const say = (name: string) => console.error(`measuring ${name} …`);
  const one = async (name: string, measure: () => Promise<Measure>) => {
    if (!wanted(name)) return;
    say(name);
    results[name] = await measure();
  };
  await one("create_1g", () => create(1, bench));
  await one("create_10g", () => create(10, bench));
  await one("cold_run", () => coldRun(bench));
  await using project = await Project.create();
  await using _hold = await project.hold();
  await project.sh("systemctl is-system-running --wait");
  await one("warm_run", () => warmRun(project, bench));
  await one("pipe_out", () => pipeOut(project, bench));
  if (["fs_read", "fs_write", "fs_small"].some(wanted)) {
    say("fs_read, fs_write, fs_small");
    Object.assign(results, await fileSystem(project, bench));
  }
  if (["supervisor_rss", "idle_cpu"].some(wanted)) {
    say("supervisor_rss, idle_cpu");
    Object.assign(results, await supervisor(project, bench));
  }
  return results;
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
Deno.env.set("VIBE_CACHE", TEST_CACHE);
const dir = await Deno.makeTempDir({ prefix: "vibe-bench-" });
try {
  // The first VM builds the image if there is none.
  {
    await using project = await Project.create();
    const { code, stderr } = await project.vibe(["--yes", "run", "true"]);
    if (code !== 0) throw new Error(stderr);
  }
  const bench = { base: await findBaseFiles(), dir };
  const results = await measureAll(
    bench,
    (name) => names.length === 0 || names.includes(name),
  );
  if (Deno.args.includes("--json")) {
    const entries = Object.entries(results).map(([name, m]) => [name, { ...m, ratio: ratio(m) }]);
    console.log(JSON.stringify(Object.fromEntries(entries), null, 2));
  } else printTable(results);
} finally {
  await Deno.remove(dir, { recursive: true });
}
