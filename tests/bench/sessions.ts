/** Many terminals on one VM: how soon a second one is there, and how soon a key is echoed. */

import { spawn } from "node-pty";
import { projectInstance } from "../../lib/paths.ts";
import { Project, vibeCommand } from "../support/vibe.ts";
import type { Bench, Measure } from "./measures.ts";

const RUNS = 200;
const KEYS = 200;

/** The value below which `share` of the samples are, in the samples' unit. */
function percentile(samples: number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

async function sample(count: number, measure: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await measure();
    samples.push((performance.now() - start) / 1000);
  }
  return samples;
}

/** A program on a terminal, and what it writes as it comes. */
class RawTerminal implements Disposable {
  readonly #pty: ReturnType<typeof spawn>;
  #text = "";
  #came = Promise.withResolvers<void>();

  constructor(argv: string[], { dir, env }: { dir: string; env: Record<string, string> }) {
    this.#pty = spawn(argv[0], argv.slice(1), {
      cwd: dir,
      env: { ...Deno.env.toObject(), ...env },
    });
    this.#pty.onData((data: string) => {
      this.#text += data;
      this.#came.resolve();
      this.#came = Promise.withResolvers();
    });
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  /** Resolves when a text has come since the last call. */
  async until(text: string): Promise<void> {
    while (!this.#text.includes(text)) await this.#came.promise;
    this.#text = "";
  }

  [Symbol.dispose](): void {
    this.#pty.kill();
  }
}

/** An empty Deno program: what no command of ours can beat. */
async function emptyProgram({ dir }: Bench): Promise<() => Promise<unknown>> {
  await Deno.writeTextFile(`${dir}/empty.ts`, "");
  const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", `${dir}/empty.ts`] });
  return () => command.output();
}

/** A second terminal, from Enter to the prompt. */
export async function secondTerminal(project: Project, bench: Bench): Promise<Measure> {
  const samples = await sample(11, async () => {
    using terminal = new RawTerminal(vibeCommand(), project);
    await terminal.until("# ");
  });
  const floor = percentile(await sample(11, await emptyProgram(bench)), 0.5);
  return { value: percentile(samples, 0.5), floor, unit: "s" };
}

/** `vibe run true`, over and over. */
export async function roundTrips(
  project: Project,
  bench: Bench,
): Promise<Record<"run_p50" | "run_p99", Measure>> {
  const own = await sample(RUNS, async () => {
    const { code, stderr } = await project.vibe(["run", "true"]);
    if (code !== 0) throw new Error(stderr);
  });
  const bare = await sample(RUNS, await emptyProgram(bench));
  const at = (share: number): Measure => ({
    value: percentile(own, share),
    floor: percentile(bare, share),
    unit: "s",
  });
  return { run_p50: at(0.5), run_p99: at(0.99) };
}

/** From a key to its echo, beside a shell of the host's; in `cat`, so that no editor is measured. */
export async function echo(
  project: Project,
): Promise<Record<"echo_p50" | "echo_p99" | "echo_flood_p50" | "echo_flood_p99", Measure>> {
  const local = await echoTimes(new RawTerminal(["cat"], project));
  const idle = await echoTimes(await guestCat(project));
  const flood = project.spawn([
    "run",
    "--",
    "sh",
    "-c",
    "head -c 1000000000 /dev/zero; sleep 1000",
  ]);
  const drained = flood.stdout.pipeTo(new WritableStream());
  const busy = await echoTimes(await guestCat(project));
  flood.kill();
  await Promise.all([drained, flood.stdin.close(), flood.stderr.cancel(), flood.status]);
  const at = (times: number[], share: number): Measure => ({
    value: percentile(times, share),
    floor: percentile(local, share),
    unit: "s",
  });
  return {
    echo_p50: at(idle, 0.5),
    echo_p99: at(idle, 0.99),
    echo_flood_p50: at(busy, 0.5),
    echo_flood_p99: at(busy, 0.99),
  };
}

async function guestCat(project: Project): Promise<RawTerminal> {
  const terminal = new RawTerminal(
    vibeCommand("run", "--", "sh", "-c", "echo ready; cat"),
    project,
  );
  await terminal.until("ready");
  return terminal;
}

async function echoTimes(terminal: RawTerminal): Promise<number[]> {
  using _terminal = terminal;
  return await sample(KEYS, async () => {
    terminal.type("x");
    await terminal.until("x");
  });
}

/** `vibe ls` among 20 projects, one of which runs. */
export async function list(project: Project, bench: Bench): Promise<Measure> {
  const made = await Promise.all(
    Array.from({ length: 19 }, async (_, i) => {
      const dir = `${bench.dir}/project-${i}`;
      await Deno.mkdir(`${dir}/.vibe`, { recursive: true });
      await Deno.copyFile(project.path(".vibe/instance.json"), `${dir}/.vibe/instance.json`);
      const instance = await projectInstance(dir);
      const path = `${project.env.VIBE_DATA}/registry/${instance.id}.json`;
      await Deno.writeTextFile(path, JSON.stringify(instance));
      return dir;
    }),
  );
  const samples = await sample(11, async () => {
    const { code, stdout, stderr } = await project.vibe(["ls", "--json"]);
    if (code !== 0 || !made.every((dir) => stdout.includes(dir))) throw new Error(stdout + stderr);
  });
  const floor = percentile(await sample(11, await emptyProgram(bench)), 0.5);
  return { value: percentile(samples, 0.5), floor, unit: "s" };
}

/** Memory that the host has given an idle VM after 1 GiB was built in it, beside before. */
export async function afterBuild(): Promise<Measure> {
  await using project = await Project.create();
  await using _hold = await project.hold();
  await project.booted();
  const floor = await guestMegabytes(project);
  await project.sh("head -c 1G /dev/urandom > /root/built && sync && rm /root/built");
  // The guest tells what is free within seconds.
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  return { value: await guestMegabytes(project), floor, unit: "MB" };
}

async function guestMegabytes(project: Project): Promise<number> {
  const [{ pid }] = (await project.processes(project.env.VIBE_RUNTIME))
    .filter(({ command }) => /^\S*qemu-system-/.test(command));
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(status.match(/^VmRSS:\s+(\d+) kB$/m)![1]) / 1000;
}
