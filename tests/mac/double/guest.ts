/**
 * A guest for the double (VIBE_DOUBLE_GUEST) that is a real one: the machine that was configured,
 * run by QEMU. Kernel, initrd, command line, disks and shares are taken from VIBE_DOUBLE_CONFIG; the
 * console ports are the sockets that the bridge connected.
 *
 * SIGTERM presses the power button. Ends with status 0 when the guest turns itself off.
 */

import { dirname } from "node:path";
import { hostAccelerator } from "../../../lib/driver/accel.ts";
import { AGENT_PORT, type Share, SHARED_TAG, type VmConfig } from "../../../lib/driver/driver.ts";
import { qemuArgs, qemuProgram } from "../../../lib/driver/qemu_args.ts";
import { Qmp } from "../../../lib/driver/qmp.ts";
import { dieWithParent } from "../../../lib/process.ts";
import { type ShareServer, startShares } from "../../../lib/share/virtiofsd.ts";

/** What the double says of a machine; the parts that a guest with a kernel has. */
interface DoubleConfig {
  cpus: number;
  memory: number;
  boot: { kernel: string; initrd: string; commandLine: string };
  disks: { path: string; readOnly: boolean }[];
  shares: { tag: string; directories: Record<string, { path: string; readOnly: boolean }> }[];
  networks: { mode: string; mac: string }[];
  consoles: { ports: { fd: number; name?: string; console: boolean }[] }[];
}

type DoubleShare = DoubleConfig["shares"][number];

function toShares({ directories }: DoubleShare): Share[] {
  return Object.entries(directories).map(([name, { path, readOnly }]) => ({
    name,
    source: path,
    readOnly,
    guards: [],
  }));
}

/** Has the file server share what the framework is told to while the machine runs. */
async function followShares(server: ShareServer, shares: Share[]): Promise<void> {
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const wanted = toShares(JSON.parse(line));
      const lacks = (list: Share[]) => (share: Share) => !list.some((s) => s.name === share.name);
      for (const { name } of shares.filter(lacks(wanted))) await server.remove(name);
      for (const share of wanted.filter(lacks(shares))) await server.add(share);
      shares = wanted;
      await Deno.stdout.write(new TextEncoder().encode("\n"));
    }
  }
}

/** The words after the one that `test` accepts are changed by `change`. */
function replaceAfter(words: string[], option: string, change: (value: string) => string): void {
  const at = words.indexOf(option);
  if (at < 0) throw new Error(`QEMU's arguments have no ${option}`);
  words[at + 1] = change(words[at + 1]);
}

const double: DoubleConfig = JSON.parse(Deno.env.get("VIBE_DOUBLE_CONFIG")!);
// Beside the disk, so that it goes with it when the double kills this process.
const runtimeDir = await Deno.makeTempDir({ dir: dirname(double.disks[0].path), prefix: "vd-" });

// The same values that the driver for Linux takes, so that its argument builder can be used.
const config: VmConfig = {
  name: "double",
  runtimeDir,
  cpus: double.cpus,
  memoryMiB: double.memory / 2 ** 20,
  boot: { kind: "kernel", kernel: double.boot.kernel, initrd: double.boot.initrd, args: [] },
  disks: double.disks.map(({ path, readOnly }) => ({ path, readOnly, format: "raw" })),
  shares: double.shares.flatMap(toShares),
  network: double.networks.length > 0 ? "nat" : "none",
};
const ports = double.consoles[0].ports;
const consolePort = ports.find((port) => port.console)!;
const agentPort = ports.find((port) => port.name === AGENT_PORT)!;
if (ports.indexOf(consolePort) !== 0) throw new Error("the first port is not the console");
if (double.shares.some(({ tag }) => tag !== SHARED_TAG)) throw new Error("a tag of another name");

await using shares = config.shares.length > 0 ? await startShares(config) : null;
if (shares) followShares(shares, config.shares);
const qmp = `${runtimeDir}/qmp.sock`;
const words = qemuArgs(config, { arch: Deno.build.arch, accelerator: await hostAccelerator() }, {
  agent: "agent",
  console: "console",
  qmp,
  shares: shares?.socket ?? null,
}).map((word) =>
  word === "socket,id=console,path=console"
    ? `socket,id=console,fd=${consolePort.fd}`
    : word === "socket,id=agent,path=agent"
    ? `socket,id=agent,fd=${agentPort.fd}`
    : word.startsWith("virtio-net-pci,")
    ? `${word},mac=${double.networks[0].mac}`
    : word
);
replaceAfter(words, "-append", () => double.boot.commandLine);
// A guest that resets itself goes on in the same machine.
words.splice(words.indexOf("-no-reboot"), 1);

const listener = Deno.listen({ transport: "unix", path: qmp });
const [program, ...args] = dieWithParent([qemuProgram(Deno.build.arch), ...words]);
const child = new Deno.Command(program, { args, stdin: "null", stdout: "null" }).spawn();
const failed = child.status.then(() => {
  throw new Error("QEMU ended at once");
});
failed.catch(() => {});
// The framework's file server is a part of the machine: they end together.
shares?.exited.then(() => child.kill("SIGKILL")).catch(() => {});
let poweroff = false;
const { qmp: control } = await Qmp.handshake(
  await Promise.race([listener.accept(), failed]),
  (event) => poweroff ||= event.event === "SHUTDOWN" && event.data?.reason === "guest-shutdown",
);
listener.close();
Deno.addSignalListener("SIGTERM", () => control.execute("system_powerdown").catch(() => {}));
await child.status;
await shares?.[Symbol.asyncDispose]();
await Deno.remove(runtimeDir, { recursive: true });
Deno.exit(poweroff ? 0 : 1);
