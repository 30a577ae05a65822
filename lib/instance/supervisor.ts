/**
 * The supervisor: one process per VM, from before its start until after its end. Commands attach
 * over a Unix socket; when the last one leaves, the VM is stopped.
 */

import { FrameConnection } from "../agent/connection.ts";
import { FrameType, PROTOCOL_VERSION, ProtocolError } from "../agent/frame.ts";
import {
  encodeClock,
  encodeHello,
  encodeMount,
  encodePoweroff,
  FROM_CLIENT,
  FROM_GUEST,
} from "../agent/messages.ts";
import type { Disk, Driver, Vm, VmExit } from "../driver/driver.ts";
import { printable, reason, VibeError } from "../errors.ts";
import { instancePaths } from "../paths.ts";
import { planInfo, type VmPlan } from "../plan/plan.ts";
import { watchGit } from "../share/git_watch.ts";
import { ConsoleLog } from "./console_log.ts";
import { encodeEvent, type SupervisorEvent, type VmState } from "./control.ts";
import { checkHello, type Client, Hub } from "./hub.ts";
import type { VmRuntime } from "./runtime.ts";

/** How long a guest may take to its agent's HELLO; 6 s without hardware virtualisation here. */
const BOOT_TIMEOUT_MS = 120_000;
/** How long a clean poweroff may take; systemd needs 3 s, a service may want more. */
const STOP_TIMEOUT_MS = 30_000;

/** Events that end the supervisor. */
type End = { why: "idle" } | { why: "exited"; exit: VmExit } | { why: "failed"; error: VibeError };

/** Runs one VM for as long as anyone uses it. */
export class Supervisor {
  readonly #plan: VmPlan;
  readonly #disk: Disk;
  readonly #runtime: VmRuntime;
  readonly #driver: Driver;
  readonly #log: (line: string) => void;
  readonly #hub = new Hub();
  readonly #console = new ConsoleLog();
  readonly #clients = new Set<Client>();
  readonly #end = Promise.withResolvers<End>();
  /** Notes that nobody was there for. */
  readonly #unsaid: string[] = [];
  #state: VmState = "booting";
  #vm: Vm | null = null;

  constructor(
    plan: VmPlan,
    disk: Disk,
    runtime: VmRuntime,
    driver: Driver,
    log: (line: string) => void,
  ) {
    this.#plan = plan;
    this.#disk = disk;
    this.#runtime = runtime;
    this.#driver = driver;
    this.#log = log;
  }

  /** Serves `listener` and runs the VM until its end. Closes the listener. */
  async run(listener: Deno.UnixListener): Promise<void> {
    this.#accept(listener);
    const git = this.#watchGit();
    this.#boot().catch((error) => this.#fail(error));
    const end = await this.#end.promise;
    this.#setState("stopping");
    // From here on a new command does not find a socket, and waits for the lock instead.
    listener.close();
    await Deno.remove(this.#runtime.socket).catch(() => {});
    this.#log(`ending: ${JSON.stringify(end, (_, v) => v instanceof Error ? v.message : v)}`);
    if (end.why === "idle") await this.#stop();
    await this.#vm?.kill();
    // It looks once more, now that the guest is gone.
    await git?.[Symbol.asyncDispose]();
    await this.#keepUnsaid();
    await this.#tellEnd(end);
  }

  /** Ends the VM as if the last command had left. */
  stop(): void {
    this.#end.resolve({ why: "idle" });
  }

  /** The command that started us is attached by now, or it has died. */
  starterLeft(): void {
    if (this.#clients.size === 0) this.stop();
  }

  async #accept(listener: Deno.UnixListener): Promise<void> {
    try {
      for await (const conn of listener) this.#serve(conn);
    } catch {
      // The listener was closed.
    }
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    const connection = new FrameConnection(conn, FROM_CLIENT);
    const client = this.#hub.addClient(connection);
    this.#clients.add(client);
    connection.send(0, FrameType.hello, encodeHello("vibe"));
    this.#tell(client, { event: "vm", vm: planInfo(this.#plan) });
    this.#tell(client, { event: "state", state: this.#state });
    for (const text of this.#unsaid.splice(0)) this.#tell(client, { event: "note", text });
    try {
      await connection.receive((frame) => {
        if (frame.type === FrameType.hello) checkHello(frame, PROTOCOL_VERSION);
        else this.#hub.onClientFrame(client, frame);
      });
    } catch (error) {
      this.#log(`a command broke off: ${reason(error)}`);
    }
    connection.close();
    this.#hub.removeClient(client);
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#end.resolve({ why: "idle" });
  }

  /** What was noticed when the last command had left, for the next one. */
  async #keepUnsaid(): Promise<void> {
    if (this.#unsaid.length === 0) return;
    const { notices } = instancePaths(this.#plan.instance);
    const text = this.#unsaid.map((line) => `${line}\n`).join("");
    await Deno.writeTextFile(notices, text, { append: true }).catch(() => {});
  }

  /** What mounts cannot guard in the project's Git directories. */
  #watchGit(): AsyncDisposable | null {
    const { gitWatch, instance } = this.#plan;
    const { quarantine } = instancePaths(instance);
    return gitWatch && watchGit(gitWatch, quarantine, ({ message }) => this.#note(message));
  }

  /** Boots the guest up to its agent; once more if emulation made its kernel panic. */
  async #boot(): Promise<void> {
    for (let attempt = 1;; attempt++) {
      const exit = await this.#bootOnce();
      if (exit === null) return;
      const retry = exit.reason === "panic" && attempt === 1 && this.#state === "booting";
      if (!retry) throw this.#exitBeforeHello(exit);
      this.#note("The guest's kernel panicked while booting; starting it again.");
    }
  }

  /** Resolves to null once the VM is ready, or to its exit if that came first. */
  async #bootOnce(): Promise<VmExit | null> {
    const plan = this.#plan;
    const vm = await this.#driver.start({
      name: this.#runtime.id,
      runtimeDir: this.#runtime.dir,
      cpus: plan.cpus,
      memoryMiB: plan.memoryMiB,
      kernel: plan.kernel,
      initrd: plan.initrd,
      kernelArgs: [],
      disks: [this.#disk],
      shares: plan.mounts.map(({ guestPath: _, ...share }) => share),
      network: plan.network,
    }, (text) => this.#note(text));
    this.#vm = vm;
    this.#log(`started: ${vm.description}`);
    this.#console.record(vm.console, instancePaths(plan.instance).consoleLog);
    const ready = Promise.withResolvers<null>();
    this.#serveAgent(vm, () => this.#onAgent().then(() => ready.resolve(null), ready.reject));
    const timeout = setTimeout(() => ready.reject(this.#noSignOfLife()), BOOT_TIMEOUT_MS);
    vm.exited.then((exit) => {
      if (this.#state !== "booting") this.#end.resolve({ why: "exited", exit });
    });
    try {
      return await Promise.race([ready.promise, vm.exited]);
    } finally {
      clearTimeout(timeout);
    }
  }

  async #serveAgent(vm: Vm, onHello: () => void): Promise<void> {
    const agent = new FrameConnection(vm.agent, FROM_GUEST);
    try {
      await agent.receive((frame) => {
        if (frame.type !== FrameType.hello) {
          this.#hub.onAgentFrame(frame);
          return;
        }
        this.#log(`agent: ${printable(checkHello(frame, PROTOCOL_VERSION))}`);
        this.#hub.attachAgent(agent);
        agent.send(0, FrameType.hello, encodeHello("vibe"));
        onHello();
      });
    } catch (error) {
      this.#fail(error instanceof ProtocolError ? agentError(error) : error);
    }
    this.#hub.loseAgent();
    agent.close();
  }

  /** The agent is there (or there again): clock and shares, then commands may come. */
  async #onAgent(): Promise<void> {
    this.#hub.request(FrameType.clock, encodeClock(Date.now()));
    await Promise.all(this.#plan.mounts.map(async (mount) => {
      const payload = encodeMount(mount.name, mount.guestPath, mount.readOnly);
      const status = await this.#hub.request(FrameType.mount, payload);
      if (status.kind !== "exited" || status.code !== 0) {
        const why = status.kind === "failed" ? printable(status.message) : status.kind;
        throw new VibeError(
          "MOUNT_FAILED",
          `Cannot mount "${mount.source}" at "${mount.guestPath}" in the guest: ${why}`,
        );
      }
    }));
    this.#hub.accepting = true;
    this.#setState("ready");
  }

  async #stop(): Promise<void> {
    const vm = this.#vm;
    if (!vm) return;
    const accepted = this.#hub.accepting;
    this.#hub.accepting = false;
    // A guest that is still booting has nothing to lose but a clean journal.
    if (!accepted) return;
    try {
      this.#hub.request(FrameType.poweroff, encodePoweroff(false));
    } catch {
      return;
    }
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, STOP_TIMEOUT_MS);
    await Promise.race([vm.exited, timeout.promise]);
    clearTimeout(timer);
  }

  #setState(state: VmState): void {
    // Nothing comes back from stopping.
    if (this.#state === "stopping") return;
    this.#state = state;
    this.#log(`state: ${state}`);
    this.#broadcast({ event: "state", state });
  }

  #note(text: string): void {
    this.#log(text);
    if (this.#clients.size === 0) this.#unsaid.push(text);
    this.#broadcast({ event: "note", text });
  }

  #broadcast(event: SupervisorEvent): void {
    for (const client of this.#clients) this.#tell(client, event);
  }

  #tell(client: Client, event: SupervisorEvent): void {
    client.connection.send(0, FrameType.control, encodeEvent(event));
  }

  async #tellEnd(end: End): Promise<void> {
    if (end.why === "failed") {
      const { code, message, hint } = end.error;
      this.#broadcast({ event: "failed", failure: { code, message, hint } });
    } else if (end.why === "exited") {
      this.#broadcast({ event: "ended", exit: end.exit });
    }
    await Promise.all([...this.#clients].map((client) => client.connection.flushed()));
    for (const client of this.#clients) client.connection.close();
  }

  #fail(error: unknown): void {
    const known = error instanceof VibeError ? error : new VibeError(
      "SUPERVISOR_FAILED",
      `The VM's supervisor failed: ${reason(error)}`,
      { cause: error },
    );
    if (!(error instanceof VibeError) && error instanceof Error) this.#log(`${error.stack}`);
    this.#end.resolve({ why: "failed", error: known });
  }

  #exitBeforeHello(exit: VmExit): VibeError {
    const what = exit.reason === "failed" ? `: ${exit.detail}` : ` (${exit.reason})`;
    return new VibeError("BOOT_FAILED", `The VM ended while it was booting${what}`, {
      hint: this.#consoleHint(),
    });
  }

  #noSignOfLife(): VibeError {
    const kvm = this.#vm?.description.includes("kvm") && this.#console.silent;
    return new VibeError(
      "BOOT_TIMEOUT",
      `The guest did not answer within ${BOOT_TIMEOUT_MS / 1000} seconds`,
      {
        hint: kvm
          ? "It gave no sign of life: KVM may not work here. VIBE_ACCEL=tcg does without it."
          : this.#consoleHint(),
      },
    );
  }

  #consoleHint(): string {
    const { consoleLog } = instancePaths(this.#plan.instance);
    return `Last lines of its console ("${consoleLog}"):\n${this.#console.tail()}`;
  }
}

function agentError(error: ProtocolError): VibeError {
  return new VibeError(
    "AGENT_PROTOCOL",
    `Stopped the VM: its agent broke the protocol (${printable(error.message)})`,
    { hint: "Something in the guest tampered with the agent, or it is of another version." },
  );
}
