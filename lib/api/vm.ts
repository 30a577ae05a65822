/** A virtual machine in the hands of a program. */

import { scriptCommand } from "../agent/script.ts";
import type { Input } from "../agent/web_streams.ts";
import { VibeError } from "../errors.ts";
import {
  type GuestFileOptions,
  type GuestWriteOptions,
  readGuestFile,
  writeGuestFile,
} from "../guest/files.ts";
import type { MountInfo } from "../instance/control.ts";
import type { ReadyVm } from "../instance/start.ts";
import type { Instance } from "../paths.ts";
import {
  type ExecOptions,
  type SpawnOptions,
  type VmOpenOptions,
  vmOptions,
  type VmTarget,
} from "./options.ts";
import type { VmStats } from "./stats.ts";
import { execProgram, type ExecResult, Program, type Runner } from "./program.ts";

/** What a VM was started with. */
export interface VmDescription {
  /** The project's directory, the VM's name or its disk image. */
  title: string;
  /** The name of the image it was made from; null for a disk image. */
  image: string | null;
  /** Virtual CPUs. */
  cpus: number;
  /** MiB. */
  ram: number;
  /** What is shared, the project first. */
  mounts: MountInfo[];
  /** Where its programs run unless told otherwise; null is the user's home. */
  workdir: string | null;
}

/**
 * A VM that runs. While anyone has it open, this process or another, it goes on running; it stops
 * when the last one leaves.
 *
 * ```ts
 * import { strictEqual } from "node:assert/strict";
 * import { Vm } from "@vibe/cli/lib";
 *
 * await using vm = await Vm.open({ name: "docs-vm", ram: 512 });
 * const { stdout, code } = await vm.exec(["uname", "-s"]);
 * strictEqual(stdout, "Linux\n");
 * strictEqual(code, 0);
 * ```
 */
export class Vm implements AsyncDisposable {
  readonly #instance: Instance;
  readonly #options: VmOpenOptions;
  #vm: ReadyVm;
  #closed = false;

  private constructor(instance: Instance, vm: ReadyVm, options: VmOpenOptions) {
    this.#instance = instance;
    this.#vm = vm;
    this.#options = options;
  }

  /**
   * Attaches to a VM; makes and starts it if need be. Resolves when programs can be run in it, while
   * its services may still be starting.
   *
   * @throws {VibeError} if that cannot be. `VM_DIFFERS` if it runs with other settings than these.
   */
  static async open(options: VmOpenOptions): Promise<Vm> {
    const { openTarget, openVm } = await import("./open.ts");
    const instance = await openTarget(options);
    const vm = await openVm(instance, vmOptions(options), options);
    return new Vm(instance, vm, options);
  }

  /** What it was started with. */
  get description(): VmDescription {
    const { instance, image, cpus, memoryMiB, mounts, workdir } = this.#vm.info;
    return { title: instance.title, image, cpus, ram: memoryMiB, mounts, workdir };
  }

  /**
   * Runs a program to its end. An exit status other than 0 is no error.
   *
   * ```ts
   * import { strictEqual } from "node:assert/strict";
   * import { Vm } from "@vibe/cli/lib";
   *
   * await using vm = await Vm.open({ name: "docs-vm", ram: 512 });
   * const sorted = await vm.exec(["sort"], { stdin: "b\na\n", timeout: 60 });
   * strictEqual(sorted.stdout, "a\nb\n");
   * ```
   *
   * @param argv program and arguments, as they are: there is no shell in between.
   * @throws {VibeError} `EXEC_FAILED` if it cannot be started, `VM_*` if the VM goes away; what
   *   reading `stdin` throws; the reason of `signal`.
   */
  async exec(argv: string[], options: ExecOptions = {}): Promise<ExecResult> {
    return await execProgram(this.#runner(), argv, options);
  }

  /**
   * Starts a program and hands out its streams.
   *
   * @param argv as for {@link exec}; empty for a login shell.
   */
  spawn(argv: string[], options: SpawnOptions = {}): Program {
    return new Program(this.#runner(), argv, options);
  }

  /**
   * Runs a script: any bytes of any length, with the interpreter of its first line, or bash if that
   * names none. The result is the script's; a signal that kills it is 128 + its number in `code`.
   *
   * ```ts
   * import { strictEqual } from "node:assert/strict";
   * import { Vm } from "@vibe/cli/lib";
   *
   * await using vm = await Vm.open({ name: "docs-vm", ram: 512 });
   * const { stdout } = await vm.script("#!/bin/bash\necho \"$1 ${#BASH_VERSINFO[@]}\"", ["hello"]);
   * strictEqual(stdout, "hello 6\n");
   * ```
   *
   * @param args what the script is called with.
   * @throws as {@link exec}.
   */
  async script(
    content: string | Uint8Array,
    args: string[] = [],
    options: ExecOptions = {},
  ): Promise<ExecResult> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const argv = scriptCommand({ name: "script", content: bytes }, args);
    return await execProgram(this.#runner(), argv, options, bytes);
  }

  /**
   * Writes a file in the guest, whole or not at all: it is written aside and renamed.
   *
   * @param path absolute, or below the user's home. The directory must be there.
   * @throws {VibeError} `GUEST_FILE_NOT_FOUND` if the directory is not there, `GUEST_FILE`; what
   *   reading `content` throws.
   */
  async writeFile(path: string, content: Input, options?: GuestWriteOptions): Promise<void> {
    await writeGuestFile(this.#runner().agent, path, content, options);
  }

  /**
   * Reads a file in the guest as it comes.
   *
   * @param path absolute, or below the user's home.
   * @returns a stream that fails with a {@link VibeError}: `GUEST_FILE_NOT_FOUND`, `GUEST_FILE`.
   */
  readFile(path: string, options?: GuestFileOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readGuestFile(this.#runner().agent, path, options);
  }

  /**
   * Reads a file in the guest as text. Mind that the guest says how much there is.
   *
   * @throws {VibeError} as the stream of {@link readFile}.
   */
  async readTextFile(path: string, options?: GuestFileOptions): Promise<string> {
    return await new Response(this.readFile(path, options)).text();
  }

  /**
   * Looks at it from outside.
   *
   * ```ts
   * import { ok } from "node:assert/strict";
   * import { Vm } from "@vibe/cli/lib";
   *
   * await using vm = await Vm.open({ name: "docs-vm", ram: 512 });
   * const { running, diskBytes, modified } = await vm.stats();
   * ok(running && diskBytes > 0 && modified! < new Date());
   * ```
   */
  async stats(): Promise<VmStats> {
    return await (await import("./stats.ts")).vmStats(this.#instance);
  }

  /**
   * As {@link stats}, of a VM that need not run, nor exist.
   *
   * @throws {VibeError} `VM_NAME`, `VM_TARGET`.
   */
  static async stats(target: VmTarget): Promise<VmStats> {
    const { findVm, vmStats } = await import("./stats.ts");
    return await vmStats(await findVm(target));
  }

  /**
   * Stops it for everyone, in good order, and waits for its end. This object is closed then.
   *
   * @throws {VibeError} `VM_STUCK` if it does not end.
   */
  async stop(): Promise<void> {
    const { endVm } = await import("./end.ts");
    await endVm(this.#instance, this.#options);
    this.close();
  }

  /**
   * Stops it for everyone, throws its disk away and starts it again with a fresh one of its image.
   * Shared directories are not touched. This object stays usable.
   *
   * @throws {VibeError} `VM_STUCK`, `VM_RUNNING` if someone else was faster to start it; as
   *   {@link open}.
   */
  async reset(): Promise<void> {
    const { endVm } = await import("./end.ts");
    const { openVm } = await import("./open.ts");
    await endVm(this.#instance, this.#options);
    this.close();
    const options = { ...vmOptions(this.#options), reset: true };
    this.#vm = await openVm(this.#instance, options, this.#options);
    this.#closed = false;
  }

  /**
   * Stops a VM and deletes it with its disk. Shared directories are not touched. Resolves to false if
   * there was none.
   *
   * @throws {VibeError} `VM_NAME`, `VM_TARGET`, `VM_STUCK`, `VM_REMOVE`.
   */
  static async remove(target: VmTarget): Promise<boolean> {
    const { deleteVm } = await import("./end.ts");
    const { findVm } = await import("./stats.ts");
    return await deleteVm(await findVm(target));
  }

  /** Leaves the VM. What this process still runs in it is hung up. */
  close(): void {
    this.#closed = true;
    this.#vm[Symbol.dispose]();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  #runner(): Runner {
    const { attachment, info } = this.#vm;
    if (this.#closed) {
      throw new VibeError(
        "VM_CLOSED",
        `Cannot use the VM of "${info.instance.title}": it was closed`,
      );
    }
    return { agent: attachment.agent, workdir: info.workdir, timeout: this.#options.timeout ?? 0 };
  }
}
