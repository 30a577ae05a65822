/**
 * The supervisor: one process per VM, from before its start until after its end. Commands attach
 * over a Unix socket; when the last one leaves, the VM is stopped.
 */

import { FrameConnection } from "../agent/connection.ts";
import { type Frame, FrameType, PROTOCOL_VERSION } from "../agent/frame.ts";
import type { AgentClient } from "../agent/client.ts";
import { encodeHello, FROM_CLIENT } from "../agent/messages.ts";
import type { Disk, Driver, Vm, VmExit } from "../driver/driver.ts";
import { reason, VibeError } from "../errors.ts";
import { instancePaths } from "../paths.ts";
import { planInfo, type PlannedMount, type VmPlan } from "../plan/plan.ts";
import { vmConfig } from "../plan/vm_config.ts";
import { watchGit } from "../share/git_watch.ts";
import { VERSION } from "../version.ts";
import { consoleHint, exitBeforeHello, noSignOfLife } from "./boot_failure.ts";
import { AgentGuest } from "./agent_guest.ts";
import { ConsoleGuest } from "./console_guest.ts";
import { ConsoleLog } from "./console_log.ts";
import {
  CONTROL_VERSION,
  type ControlRequest,
  decodeControl,
  encodeControl,
  helloText,
  parseHello,
  type RequestArgs,
  type SupervisorEvent,
  type VmState,
  type VmStatus,
} from "./control.ts";
import type { Guest } from "./guest.ts";
import { runHooks } from "./hooks.ts";
import { checkHello } from "./hub.ts";
import { Lifetime } from "./lifetime.ts";
import type { KeptListener } from "./kept_listener.ts";
import { LiveMounts } from "./live_mounts.ts";
import { otherVersion } from "./link.ts";
import { answer } from "./requests.ts";
import type { VmRuntime } from "./runtime.ts";

/** How long a clean poweroff may take; systemd needs 3 s, a service may want more. */
const STOP_TIMEOUT_MS = 30_000;
/** How long a command may take to read how the VM ended; one that is suspended never does. */
const FAREWELL_MS = 2000;

/** How long after a part of the runtime directory is gone the end of the VM may be told. */
const RUNTIME_LOST_MS = 1000;

/** Events that end the supervisor. */
type End = { why: "asked" | "unused" | "silent" } | { why: "exited"; exit: VmExit } | {
  why: "failed";
  error: VibeError;
  /** The guest is in order, and can be asked to power off. */
  graceful?: boolean;
};

/** Runs one VM for as long as anyone uses it. */
export class Supervisor {
  readonly #plan: VmPlan;
  readonly #disk: Disk;
  readonly #runtime: VmRuntime;
  readonly #driver: Driver;
  readonly #log: (line: string) => void;
  readonly #guest: Guest;
  readonly #console = new ConsoleLog();
  readonly #clients = new Set<FrameConnection>();
  readonly #lifetime: Lifetime<FrameConnection>;
  readonly #mounts: LiveMounts;
  readonly #since = new Date().toISOString();
  readonly #forced = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<End>();
  /** Resolves when the first command is attached, or none will be. */
  readonly #firstCame = Promise.withResolvers<void>();
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
    this.#guest = openGuest(plan, log, (error) => this.#fail(error));
    this.#mounts = new LiveMounts(plan.mounts);
    this.#lifetime = new Lifetime({
      ...plan,
      guestWork: (held) => this.#guest.waitForWork(held),
      standsStill: async () => await this.#vm?.paused() ?? false,
      stop: (silent) => this.#end.resolve({ why: silent ? "silent" : "unused" }),
    });
  }

  /** Serves `listener` and runs the VM until its end. Closes the listener. */
  async run(listener: KeptListener): Promise<void> {
    listener.serve((conn) => this.#serve(conn));
    const git = this.#watchGit();
    this.#boot().catch((error) => this.#fail(error));
    const end = await this.#end.promise;
    // What fails at once is told to the command that is on its way here.
    if (end.why === "failed") await this.#firstCame.promise;
    this.#lifetime.end();
    this.#setState("stopping");
    // From here on a new command does not find a socket, and waits for the lock instead.
    await listener.close();
    this.#log(`ending: ${JSON.stringify(end, (_, v) => v instanceof Error ? v.message : v)}`);
    const graceful = end.why === "failed" ? end.graceful : end.why !== "exited";
    if (end.why === "failed") this.#tellFailure(end.error);
    if (graceful) await this.#stop();
    await this.#vm?.kill();
    // It looks once more, now that the guest is gone.
    await git?.[Symbol.asyncDispose]();
    await this.#keepUnsaid();
    await this.#tellEnd(end);
  }

  /** Ends the VM: in good order, or at once. The second may be asked for while the first goes on. */
  stop(force = false): void {
    if (force) this.#forced.resolve();
    this.#end.resolve({ why: "asked" });
  }

  /** Someone removed the runtime directory. The mount points of the shares went with it. */
  runtimeLost(): void {
    const { dir } = this.#runtime;
    const error = new VibeError(
      "RUNTIME_LOST",
      `The VM was stopped: its runtime directory "${dir}" was removed, and its shares with it`,
      { hint: "Run `vibe` again to start it. VIBE_RUNTIME names another place for it." },
    );
    // What is removed because the VM ends by itself has a better reason than this.
    setTimeout(() => this.#end.resolve({ why: "failed", error, graceful: true }), RUNTIME_LOST_MS);
  }

  /** The command that started us is attached by now, or it has died. */
  starterLeft(): void {
    this.#firstCame.resolve();
    this.#lifetime.settle();
  }

  /** How the VM is doing. */
  async status(): Promise<VmStatus> {
    const [paused, usage] = await Promise.all([this.#vm?.paused(), this.#vm?.usage()]);
    return {
      vm: planInfo(this.#plan),
      state: paused ? "paused" : this.#state,
      since: this.#since,
      pid: Deno.pid,
      version: VERSION,
      keep: this.#lifetime.keep,
      idleMinutes: this.#lifetime.idleMinutes,
      heldBy: this.#lifetime.heldBy,
      sessions: this.#guest.sessions(),
      usage: usage ?? null,
      driver: this.#vm?.description ?? "",
    };
  }

  /** Whether the VM stays when nobody uses it, and how long. */
  keep({ on = this.#lifetime.keep, idleMinutes }: RequestArgs<"keep">): void {
    this.#log(`keep: ${on}, idle: ${idleMinutes ?? "as before"}`);
    if (idleMinutes !== undefined) this.#lifetime.idleMinutes = idleMinutes || null;
    this.#lifetime.setKeep(on);
  }

  /** Shares one directory or file more. @throws {VibeError} `MOUNT_*`, `SHARE_*`. */
  async addMount(mount: PlannedMount): Promise<void> {
    await this.#mounts.add(this.#readyVm(), this.#guest, mount);
    this.#log(`mounted: ${mount.source} at ${mount.guestPath}`);
  }

  /** Shares it no longer. @throws {VibeError} `MOUNT_*`, `SHARE_*`. */
  async removeMount(guest: string, force: boolean): Promise<void> {
    await this.#mounts.remove(this.#readyVm(), this.#guest, guest, force);
    this.#log(`unmounted: ${guest}`);
  }

  #readyVm(): Vm {
    if (this.#vm && this.#state === "ready") return this.#vm;
    throw new VibeError("VM_NOT_READY", "The VM is starting or stopping: try again");
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    const connection = new FrameConnection(conn, FROM_CLIENT);
    const client = this.#guest.connect(connection);
    this.#clients.add(connection);
    connection.send(0, FrameType.hello, encodeHello(helloText()));
    try {
      await connection.receive((frame) => {
        if (frame.type === FrameType.hello) this.#greeted(connection, frame);
        else if (frame.type === FrameType.control) {
          this.#onRequest(connection, decodeControl(frame.payload));
        } else client.onFrame(frame);
      });
    } catch (error) {
      this.#log(`a command broke off: ${reason(error)}`);
    }
    connection.close();
    client.leave();
    this.#clients.delete(connection);
    this.#lifetime.leave(connection);
  }

  #greeted(client: FrameConnection, frame: Frame): void {
    const { control, version } = parseHello(checkHello(frame, PROTOCOL_VERSION));
    if (control === CONTROL_VERSION) return;
    // A command of before this version waits for an event; it knows this one.
    const { code, message, hint } = otherVersion(this.#plan.instance, version);
    this.#tell(client, { event: "failed", failure: { code, message, hint } });
  }

  #onRequest(client: FrameConnection, request: ControlRequest): void {
    if (request.request !== "attach") {
      answer(this, request, () => this.#lifetime.after(client))
        .then((event) => this.#tell(client, event));
      return;
    }
    this.#lifetime.enter(client);
    this.#firstCame.resolve();
    this.#tell(client, { event: "vm", vm: planInfo(this.#plan) });
    this.#tell(client, { event: "state", state: this.#state });
    for (const text of this.#unsaid.splice(0)) this.#tell(client, { event: "note", text });
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

  /** Boots the guest until it is ready; once more if emulation made its kernel panic. */
  async #boot(): Promise<void> {
    for (let attempt = 1;; attempt++) {
      const exit = await this.#bootOnce();
      if (exit === null) return;
      const retry = exit.reason === "panic" && attempt === 1 && this.#state === "booting";
      if (!retry) throw exitBeforeHello(exit, this.#consoleHint());
      this.#note("The guest's kernel panicked while booting; starting it again.");
    }
  }

  /** Resolves to null once the VM is ready, or to its exit if that came first. */
  async #bootOnce(): Promise<VmExit | null> {
    const plan = this.#plan;
    const config = vmConfig(plan, this.#disk, this.#runtime);
    const vm = await this.#driver.start(config, (text) => this.#note(text));
    this.#vm = vm;
    this.#log(`started: ${vm.description}`);
    const { consoleLog } = instancePaths(plan.instance);
    this.#console.record(vm.console, consoleLog, (chunk) => this.#guest.onConsole(chunk));
    const ready = this.#guest.serve(vm).then(async () => {
      // What hooks do has limits of its own.
      clearTimeout(timeout);
      await this.#guest.open((agent) => this.#runHooks(agent));
      this.#setState("ready");
      return null;
    });
    const { bootTimeout } = this.#guest;
    const late = Promise.withResolvers<never>();
    const timeout = setTimeout(
      () => late.reject(noSignOfLife(bootTimeout, vm, this.#console, this.#consoleHint())),
      bootTimeout,
    );
    vm.exited.then((exit) => {
      if (this.#state !== "booting") this.#end.resolve({ why: "exited", exit });
    });
    try {
      return await Promise.race([ready, late.promise, vm.exited]);
    } finally {
      clearTimeout(timeout);
    }
  }

  async #runHooks(agent: AgentClient): Promise<void> {
    const { hooks, instance, verbose, workdir } = this.#plan;
    const log = instancePaths(instance).hooksLog;
    await runHooks(hooks, agent, { workdir, log, verbose, note: (text) => this.#note(text) });
  }

  async #stop(): Promise<void> {
    const vm = this.#vm;
    if (!vm) return;
    if (!await this.#guest.powerOff(vm)) return;
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, STOP_TIMEOUT_MS);
    await Promise.race([vm.exited, timeout.promise, this.#forced.promise]);
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
    if (this.#lifetime.users === 0) this.#unsaid.push(text);
    this.#broadcast({ event: "note", text });
  }

  #broadcast(event: SupervisorEvent): void {
    for (const client of this.#clients) this.#tell(client, event);
  }

  #tell(client: FrameConnection, event: SupervisorEvent): void {
    client.send(0, FrameType.control, encodeControl(event));
  }

  #tellFailure({ code, message, hint }: VibeError): void {
    this.#broadcast({ event: "failed", failure: { code, message, hint } });
  }

  async #tellEnd(end: End): Promise<void> {
    if (end.why === "exited") {
      const console = end.exit.reason === "panic" ? this.#console.tail() : undefined;
      this.#broadcast({ event: "ended", exit: end.exit, console });
    }
    const flushed = [...this.#clients].map((client) => client.flushed());
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, FAREWELL_MS);
    // Their connections end with this process: whoever waits for that finds the VM's lock free.
    await Promise.race([Promise.all(flushed), late.promise]);
    clearTimeout(timer);
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

  #consoleHint(): string {
    return consoleHint(instancePaths(this.#plan.instance).consoleLog, this.#console);
  }
}

function openGuest(
  plan: VmPlan,
  log: (line: string) => void,
  fail: (error: unknown) => void,
): Guest {
  return plan.login === "agent"
    ? new AgentGuest(plan.mounts, log, fail)
    : new ConsoleGuest(plan.mounts, plan.workdir, log);
}
