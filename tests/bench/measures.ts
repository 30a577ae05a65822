/** What is measured: vibe as a user runs it, and beside it the floor it cannot beat. */

import { Project, vibeCommand } from "../support/vibe.ts";
import { supervisorsOf } from "../support/processes.ts";
import { createOverlay } from "../../lib/image/clone.ts";
import { runFloor } from "./floor.ts";
import type { BaseFiles } from "./floor_initrd.ts";

/** One figure beside its floor. */
export interface Measure {
  value: number;
  floor: number;
  unit: "s" | "MB/s" | "MB" | "%";
}

/** Everything that a measurement needs. */
export interface Bench {
  base: BaseFiles;
  /** A scratch directory. */
  dir: string;
}

/** Bytes that go through pipes and ports. */
const STREAM_BYTES = 512 << 20;

/** The median of some runs. */
export async function median(runs: number, measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < runs; i++) values.push(await measure());
  return values.sort((a, b) => a - b)[Math.floor(runs / 2)];
}

/** How long some work takes. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function runTrue(project: Project): Promise<void> {
  const { code, stderr } = await project.vibe(["run", "true"]);
  if (code !== 0) throw new Error(`vibe run true: ${stderr}`);
}

/** `vibe run true` from nothing running, in a VM that has been started before. */
export async function coldVibe(env: Record<string, string> = {}): Promise<number> {
  await using project = await Project.create("project", env);
  await runTrue(project);
  return await median(3, async () => {
    await project.stopped();
    return await seconds(() => runTrue(project));
  });
}

/** (a) `vibe run true` from nothing running, beside plain QEMU up to bash. */
export async function coldRun({ base, dir }: Bench): Promise<Measure> {
  const value = await coldVibe();
  const floor = await median(3, async () => {
    const events = await runFloor({ base, dir: `${dir}/floor`, script: "echo @end" });
    return events.get("end")!;
  });
  return { value, floor, unit: "s" };
}

/** (b) `vibe run true` on a running VM, beside Deno running nothing. */
export async function warmRun(project: Project, { dir }: Bench): Promise<Measure> {
  const value = await median(11, () => seconds(() => runTrue(project)));
  await Deno.writeTextFile(`${dir}/empty.ts`, "");
  const empty = new Deno.Command(Deno.execPath(), { args: ["run", "-A", `${dir}/empty.ts`] });
  const floor = await median(11, () => seconds(() => empty.output()));
  return { value, floor, unit: "s" };
}

/** (c) Output of a command, beside dd into a virtio-serial port. */
export async function pipeOut(project: Project, { base, dir }: Bench): Promise<Measure> {
  const prepare = `truncate -s ${STREAM_BYTES} /dev/shm/big`;
  await project.sh(prepare);
  // Into another process: reading it here would be one more busy program on two cores.
  const script = '"$@" | cat >/dev/null';
  const words = vibeCommand("run", "--", "cat", "/dev/shm/big");
  const value = await median(3, async () => {
    const command = new Deno.Command("sh", {
      args: ["-c", script, "sh", ...words],
      cwd: project.dir,
      env: project.env,
    });
    return STREAM_BYTES / 1e6 / await seconds(() => command.output());
  });
  const floor = await median(3, async () => {
    const rate = new Rate();
    await runFloor({
      base,
      dir: `${dir}/floor`,
      script: `mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm; ${prepare}
        for port in /sys/class/virtio-ports/*; do
          test "$(cat $port/name)" = vibe.agent && dd if=/dev/shm/big of=/dev/\${port##*/} bs=64k
        done
        echo @end`,
      onPort: (chunk) => rate.add(chunk.byteLength),
    });
    return rate.megabytesPerSecond();
  });
  return { value, floor, unit: "MB/s" };
}

/** (d) A new instance's disk over a base of some GiB, beside qemu-img alone. */
export async function create(gibibytes: number, { dir }: { dir: string }): Promise<Measure> {
  const base = `${dir}/base-${gibibytes}g.raw`;
  await fillBase(base, gibibytes);
  const fresh = async (path: string) => await Deno.remove(path).catch(() => {});
  const value = await median(5, async () => {
    await fresh(`${dir}/a.qcow2`);
    return await seconds(() => createOverlay(base, `${dir}/a.qcow2`));
  });
  const args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, `${dir}/b.qcow2`];
  const floor = await median(5, async () => {
    await fresh(`${dir}/b.qcow2`);
    return await seconds(() => new Deno.Command("qemu-img", { args }).output());
  });
  await Deno.remove(base);
  return { value, floor, unit: "s" };
}

/** A base with real data in it, a tenth of its size, so that a copy would show. */
async function fillBase(path: string, gibibytes: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  await file.truncate(gibibytes * 2 ** 30);
  const block = new Uint8Array(1 << 20).fill(1);
  for (let i = 0; i < gibibytes * 102; i++) await file.write(block);
}

/** Prints `@NAME_MICROSECONDS` for each step; runs in the current directory. */
const FS_SCRIPT = `
t() { n=$1; shift; s=\${EPOCHREALTIME/./}; "$@" >/dev/null 2>&1; e=\${EPOCHREALTIME/./}
  echo "@\${n}_$((e - s))"; }
small() { mkdir s && for i in {1..1000}; do echo $i >s/$i; done; cat s/*; rm -r s; }
t fs_write dd if=/dev/zero of=big bs=1M count=128 conv=fsync
echo 3 >/proc/sys/vm/drop_caches
t fs_read dd if=big of=/dev/null bs=1M
t fs_small small
rm big
`;

/** (e) Reading, writing and small files in the share, beside a bare virtiofsd. */
export async function fileSystem(
  project: Project,
  { base, dir }: Bench,
): Promise<Record<"fs_write" | "fs_read" | "fs_small", Measure>> {
  await project.booted();
  const own: string[] = [];
  for (let i = 0; i < 3; i++) {
    own.push((await project.vibe(["run", "--", "bash", "-c", FS_SCRIPT])).stdout);
  }
  const bare: string[] = [];
  for (let i = 0; i < 3; i++) {
    await Deno.mkdir(`${dir}/share`);
    const events = await runFloor({
      base,
      dir: `${dir}/floor`,
      share: `${dir}/share`,
      script: `mount -t virtiofs shared /mnt && cd /mnt/floor || exit\n${FS_SCRIPT}\necho @end`,
    });
    bare.push([...events.keys()].map((name) => `@${name}`).join("\n"));
    await Deno.remove(`${dir}/share`, { recursive: true });
  }
  const elapsed = (texts: string[], name: string) => {
    const values = texts.map((text) => Number(text.match(`@${name}_(\\d+)`)![1]) / 1e6);
    return values.sort((a, b) => a - b)[1];
  };
  const rate = (name: string): Measure => ({
    value: 134.2 / elapsed(own, name),
    floor: 134.2 / elapsed(bare, name),
    unit: "MB/s",
  });
  return {
    fs_write: rate("fs_write"),
    fs_read: rate("fs_read"),
    fs_small: { value: elapsed(own, "fs_small"), floor: elapsed(bare, "fs_small"), unit: "s" },
  };
}

/** (f) Memory and idle processor time of the supervisor, beside a Deno that waits on a socket. */
export async function supervisor(
  project: Project,
  { dir }: Bench,
): Promise<Record<"supervisor_rss" | "idle_cpu", Measure>> {
  const script = `${dir}/wait.ts`;
  await Deno.writeTextFile(
    script,
    `for await (const _ of Deno.listen({ transport: "unix", path: ${
      JSON.stringify(`${dir}/wait.sock`)
    } })) { /* nobody comes */ }`,
  );
  const bare = new Deno.Command(Deno.execPath(), { args: ["run", "-A", script] }).spawn();
  try {
    const [{ pid }] = await supervisorsOf(project);
    const [before, bareBefore] = await Promise.all([cpuSeconds(pid), cpuSeconds(bare.pid)]);
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    const [after, bareAfter] = await Promise.all([cpuSeconds(pid), cpuSeconds(bare.pid)]);
    return {
      supervisor_rss: { value: await rss(pid), floor: await rss(bare.pid), unit: "MB" },
      idle_cpu: {
        value: (after - before) * 10,
        floor: (bareAfter - bareBefore) * 10,
        unit: "%",
      },
    };
  } finally {
    bare.kill();
    await bare.status;
  }
}

async function rss(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(status.match(/VmRSS:\s+(\d+)/)![1]) / 1000;
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Clock ticks of 1/100 s, on every Linux that Deno runs on.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Bytes over the time from the first chunk to the last. */
class Rate {
  #bytes = 0;
  #first = 0;
  #last = 0;

  add(bytes: number): void {
    this.#last = performance.now();
    this.#first ||= this.#last;
    this.#bytes += bytes;
  }

  megabytesPerSecond(): number {
    if (this.#bytes !== STREAM_BYTES) throw new Error(`${this.#bytes} bytes came`);
    return this.#bytes / 1000 / (this.#last - this.#first);
  }
}
