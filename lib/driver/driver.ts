/**
 * The contract between vibe and a hypervisor. `qemu.ts` meets it on Linux, `vz.ts` on macOS;
 * nothing above this layer knows which one runs.
 */

import { VibeError } from "../errors.ts";

/** A byte stream in both directions. `Deno.Conn` is one. */
export interface ByteStream {
  /** Reads up to `p.byteLength` bytes; resolves to how many, or null at the end. */
  read(p: Uint8Array): Promise<number | null>;
  /** Writes some of `p`; resolves to how many bytes were taken. */
  write(p: Uint8Array): Promise<number>;
  close(): void;
}

/** One block device, in the order the guest sees them (/dev/vda, /dev/vdb, …). */
export interface Disk {
  /** Absolute path on the host. */
  path: string;
  format: "raw" | "qcow2";
  /**
   * Absolute path of the raw disk below a qcow2 overlay. Given here, what the overlay's own header
   * says is not used: a header is data, and data does not choose which host file is opened.
   */
  backing?: string;
  readOnly?: boolean;
}

/** A rule inside a share, enforced by the host: the guest cannot lift it, not even as root. */
export interface Guard {
  /** Path below the share's source, without a leading slash; it exists on the host. */
  path: string;
  /**
   * - `hide`: an empty read-only directory stands in its place
   * - `read-only`: readable, never writable, renamable or removable
   * - `pin`: writable, but it cannot be renamed or removed, so that what is guarded below it
   *   cannot be moved aside
   */
  rule: "hide" | "read-only" | "pin";
}

/** A host file or directory shown to the guest as `<tag>/<name>`. */
export interface Share {
  /** Its name in the shared tree: `[a-z0-9-]+`, unique. Not a path the user sees. */
  name: string;
  /** Absolute path of a directory or a regular file on the host. */
  source: string;
  readOnly: boolean;
  guards: Guard[];
}

/** The virtio-fs tag that carries every share. */
export const SHARED_TAG = "shared";

/** The name of the guest agent's virtio-serial port. */
export const AGENT_PORT = "vibe.agent";

/** Firmware of QEMU's: what UEFI is made of on this host. */
export interface EfiFirmware {
  /** The program, never written to. */
  code: string;
  /** What a machine's own variables begin as. */
  variables: string;
}

/** How a machine comes to its kernel. */
export type Boot =
  /**
   * Straight from the host: a compressed or uncompressed Linux kernel, an initrd, and words for the
   * kernel's command line beside those the driver adds itself. The root is the whole first disk.
   */
  | { kind: "kernel"; kernel: string; initrd: string; args: string[] }
  /** By the first disk's own boot loader, as old PCs do. QEMU on x86_64 only. */
  | { kind: "bios" }
  /**
   * By the first disk's own boot loader, through UEFI. `variables` is the file that holds those of
   * this machine; the driver makes it. `firmware` is null where the hypervisor has its own (macOS).
   */
  | { kind: "efi"; variables: string; firmware: EfiFirmware | null };

/** All that a driver needs to start one VM. Pure data: it travels as JSON. */
export interface VmConfig {
  /** Short name of the VM for process lists and logs, `[a-z0-9-]+`. */
  name: string;
  /** Private directory (0700) for sockets; its path is short enough for sun_path. */
  runtimeDir: string;
  cpus: number;
  memoryMiB: number;
  boot: Boot;
  disks: Disk[];
  shares: Share[];
  /**
   * - `nat`: a NIC behind the host's address
   * - `none`: no NIC at all
   * - `bridge`: a NIC on the network of this interface of the host
   */
  network: "nat" | "none" | { bridge: string };
}

/** Why a VM is no longer running. */
export interface VmExit {
  /**
   * - `poweroff`: the guest turned itself off
   * - `panic`: the guest kernel panicked or reset the machine
   * - `killed`: the hypervisor was ended from outside, or by {@link Vm.kill}
   * - `failed`: the hypervisor ended by itself with an error
   */
  reason: "poweroff" | "panic" | "killed" | "failed";
  /** For `failed`: what the hypervisor said, a few lines; else empty. */
  detail: string;
}

/** What a VM takes from the host, all of its processes together. */
export interface VmUsage {
  cpuSeconds: number;
  /** Proportional share: what would be free without it. */
  memoryBytes: number;
}

/** A VM that has been started. Disposing of it ends it at once, like {@link Vm.kill}. */
export interface Vm extends AsyncDisposable {
  /** The bytes of the guest agent's port. */
  readonly agent: ByteStream;
  /** The bytes of the system console, hvc0. */
  readonly console: ByteStream;
  /** Resolves once the VM is gone and all its helper processes are, too. Never rejects. */
  readonly exited: Promise<VmExit>;
  /** Free of secrets, for logs and `--verbose`: how the VM runs ("qemu 7.2.22, tcg"). */
  readonly description: string;
  /** Called when the virtual CPUs run again after a pause, whoever made it. */
  onResume: () => void;
  /** Presses the power button. */
  requestStop(): Promise<void>;
  /** Stops the virtual CPUs, as a host that goes to sleep does. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Shows the guest one share more. @throws {VibeError} `SHARE_*`. */
  addShare(share: Share): Promise<void>;
  /** Shows the guest a share no longer, by its name. @throws {VibeError} `SHARE_*`. */
  removeShare(name: string): Promise<void>;
  /** Whether its CPUs stand still: after {@link pause}, or a write error of the host's disk. */
  paused(): Promise<boolean>;
  /** What it takes from the host now; null where the host does not tell. */
  usage(): Promise<VmUsage | null>;
  /** Ends the VM at once, as if its plug were pulled; resolves when it is gone. */
  kill(): Promise<void>;
}

/** The notice of a guest that was stopped because its disk's file cannot grow; it goes on by itself. */
export const HOST_DISK_FULL =
  "The disk of this host is full: the VM stands still until there is room.";

/** A device for shares cannot be added to a machine that runs. */
export function noShareDevice(): VibeError {
  return new VibeError("SHARE_NONE", "Cannot change the shares: the VM was started without any", {
    hint: "`vibe restart` with --mount starts it with one.",
  });
}

/** A hypervisor that can start VMs. */
export interface Driver {
  readonly name: "qemu" | "vz";
  /**
   * Starts a VM. Resolves when the machine runs and both byte streams are connected, which is
   * before the guest has booted.
   *
   * @param notice told, one line each, what the user should know while the VM runs.
   * @throws {VibeError} `DRIVER_*`, with what the hypervisor said.
   */
  start(config: VmConfig, notice: (text: string) => void): Promise<Vm>;
}

/**
 * The driver of this host. `VIBE_DRIVER=vz` takes the Mac's elsewhere, for tests.
 *
 * @throws {VibeError} `DRIVER_NONE`.
 */
export function driverName(): Driver["name"] {
  const host = Deno.env.get("VIBE_DRIVER") ?? Deno.build.os;
  if (host === "linux") return "qemu";
  if (host === "darwin" || host === "vz") return "vz";
  throw new VibeError("DRIVER_NONE", `Cannot run a VM on "${host}": no driver for it`);
}
