/** Plain QEMU with the same kernel and a shell script as its only program. */

import { qemuArgs, qemuProgram, type QemuSockets } from "../../lib/driver/qemu_args.ts";
import { hostAccelerator } from "../../lib/driver/accel.ts";
import { startShares } from "../../lib/share/virtiofsd.ts";
import { type BaseFiles, packFloorInitrd } from "./floor_initrd.ts";

/** One run of a floor VM. */
export interface FloorOptions {
  base: BaseFiles;
  /** A private directory. */
  dir: string;
  /** What bash runs as PID 1. A line `@name` it prints is an event. */
  script: string;
  /** Host directory served by a bare virtiofsd as tag `shared`. */
  share?: string;
  /** Called with every chunk that comes out of the agent's port. */
  onPort?: (chunk: Uint8Array) => void;
}

/** Seconds from QEMU's start (or the first event) to each event, by name. */
export type FloorEvents = Map<string, number>;

/** Boots, runs the script until it prints `@end`, and kills the VM. */
export async function runFloor(options: FloorOptions): Promise<FloorEvents> {
  const { base, dir } = options;
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  const initrd = `${dir}/initrd.img`;
  await Deno.writeFile(initrd, await packFloorInitrd(base, options.script));
  await using shares = options.share
    ? await startShares({
      runtimeDir: dir,
      shares: [{ name: "floor", source: options.share, readOnly: false, guards: [] }],
    })
    : null;
  const sockets: QemuSockets = {
    agent: `${dir}/agent.sock`,
    console: `${dir}/console.sock`,
    qmp: `${dir}/qmp.sock`,
    shares: shares?.socket ?? null,
  };
  const listeners = [sockets.qmp, sockets.console, sockets.agent].map((path) =>
    Deno.listen({ transport: "unix", path })
  );
  const args = qemuArgs(
    {
      name: "floor",
      runtimeDir: dir,
      cpus: 2,
      memoryMiB: 2048,
      boot: { kind: "kernel", kernel: base.floorKernel, initrd, args: [] },
      disks: [{ path: `${dir}/disk.qcow2`, format: "qcow2", backing: base.disk }],
      shares: [],
      network: "none",
    },
    { arch: Deno.build.arch, accelerator: await hostAccelerator() },
    sockets,
  );
  await new Deno.Command("qemu-img", {
    args: ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", base.disk, `${dir}/disk.qcow2`],
  }).output();
  const started = performance.now();
  const child = new Deno.Command(qemuProgram(Deno.build.arch), { args, stdin: "null" }).spawn();
  try {
    const [qmp, console, port] = await Promise.all(listeners.map((l) => l.accept()));
    drain(qmp);
    drain(port, options.onPort);
    return await readEvents(console, started);
  } finally {
    child.kill("SIGKILL");
    await child.status;
    for (const listener of listeners) listener.close();
    await Deno.remove(dir, { recursive: true });
  }
}

async function drain(conn: Deno.Conn, onChunk: (chunk: Uint8Array) => void = () => {}) {
  const buffer = new Uint8Array(256 << 10);
  try {
    for (let count; (count = await conn.read(buffer)) !== null;) {
      onChunk(buffer.subarray(0, count));
    }
  } catch {
    // QEMU was killed.
  }
}

async function readEvents(console: Deno.Conn, started: number): Promise<FloorEvents> {
  const events: FloorEvents = new Map();
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4096);
  let text = "";
  for (let count; (count = await console.read(buffer)) !== null;) {
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
    for (const [, name] of text.matchAll(/@(\w+)\r?\n/g)) {
      if (!events.has(name)) events.set(name, (performance.now() - started) / 1000);
    }
    if (events.has("end")) return events;
  }
  throw new Error(`the floor VM ended early:\n${text}`);
}
