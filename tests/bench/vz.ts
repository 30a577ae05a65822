/** What the way through the Mac's driver costs, on a double of Apple's framework. */

import { VzLibrary } from "../../ffi/machine.ts";
import { build } from "../mac/build.ts";
import { onTheDouble } from "../support/driver.ts";
import { coldVibe, type Measure, median, seconds } from "./measures.ts";

/** Runs of what takes milliseconds. */
const RUNS = 51;

/**
 * (g) A machine configured, made and started through the bridge, with a process as its guest; beside
 * starting such a process alone.
 */
export async function bridge(dir: string): Promise<Measure> {
  const library = await VzLibrary.open(await build("elf"));
  const socket = `${dir}/console`;
  const value = await median(RUNS, async () => {
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
  const floor = await median(RUNS, async () => {
    let child: Deno.ChildProcess | undefined;
    const time = await seconds(() => {
      child = new Deno.Command("sh", { args: ["-c", "exec cat"], stdin: "piped" }).spawn();
      return Promise.resolve();
    });
    await child!.stdin.close();
    await child!.status;
    return time;
  });
  return { value, floor, unit: "s" };
}

/**
 * (h) `vibe run true` from nothing running, over the Mac's driver; beside the same over QEMU's. In the
 * difference is what the double does: another Deno, which starts QEMU.
 */
export async function coldRunVz(): Promise<Measure> {
  const value = await coldVibe(await onTheDouble());
  return { value, floor: await coldVibe(), unit: "s" };
}
