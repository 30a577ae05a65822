/**
 * What the bridge costs, over the double. For `deno task bench`; by itself it prints the figures.
 *
 *     deno run -A tests/mac/bench.ts
 */

import { fileURLToPath } from "node:url";
import { VzLibrary } from "../../ffi/machine.ts";
import { FrameConnection } from "../../lib/agent/connection.ts";
import { FrameType } from "../../lib/agent/frame.ts";
import { FROM_GUEST } from "../../lib/agent/messages.ts";
import type { Driver, Vm, VmConfig } from "../../lib/driver/driver.ts";
import { qemuDriver } from "../../lib/driver/qemu.ts";
import { vzDriver } from "../../lib/driver/vz.ts";
import { createOverlay } from "../../lib/image/clone.ts";
import { run } from "../../lib/process.ts";
import { build } from "./build.ts";

/** One figure beside its floor, in seconds. */
export interface Measure {
  value: number;
  floor: number;
  unit: "s";
}

/** What a guest is booted from. */
export interface BootFiles {
  kernel: string;
  initrd: string;
  /** The base's raw disk. */
  disk: string;
}

const GUEST = fileURLToPath(new URL("double/guest.ts", import.meta.url));

async function median(runs: number, measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < runs; i++) values.push(await measure());
  return values.sort((a, b) => a - b)[Math.floor(runs / 2)];
}

/**
 * A machine configured, made and started through the bridge, with a process as its guest; beside
 * starting such a process alone.
 */
export async function bridge(): Promise<Measure> {
  const library = await VzLibrary.open(await build("elf"));
  const dir = await Deno.makeTempDir();
  const socket = `${dir}/console`;
  const value = await median(51, async () => {
    using listener = Deno.listen({ transport: "unix", path: socket });
    const started = performance.now();
    const machine = library.create({
      cpus: 2,
      memory: 2 ** 30,
      boot: { kernel: "/kernel", initrd: "/initrd", commandLine: "console=hvc0" },
      shares: [{ tag: "shared", directories: [{ name: "project", path: dir }] }],
      ports: [{ socket, console: true }],
      network: { mode: "nat" },
    });
    const console = await listener.accept();
    await machine.start();
    const time = performance.now() - started;
    console.close();
    machine[Symbol.dispose]();
    await machine.drained;
    await Deno.remove(socket);
    return time / 1000;
  });
  const floor = await median(51, async () => {
    const started = performance.now();
    const child = new Deno.Command("sh", { args: ["-c", "exec cat"], stdin: "piped" }).spawn();
    const time = performance.now() - started;
    await child.stdin.close();
    await child.status;
    return time / 1000;
  });
  await Deno.remove(dir, { recursive: true });
  return { value, floor, unit: "s" };
}

/** From a driver's start to the agent's first word. */
async function untilHello(driver: Driver, config: VmConfig): Promise<number> {
  const started = performance.now();
  const vm: Vm = await driver.start(config, () => {});
  const agent = new FrameConnection(vm.agent, FROM_GUEST);
  const hello = Promise.withResolvers<number>();
  agent.receive((frame) => {
    if (frame.type === FrameType.hello) hello.resolve(performance.now() - started);
  }).catch(hello.reject);
  // Or the guest waits for somebody to read its console.
  const buffer = new Uint8Array(4096);
  (async () => {
    while (await vm.console.read(buffer) !== null);
  })().catch(() => {});
  const time = await hello.promise;
  await vm.kill();
  agent.close();
  vm.console.close();
  return time / 1000;
}

/**
 * Debian up to its agent: through the driver for macOS, the bridge and the double, beside the driver
 * for Linux. The double starts another Deno, which starts QEMU; that is in the difference, too.
 */
export async function boot(files: BootFiles): Promise<Measure> {
  Deno.env.set("VIBE_VZ_LIBRARY", await build("elf"));
  Deno.env.set("VIBE_DOUBLE_GUEST", `exec '${Deno.execPath()}' run -A '${GUEST}'`);
  const dir = await Deno.makeTempDir({ prefix: "vb-" });
  const { kernel, initrd } = files;
  const config = (disk: VmConfig["disks"][number]): VmConfig => ({
    name: "bench",
    runtimeDir: dir,
    cpus: 2,
    memoryMiB: 1024,
    boot: { kind: "kernel", kernel, initrd, args: [] },
    disks: [disk],
    shares: [],
    network: "none",
  });
  const value = await median(3, async () => {
    const path = `${dir}/disk.raw`;
    await run(["cp", "--sparse=always", "--reflink=auto", files.disk, path]);
    return await untilHello(vzDriver, config({ path, format: "raw" }));
  });
  const floor = await median(3, async () => {
    const path = `${dir}/disk.qcow2`;
    await createOverlay(files.disk, path);
    return await untilHello(qemuDriver, config({ path, format: "qcow2", backing: files.disk }));
  });
  await Deno.remove(dir, { recursive: true });
  return { value, floor, unit: "s" };
}

if (import.meta.main) {
  const figures = { bridge: await bridge() } as Record<string, Measure>;
  const [kernel, initrd, disk] = Deno.args;
  if (disk) figures.boot = await boot({ kernel, initrd, disk });
  console.log(JSON.stringify(figures));
}
