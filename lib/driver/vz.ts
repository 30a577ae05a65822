/** The driver for macOS: Virtualization.framework, in this very process, through the bridge. */

import { VzLibrary, type VzMachine } from "../../ffi/machine.ts";
import { type VzConfig, VzError, type VzHost, type VzIdentity } from "../../ffi/types.ts";
import { printable, reason, VibeError } from "../errors.ts";
import {
  type ByteStream,
  type Driver,
  noShareDevice,
  type Share,
  type Vm,
  type VmConfig,
  type VmExit,
} from "./driver.ts";
import { ownDirectories } from "../share/guard_set.ts";
import { isWithin } from "../share/mountinfo.ts";
import {
  requireMacos13,
  startError,
  unguardedNotice,
  vzConfig,
  vzDirectories,
  type VzSockets,
  vzSockets,
} from "./vz_config.ts";

/** The driver for macOS hosts. Its process needs the entitlement; see lib/macos/signed_copy.ts. */
export const vzDriver: Driver = { name: "vz", start };

async function start(config: VmConfig, notice: (text: string) => void): Promise<Vm> {
  if (Deno.build.os === "darwin") requireMacos13(Deno.osRelease());
  const library = await VzLibrary.open();
  const host = library.host();
  if (!host.supported) {
    throw new VibeError("DRIVER_UNSUPPORTED", "Cannot start the VM: this Mac cannot run any", {
      hint: "In a VM of another product, nested virtualisation may have to be switched on.",
    });
  }
  await checkFiles(config, host);
  tellUnguarded(config.shares, notice);

  const sockets = vzSockets(config.runtimeDir);
  const identity = new IdentityFile(config);
  const { boot } = config;
  const newVariables = boot.kind === "efi" && !await exists(boot.variables);
  const settings = vzConfig(config, sockets, await identity.read(), newVariables);
  await using scope = new AsyncDisposableStack();
  const { machine, console, agent } = await connect(library, settings, sockets);
  scope.defer(() => machine[Symbol.dispose]());
  scope.defer(() => {
    console.close();
    agent.close();
  });
  await identity.write(machine.identity);
  machine.onNetworkLost = (error) => notice(`The VM's network is gone: ${error.message}`);
  await machine.start().catch((error) => {
    throw error instanceof VzError ? startError(error, settings) : error;
  });
  scope.move();
  return new VzVm(machine, { console, agent }, config.shares, describe(host), notice);
}

/** Says what the host cannot enforce. */
function tellUnguarded(shares: Share[], notice: (text: string) => void): void {
  const text = unguardedNotice(shares);
  if (text) notice(text);
}

/** Makes the machine while its ports are listened for; the bridge connects to them in order. */
async function connect(
  library: VzLibrary,
  settings: VzConfig,
  sockets: VzSockets,
): Promise<{ machine: VzMachine; console: Deno.UnixConn; agent: Deno.UnixConn }> {
  await using listening = new AsyncDisposableStack();
  const listeners = [sockets.console, sockets.agent].map((path) => {
    const listener = Deno.listen({ transport: "unix", path });
    // Deno does not unlink it; a runtime directory that was wiped meanwhile is no error.
    listening.defer(() => Deno.remove(path).catch(() => {}));
    return listening.use(listener);
  });
  using scope = new DisposableStack();
  try {
    const machine = scope.use(library.create(settings));
    const [console, agent] = await Promise.all(listeners.map((listener) => listener.accept()));
    scope.move();
    return { machine, console, agent };
  } catch (error) {
    throw error instanceof VzError ? startError(error, settings) : error;
  }
}

function describe(host: VzHost): string {
  return `vz, ${Deno.build.os} ${Deno.osRelease()}, ${host.architecture}`;
}

/** Bytes 56 to 59 of an arm64 kernel that is not compressed. */
const ARM64_MAGIC = "ARM\x64";

/** Finds what the framework would refuse without a word that helps. */
async function checkFiles(config: VmConfig, host: VzHost): Promise<void> {
  const { boot } = config;
  if (boot.kind === "kernel") {
    for (const [what, path] of [["kernel", boot.kernel], ["initrd", boot.initrd]]) {
      await Deno.stat(path).catch((error) => {
        throw new VibeError(
          "DRIVER_BOOT_FILE",
          `Cannot use the ${what} "${path}": ${reason(error)}`,
          {
            cause: error,
          },
        );
      });
    }
    if (host.architecture === "arm64") await checkArm64Kernel(boot.kernel);
  }
  for (const share of config.shares) await checkShare(share);
  for (const { path } of config.disks) {
    const { size } = await Deno.stat(path).catch((error) => {
      throw new VibeError("DRIVER_DISK", `Cannot use the disk "${path}": ${reason(error)}`, {
        cause: error,
      });
    });
    if (size > 0 && size % 512 === 0) continue;
    throw new VibeError(
      "DRIVER_DISK",
      `Cannot use the disk "${path}": its size, ${size}, is not a multiple of 512 bytes`,
      { hint: "It is damaged, or no raw disk. Delete .vibe/ to make the VM anew." },
    );
  }
}

function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

async function checkShare({ source, readOnly }: Share): Promise<void> {
  if (!await Deno.stat(source).then((info) => info.isDirectory, () => false)) {
    throw new VibeError("DRIVER_SHARE", `Cannot share "${source}": it is not a directory`, {
      hint: "On macOS directories are shared, not single files: share the one it is in.",
    });
  }
  if (readOnly) return;
  for (const own of ownDirectories()) {
    const real = await Deno.realPath(own).catch(() => own);
    if (!isWithin(real, source)) continue;
    throw new VibeError("DRIVER_SHARE", `Cannot share "${source}": "${real}" is in it`, {
      hint: "There vibe keeps disks and programs, and macOS cannot hide them from the guest. " +
        "Share it read-only, or share what is in it one by one.",
    });
  }
}

async function checkArm64Kernel(path: string): Promise<void> {
  using file = await Deno.open(path);
  const head = new Uint8Array(64);
  await file.read(head);
  if (new TextDecoder().decode(head.subarray(56, 60)) === ARM64_MAGIC) return;
  throw new VibeError(
    "DRIVER_BOOT_FILE",
    `Cannot boot the kernel "${path}": it is compressed, or not for arm64`,
    { hint: "Macs with Apple silicon boot the file that is called Image in a kernel's build." },
  );
}

/**
 * What makes the VM the same machine at its next start (a saved one could not be restored
 * otherwise, and DHCP gives it its address again). It lies beside the first disk, whose life it
 * shares; a copy of the disk elsewhere is another machine.
 */
class IdentityFile {
  readonly #path: string | null;

  constructor(config: VmConfig) {
    const disk = config.disks.find((disk) => !disk.readOnly);
    this.#path = disk ? `${disk.path}.machine.json` : null;
  }

  /** Empty if there is none yet. A damaged one counts as none: it holds nothing but numbers. */
  async read(): Promise<Partial<VzIdentity>> {
    if (this.#path === null) return {};
    try {
      const { machineIdentifier, mac } = JSON.parse(await Deno.readTextFile(this.#path));
      if (typeof machineIdentifier !== "string" || !/^(string|undefined)$/.test(typeof mac)) {
        return {};
      }
      return { machineIdentifier, mac };
    } catch {
      return {};
    }
  }

  async write(identity: VzIdentity): Promise<void> {
    if (this.#path === null) return;
    const known = await this.read();
    const kept = { ...known, ...identity };
    if (known.machineIdentifier === kept.machineIdentifier && known.mac === kept.mac) return;
    const aside = `${this.#path}.partial`;
    await Deno.writeTextFile(aside, JSON.stringify(kept) + "\n", { mode: 0o600 });
    await Deno.rename(aside, this.#path);
  }
}

class VzVm implements Vm {
  readonly console: ByteStream;
  readonly agent: ByteStream;
  readonly exited: Promise<VmExit>;
  onResume = () => {};
  readonly #machine: VzMachine;
  readonly #notice: (text: string) => void;
  readonly #killed = Promise.withResolvers<VmExit>();
  readonly #hasDevice: boolean;
  #shares: Share[];
  #paused = false;

  constructor(
    machine: VzMachine,
    streams: { console: ByteStream; agent: ByteStream },
    shares: Share[],
    readonly description: string,
    notice: (text: string) => void,
  ) {
    this.#machine = machine;
    this.console = streams.console;
    this.agent = streams.agent;
    this.#shares = shares;
    this.#hasDevice = shares.length > 0;
    this.#notice = notice;
    this.exited = this.#watch();
  }

  async requestStop(): Promise<void> {
    await this.#control("stop", () => this.#machine.requestStop());
  }

  async pause(): Promise<void> {
    await this.#control("pause", () => this.#machine.pause());
    this.#paused = true;
  }

  async resume(): Promise<void> {
    await this.#control("resume", () => this.#machine.resume());
    this.#paused = false;
    this.onResume();
  }

  async addShare(share: Share): Promise<void> {
    await checkShare(share);
    await this.#share([...this.#shares, share], `share "${share.source}"`);
    tellUnguarded([share], this.#notice);
  }

  async removeShare(name: string): Promise<void> {
    await this.#share(this.#shares.filter((share) => share.name !== name), `end share "${name}"`);
  }

  /** All at once: the framework takes whole sets. */
  async #share(shares: Share[], what: string): Promise<void> {
    if (!this.#hasDevice) throw noShareDevice();
    try {
      await this.#machine.share(vzDirectories(shares));
    } catch (error) {
      throw new VibeError("SHARE_FAILED", `Cannot ${what}: ${printable(reason(error))}`, {
        cause: error,
      });
    }
    this.#shares = shares;
  }

  /** Nothing but {@link pause} stops its CPUs. */
  paused(): Promise<boolean> {
    return Promise.resolve(this.#paused);
  }

  /** The framework runs the guest in a process of its own, and does not say which. */
  usage(): Promise<null> {
    return Promise.resolve(null);
  }

  async kill(): Promise<void> {
    // Refused if it has stopped by itself meanwhile, which is as good.
    await this.#machine.stop().catch(() => {});
    this.#killed.resolve({ reason: "killed", detail: "" });
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #control(verb: string, operation: () => Promise<void>): Promise<void> {
    try {
      await operation();
    } catch (error) {
      throw new VibeError("DRIVER_CONTROL", `Cannot ${verb} the VM: ${reason(error)}`, {
        cause: error,
      });
    }
  }

  async #watch(): Promise<VmExit> {
    const stopped = this.#machine.stopped.then(({ error }): VmExit =>
      error ? { reason: "failed", detail: error.message } : { reason: "poweroff", detail: "" }
    );
    const exit = await Promise.race([stopped, this.#killed.promise]);
    // Lets go of the ports, too: their other ends see the end.
    this.#machine[Symbol.dispose]();
    return exit;
  }
}
