/** The driver for Linux: one QEMU process per VM, controlled over QMP. */

import { printable, printableLines, reason, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { dieWithParent, which } from "../process.ts";
import { type ShareServer, startShares } from "../share/virtiofsd.ts";
import type { KeeperReport } from "../share/keeper.ts";
import { whoHasOpen } from "../host/open_files.ts";
import { hostAccelerator } from "./accel.ts";
import {
  type Boot,
  type ByteStream,
  type Driver,
  HOST_DISK_FULL,
  noShareDevice,
  type Share,
  type Vm,
  type VmConfig,
  type VmExit,
  type VmUsage,
} from "./driver.ts";
import { Qmp, type QmpEvent } from "./qmp.ts";
import { isSuspended, processUsage } from "./usage.ts";
import { qemuArgs, qemuProgram, type QemuSockets } from "./qemu_args.ts";

/** The driver for Linux hosts. */
export const qemuDriver: Driver = { name: "qemu", start };

async function start(config: VmConfig, notice: (text: string) => void): Promise<Vm> {
  const program = qemuProgram(Deno.build.arch);
  const path = await which(program);
  if (!path) {
    throw new VibeError("DRIVER_MISSING", `Cannot start the VM: "${program}" is not installed`, {
      hint: "Run `vibe` on a terminal, or `vibe --yes`, to have it installed.",
    });
  }
  await makeVariables(config.boot);
  await using scope = new AsyncDisposableStack();
  // The accelerator and the file server do not depend on each other.
  const [accelerator, shares] = await Promise.all([
    hostAccelerator(),
    config.shares.length > 0 ? startShares(config, { report: guardReport(notice) }) : null,
  ]);
  if (shares) scope.use(shares);
  const sockets: QemuSockets = {
    agent: `${config.runtimeDir}/agent.sock`,
    console: `${config.runtimeDir}/console.sock`,
    qmp: `${config.runtimeDir}/qmp.sock`,
    shares: shares?.socket ?? null,
  };
  const listeners = [sockets.qmp, sockets.console, sockets.agent].map(listenOnce);
  scope.defer(() => listeners.forEach((listener) => listener.close()));

  const process = new QemuProcess(
    [path, ...qemuArgs(config, { arch: Deno.build.arch, accelerator }, sockets)],
  );
  scope.defer(() => process.kill());
  const diedEarly = process.ended.then(async (detail) => {
    if (LOCKED.test(detail.text)) throw await diskBusy(config);
    throw new VibeError(
      "DRIVER_FAILED",
      `Cannot start the VM: ${program} ended at once${
        detail.text ? ":\n" + detail.text : how(detail)
      }`,
      { hint: "`vibe --verbose` shows how it was called." },
    );
  });
  diedEarly.catch(() => {});
  const connected = Promise.all(listeners.map((listener) => listener.accepted));
  const [control, console, agent] = await Promise.race([connected, diedEarly]);
  const vm = new QemuVm(process, console, agent, shares, notice);
  scope.defer(() => vm.kill());
  // Its control channel only ends with QEMU itself, which then has said why.
  vm.description = await vm.handshake(control, accelerator).catch(() => diedEarly);
  // From here on the VM owns the process and the file server; the listeners are done with.
  scope.move();
  listeners.forEach((listener) => listener.close());
  return vm;
}

/** What QEMU says when somebody else uses an image that it is given. */
const LOCKED = /Failed to get (shared )?"\w+" lock/;

async function diskBusy({ disks }: VmConfig): Promise<VibeError> {
  const { path } = disks[0];
  const holders = (await whoHasOpen(path)).map(({ pid, program }) =>
    `${printable(program)} (process ${pid})`
  );
  const who = holders.join(", ") || "another program, perhaps another user's";
  return new VibeError(
    "DISK_BUSY",
    `Cannot use the disk "${printable(path)}": it is open in ${who}`,
    {
      hint: "Two at once would destroy what is on it. End the other one, or use a copy.",
    },
  );
}

/** A machine's own EFI variables: made once, then the guest's to change. */
async function makeVariables(boot: Boot): Promise<void> {
  if (boot.kind !== "efi" || await Deno.stat(boot.variables).then(() => true, () => false)) return;
  await writeFileWhole(boot.variables, await Deno.readFile(boot.firmware!.variables), 0o600);
}

function guardReport(notice: (text: string) => void): KeeperReport {
  return {
    // Git on the host does that with every change of its settings; nothing for the user to do.
    restored() {},
    lost: (error) => notice(`${error.message}. ${error.hint ?? ""}`.trim()),
  };
}

/** A Unix socket that takes one connection. Its file is gone once it is closed. */
function listenOnce(path: string): { accepted: Promise<Deno.UnixConn>; close(): void } {
  const listener = Deno.listen({ transport: "unix", path });
  const accepted = listener.accept();
  accepted.catch(() => {});
  let open = true;
  return {
    accepted,
    close() {
      if (!open) return;
      open = false;
      listener.close();
      // Deno does not unlink it; a runtime directory that was wiped meanwhile is no error.
      Deno.remove(path).catch(() => {});
    },
  };
}

/** How QEMU's process ended: its status and the last of what it wrote on stderr. */
interface ProcessEnd {
  code: number;
  signal: Deno.Signal | null;
  text: string;
}

function how({ code, signal }: ProcessEnd): string {
  return signal ? ` by ${signal}` : ` with exit code ${code}`;
}

/** The bytes of stderr that are kept for an error message. */
const STDERR_TAIL = 4096;

class QemuProcess {
  readonly ended: Promise<ProcessEnd>;
  readonly #child: Deno.ChildProcess;

  get pid(): number {
    return this.#child.pid;
  }

  constructor(argv: string[]) {
    const words = dieWithParent(argv);
    this.#child = new Deno.Command(words[0], {
      args: words.slice(1),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.ended = this.#wait();
  }

  /** Kills it if it still runs; resolves when it is gone. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended;
  }

  async #wait(): Promise<ProcessEnd> {
    let text = "";
    for await (const chunk of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      text = (text + chunk).slice(-STDERR_TAIL);
    }
    const { code, signal } = await this.#child.status;
    return { code, signal, text: printableLines(text) };
  }
}

/** How long to wait before a guest whose disk could not grow may try again. */
const RETRY_MS = 5000;

class QemuVm implements Vm {
  readonly agent: ByteStream;
  readonly console: ByteStream;
  readonly exited: Promise<VmExit>;
  description = "qemu";
  onResume = () => {};

  readonly #process: QemuProcess;
  readonly #shares: ShareServer | null;
  readonly #notice: (text: string) => void;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #qmp: Qmp | null = null;
  #shutdownReason: string | null = null;
  #sharesFailure: string | null = null;

  constructor(
    process: QemuProcess,
    console: ByteStream,
    agent: ByteStream,
    shares: ShareServer | null,
    notice: (text: string) => void,
  ) {
    this.#notice = notice;
    this.#process = process;
    this.console = console;
    this.agent = agent;
    this.#shares = shares;
    this.exited = this.#watch();
    shares?.exited.then((detail) => this.#onSharesGone(detail));
  }

  async handshake(control: Deno.Conn, accelerator: string): Promise<string> {
    const { qmp, version } = await Qmp.handshake(control, (event) => this.#onEvent(event));
    this.#qmp = qmp;
    return `qemu ${version}, ${accelerator}`;
  }

  async requestStop(): Promise<void> {
    await this.#execute("system_powerdown");
  }

  async pause(): Promise<void> {
    await this.#execute("stop");
  }

  async resume(): Promise<void> {
    await this.#execute("cont");
  }

  async addShare(share: Share): Promise<void> {
    await this.#server().add(share);
  }

  async removeShare(name: string): Promise<void> {
    await this.#server().remove(name);
  }

  #server(): ShareServer {
    if (this.#shares) return this.#shares;
    throw noShareDevice();
  }

  async paused(): Promise<boolean> {
    // By a SIGSTOP, QEMU itself cannot tell.
    if (await isSuspended(this.#process.pid)) return true;
    const state = await this.#qmp!.execute("query-status").catch(() => null);
    return (state as { running?: boolean } | null)?.running === false;
  }

  usage(): Promise<VmUsage> {
    return processUsage([this.#process.pid, ...this.#shares ? [this.#shares.pid] : []]);
  }

  async kill(): Promise<void> {
    await this.#process.kill();
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #execute(command: string): Promise<void> {
    try {
      await this.#qmp!.execute(command);
    } catch (error) {
      throw new VibeError("DRIVER_CONTROL", `Cannot ${command} the VM: ${reason(error)}`, {
        cause: error,
      });
    }
  }

  #onEvent(event: QmpEvent): void {
    if (event.event === "SHUTDOWN") this.#shutdownReason = String(event.data?.reason);
    if (event.event === "RESUME") this.onResume();
    if (event.event === "BLOCK_IO_ERROR" && event.data?.nospace) this.#onDiskFull();
  }

  /** QEMU has stopped the guest, which so loses nothing. Nobody tells when there is room again. */
  #onDiskFull(): void {
    if (this.#retry === null) this.#notice(HOST_DISK_FULL);
    clearTimeout(this.#retry ?? undefined);
    this.#retry = setTimeout(() => this.resume().catch(() => {}), RETRY_MS);
    Deno.unrefTimer(Number(this.#retry));
  }

  /** Without its file server the guest would hang at the next access: better a clear end. */
  #onSharesGone(detail: string): void {
    this.#sharesFailure = `virtiofsd ended${detail ? ": " + printable(detail) : ""}`;
    this.#process.kill();
  }

  async #watch(): Promise<VmExit> {
    const end = await this.#process.ended;
    const sharesFailure = this.#sharesFailure;
    await this.#shares?.[Symbol.asyncDispose]();
    clearTimeout(this.#retry ?? undefined);
    this.#qmp?.[Symbol.dispose]();
    switch (this.#shutdownReason) {
      case "guest-shutdown":
        return { reason: "poweroff", detail: "" };
      case "guest-reset":
      case "guest-panic":
        return { reason: "panic", detail: "" };
    }
    // virtiofsd ends with QEMU, too: it is the reason only if the guest has given none.
    if (sharesFailure) return { reason: "failed", detail: sharesFailure };
    if (end.signal) return { reason: "killed", detail: "" };
    return { reason: end.code === 0 ? "killed" : "failed", detail: end.text };
  }
}
