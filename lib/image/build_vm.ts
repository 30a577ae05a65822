/**
 * A VM in which an image is made: it boots a base that is not finished, or any other, with a disk of
 * its own on top. It runs under a supervisor like every VM, so that it works the same on every host,
 * and ends by itself if this process is killed.
 */

import type { ExecRequest, ExitStatus } from "../agent/messages.ts";
import { HOST_DISK_FULL } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import type { LogFile } from "../host/follow.ts";
import type { PrepareOptions } from "../host/prepare.ts";
import { type Attachment, attachOrStart } from "../instance/attach.ts";
import { forgetUser } from "../instance/base_users.ts";
import { stopVm } from "../instance/stop.ts";
import { FileLock } from "../lock.ts";
import { instancePaths, workInstance } from "../paths.ts";
import type { PlannedMount, VmPlan } from "../plan/plan.ts";
import { run } from "../process.ts";
import { silentProgress } from "../progress.ts";
import type { Base } from "./base.ts";
import { GuestOutput } from "./guest_output.ts";
import { ensureBootFiles } from "./initrd.ts";
import { interrupted } from "./interrupted.ts";
import { noSpaceLeft } from "./room.ts";

/** A shutdown under emulation takes 3 s, on a busy machine many times that. */
const SHUTDOWN_MS = 120_000;
/** A small file is written in no time; a guest that hangs must not hang us. */
const PUT_MS = 60_000;
/** Where scripts are put; it is gone when the machine is off. */
const SCRIPTS = "/run/vibe-build";

/** How a VM is run. */
export interface BuildVmOptions extends PrepareOptions {
  log: LogFile;
  /** How long a script may take. */
  timeoutMs: number;
  mounts?: PlannedMount[];
}

/** What to run in it. */
export interface Script {
  /** As messages call it. */
  name: string;
  content: Uint8Array<ArrayBuffer>;
  args?: string[];
  env: Record<string, string>;
}

/** How a script ended. */
export interface ScriptResult {
  /** Null: it succeeded. Else why not: "it exited with 1". */
  failure: string | null;
  output: GuestOutput;
}

/**
 * Ends the VM in a directory if it runs, also one that a killed process left; resolves when it is
 * gone. By force: a guest that hangs, or stands still, would be asked in vain.
 */
export async function endVm(dir: string): Promise<void> {
  await stopVm(await workInstance(dir), { force: true, progress: silentProgress });
}

/** Runs until it is ended or disposed of. */
export class BuildVm implements AsyncDisposable {
  readonly #dir: string;
  readonly #base: Base;
  readonly #attachment: Attachment;
  readonly #options: BuildVmOptions;
  readonly #unsubscribe: () => void;
  #full = false;

  private constructor(
    dir: string,
    base: Base,
    attachment: Attachment,
    options: BuildVmOptions,
  ) {
    this.#dir = dir;
    this.#base = base;
    this.#attachment = attachment;
    this.#options = options;
    const stop = () => void this.#stop().catch(() => {});
    options.signal?.addEventListener("abort", stop);
    this.#unsubscribe = () => options.signal?.removeEventListener("abort", stop);
  }

  /**
   * Boots a base; what the guest writes goes to files in `dir`, which is made and must be new.
   *
   * @throws {VibeError} if it cannot be started, or `INTERRUPTED`.
   */
  static async start(dir: string, base: Base, options: BuildVmOptions): Promise<BuildVm> {
    await Deno.mkdir(dir, { mode: 0o700 });
    const boot = await ensureBootFiles(base, options, dir);
    const plan: VmPlan = {
      boot: { kind: "kernel", ...boot, args: [...boot.args, "vibe.grow"] },
      login: "agent",
      diskImage: null,
      instance: await workInstance(dir),
      image: base.id,
      base: { id: base.id, disk: base.disk },
      diskBytes: base.info.diskBytes,
      reset: null,
      cpus: Math.min(4, navigator.hardwareConcurrency),
      memoryMiB: 2048,
      network: "nat",
      git: "rw",
      gitWatch: null,
      repositories: [],
      mounts: options.mounts ?? [],
      mountSpecs: [],
      defaultMounts: false,
      homeMounts: false,
      hooks: [],
      verbose: false,
      workdir: null,
      keep: false,
      idleMinutes: null,
      ephemeral: false,
    };
    if (options.signal?.aborted) throw interrupted();
    let onFull = () => {};
    const attachment = await attachOrStart(plan, {
      waiting() {},
      note(text) {
        options.log.write(`vibe: ${text}\n`);
        if (text === HOST_DISK_FULL) onFull();
      },
    });
    const vm = new BuildVm(dir, base, attachment, options);
    // A build does not wait for room: what it holds already may be what fills the disk.
    onFull = () => vm.#giveUp();
    try {
      await attachment.ready;
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw vm.#whyGone(error);
    }
    return vm;
  }

  /** Runs a script as root. @throws {VibeError} `INTERRUPTED`, or if the VM goes away. */
  async run({ name, content, args = [], env }: Script): Promise<ScriptResult> {
    const path = `${SCRIPTS}/${name}`;
    await this.put(path, content);
    // A script that does not say what reads it is one for the shell.
    const shell = content[0] === 0x23 && content[1] === 0x21 ? [] : ["sh"];
    const output = new GuestOutput(
      this.#options.log,
      (text) => this.#options.progress.detail(text),
    );
    const request: ExecRequest = {
      argv: [...shell, path, ...args],
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      cwd: "/root",
      stdin: false,
    };
    const status = await this.#exec(request, output, this.#options.timeoutMs);
    return { failure: status === "late" ? this.#late() : failure(status), output };
  }

  /** Writes a file in the guest, for root only. @throws {VibeError} as {@link run}. */
  async put(path: string, content: Uint8Array): Promise<void> {
    const argv = [
      "sh",
      "-c",
      'umask 077 && mkdir -p "${1%/*}" && cat >"$1" && chmod 700 "$1"',
      "sh",
      path,
    ];
    const output = new GuestOutput(this.#options.log, () => {});
    const status = await this.#exec({ argv, stdin: true }, output, PUT_MS, content);
    const why = status === "late" ? "it does not answer" : failure(status);
    if (why === null) return;
    throw new VibeError("BUILD_VM_FAILED", `Cannot write "${path}" in the build's VM: ${why}`, {
      hint: output.tail || undefined,
    });
  }

  async #exec(
    request: ExecRequest,
    output: GuestOutput,
    timeoutMs: number,
    input?: Uint8Array,
  ): Promise<ExitStatus | "late"> {
    const [stdout, stderr] = [output.sink(), output.sink()];
    const exec = this.#attachment.agent.exec(request, { stdout: stdout.take, stderr: stderr.take });
    const late = Promise.withResolvers<"late">();
    const timer = setTimeout(() => late.resolve("late"), timeoutMs);
    try {
      if (input) exec.write(input).then(() => exec.closeStdin());
      return await Promise.race([exec.exit, late.promise]);
    } catch (error) {
      throw this.#whyGone(error);
    } finally {
      clearTimeout(timer);
      stdout.end();
      stderr.end();
    }
  }

  #giveUp(): void {
    this.#full = true;
    this.#stop().catch(() => {});
  }

  #stop(): Promise<void> {
    return endVm(this.#dir).finally(() => this.#attachment[Symbol.dispose]());
  }

  /** The error for the user when the VM has gone away. */
  #whyGone(error: unknown): unknown {
    if (this.#options.signal?.aborted) return interrupted();
    return this.#full ? noSpaceLeft(this.#dir, this.#options.log.path) : error;
  }

  #late(): string {
    const minutes = +(this.#options.timeoutMs / 60_000).toFixed(2);
    return `it took longer than ${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  }

  /**
   * Shuts the guest down and makes `disk` of what it left: a raw disk that stands by itself. The VM
   * is gone then.
   *
   * @throws {VibeError} `INTERRUPTED`, `IMAGE_NO_SPACE`.
   */
  async finishDisk(disk: string): Promise<void> {
    const { signal, progress } = this.#options;
    progress.step("Shutting the build's VM down");
    const paths = instancePaths({ dir: this.#dir });
    const argv = ["sh", "-c", "sync; systemctl poweroff || poweroff"];
    this.#attachment.agent.exec({ argv, stdin: false }, {
      stdout: () => Promise.resolve(),
      stderr: () => Promise.resolve(),
    });
    const patience = AbortSignal.any([AbortSignal.timeout(SHUTDOWN_MS), ...signal ? [signal] : []]);
    await FileLock.takeUnlessAborted(paths.lock, patience)
      .then((lock) => lock[Symbol.dispose](), () => {});
    await this[Symbol.asyncDispose]();
    if (signal?.aborted || this.#full) throw this.#whyGone(null);
    progress.step("Writing the disk");
    if (await Deno.stat(paths.rawDisk).then(() => true, () => false)) {
      await Deno.rename(paths.rawDisk, disk);
    } else await flatten(paths.disk, this.#base.disk, disk, signal);
    progress.done();
  }

  /** Ends it, whatever it does; resolves when it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    await this.#stop();
    await forgetUser(this.#base.id, (await workInstance(this.#dir)).id);
  }
}

function failure(status: ExitStatus): string | null {
  switch (status.kind) {
    case "exited":
      return status.code === 0 ? null : `it exited with ${status.code}`;
    case "signaled":
      return `it was killed by signal ${status.signal}`;
    case "failed":
      return `it could not be started: ${printable(status.message)}`;
  }
}

/** The overlay's own header does not choose which file is read below it. */
async function flatten(
  overlay: string,
  base: string,
  disk: string,
  signal?: AbortSignal,
): Promise<void> {
  const source = {
    driver: "qcow2",
    file: { driver: "file", filename: overlay },
    backing: { driver: "raw", file: { driver: "file", filename: base } },
  };
  const argv = ["qemu-img", "convert", "-q", "-O", "raw", "-W", `json:${JSON.stringify(source)}`];
  const { success, stderr } = await run([...argv, disk], { signal });
  if (signal?.aborted) throw interrupted();
  if (!success) throw new Error(`Cannot write "${disk}": ${stderr.trim()}`);
}
