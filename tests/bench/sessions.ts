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

/** Conditions under which a key is typed, and the two figures of each. */
const ECHOES = ["echo", "echo_flood", "echo_unread"] as const;
type EchoFigure = `${typeof ECHOES[number]}_${"p50" | "p99"}`;

/**
 * From a key to its echo, beside a terminal of the host's; in `cat`, so that no editor is measured.
 * Alone; while another session writes without end; and while one does that nobody reads.
 */
export async function echo(project: Project): Promise<Record<EchoFigure, Measure>> {
  const floor = await echoTimes(new RawTerminal(["cat"], project));
  const times = [
    await echoTimes(await guestCat(project)),
    await besideFlood(project, true),
    await besideFlood(project, false),
  ];
  const at = (own: number[], share: number): Measure => ({
    value: percentile(own, share),
    floor: percentile(floor, share),
    unit: "s",
  });
  return Object.fromEntries(
    ECHOES.flatMap((name, index) => [
      [`${name}_p50`, at(times[index], 0.5)],
      [`${name}_p99`, at(times[index], 0.99)],
    ]),
  ) as Record<EchoFigure, Measure>;
}

async function besideFlood(project: Project, read: boolean): Promise<number[]> {
  const script = "echo $$ >&2; exec cat /dev/zero";
  const flood = project.spawn(["run", "--", "sh", "-c", script]);
  const said = flood.stderr.getReader();
  const pid = new TextDecoder().decode((await said.read()).value).trim();
  let bytes = 0;
  const sink = () =>
    new WritableStream({ write: (chunk: Uint8Array) => void (bytes += chunk.byteLength) });
  const drained = read ? flood.stdout.pipeTo(sink()) : null;
  if (!read) {
    // It has filled every buffer on the way once it sleeps in a write.
    await project.sh(`until grep -q ' S ' /proc/${pid}/stat; do sleep 0.1; done`);
  }
  const times = await echoTimes(await guestCat(project));
  flood.kill();
  await Promise.all([
    drained ?? flood.stdout.cancel(),
    said.cancel(),
    flood.stdin.close(),
    flood.status,
  ]);
  // As much as makes a flood.
  if (read && bytes < 1e8) throw new Error(`only ${bytes} bytes came while keys were typed`);
  return times;
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
