/** A VmConfig as a configuration for the bridge, and what it refuses. Pure. */

import type { VzConfig, VzDirectories, VzError, VzIdentity } from "../../ffi/types.ts";
import { printable, VibeError } from "../errors.ts";
import { AGENT_PORT, type Boot, type Share, SHARED_TAG, type VmConfig } from "./driver.ts";

/** Sockets that the bridge connects the console ports to. */
export interface VzSockets {
  agent: string;
  console: string;
}

/** Bytes in sun_path, the NUL included. */
const SUN_PATH = 104;
/** Darwin's version of macOS 13, the first with all that is used here. */
const DARWIN_22 = 22;

/** The sockets of a VM. @throws {VibeError} `DRIVER_SOCKET_PATH` if macOS has no room for the path. */
export function vzSockets(runtimeDir: string): VzSockets {
  const sockets = { agent: `${runtimeDir}/agent.sock`, console: `${runtimeDir}/console.sock` };
  if (new TextEncoder().encode(sockets.console).length < SUN_PATH) return sockets;
  throw new VibeError(
    "DRIVER_SOCKET_PATH",
    `Cannot use the runtime directory "${runtimeDir}": paths of sockets in it are too long`,
    { hint: "Set VIBE_RUNTIME to a short path of yours, such as /tmp/v." },
  );
}

/** @throws {VibeError} `DRIVER_MACOS_OLD` before macOS 13. `release`: the kernel's version. */
export function requireMacos13(release: string): void {
  if (parseInt(release) >= DARWIN_22) return;
  throw new VibeError(
    "DRIVER_MACOS_OLD",
    `Cannot run a VM on this macOS (Darwin ${release}): vibe needs macOS 13 or later`,
    { hint: "Upgrade macOS, or use vibe on another computer." },
  );
}

/** What VZ cannot do of what a VmConfig can say. @throws {VibeError} `DRIVER_UNSUPPORTED`. */
function requireSupported(config: VmConfig): void {
  for (const { path, format } of config.disks) {
    if (format === "raw") continue;
    throw new VibeError(
      "DRIVER_UNSUPPORTED",
      `Cannot use the disk "${path}": macOS takes raw disks, not ${format}`,
      { hint: "Delete .vibe/ to make the VM anew." },
    );
  }
}

/**
 * What the bridge is given. Disks are `cached`: with the framework's own choice, guests with Linux 6
 * have had their file systems damaged (lima-vm/lima issue 1957). `fsync` has the guarantees of the
 * system call: what the guest flushed survives a crash of the guest, of vibe and of macOS, not
 * every loss of power.
 *
 * @param identity from an earlier run, or nothing.
 * @param newVariables whether the file of EFI's variables is to be made.
 * @throws {VibeError} `DRIVER_UNSUPPORTED`.
 */
export function vzConfig(
  config: VmConfig,
  sockets: VzSockets,
  identity: Partial<VzIdentity>,
  newVariables = false,
): VzConfig {
  requireSupported(config);
  return {
    cpus: config.cpus,
    memory: config.memoryMiB * 2 ** 20,
    boot: boot(config.boot, newVariables),
    machineIdentifier: identity.machineIdentifier,
    disks: config.disks.map(({ path, readOnly }) => ({
      path,
      readOnly: readOnly ?? false,
      caching: "cached",
      synchronization: "fsync",
    })),
    shares: config.shares.length === 0 ? [] : [vzDirectories(config.shares)],
    // The first port is hvc0; the second is found by its name.
    ports: [
      { socket: sockets.console, console: true },
      { socket: sockets.agent, name: AGENT_PORT },
    ],
    network: vzNetwork(config.network, identity.mac),
  };
}

/** What the one device for shares is given. */
export function vzDirectories(shares: Share[]): VzDirectories {
  const directories = shares.map(({ name, source, readOnly }) => ({
    name,
    path: source,
    readOnly,
  }));
  return { tag: SHARED_TAG, directories };
}

function vzNetwork(network: VmConfig["network"], mac?: string): VzConfig["network"] {
  if (network === "none") return undefined;
  if (network === "nat") return { mode: "nat", mac };
  return { mode: "bridged", interface: network.bridge, mac };
}

/** The guest gets its address by DHCP, for macOS has no plan of its own to rely on. */
function kernelCommandLine(args: string[]): string {
  const words = ["console=hvc0", "root=/dev/vda", "rw", "quiet", "panic=-1"];
  return [...words, "cryptomgr.notests", ...args].join(" ");
}

function boot(boot: Boot, newVariables: boolean): VzConfig["boot"] {
  switch (boot.kind) {
    case "kernel":
      return {
        kernel: boot.kernel,
        initrd: boot.initrd,
        commandLine: kernelCommandLine(boot.args),
      };
    case "efi":
      return { variableStore: boot.variables, create: newVariables };
    case "bios":
      throw new VibeError(
        "DRIVER_UNSUPPORTED",
        "Cannot boot the disk: macOS knows no BIOS, only EFI",
      );
  }
}

/**
 * One line about what of `shares` the host cannot enforce here, or null. The framework's file server
 * shares whole directories and knows no exceptions in them.
 */
export function unguardedNotice(shares: Share[]): string | null {
  const paths = shares.flatMap((share) => share.guards.map((guard) => guard.path));
  if (paths.length === 0) return null;
  return `macOS cannot keep the guest from changing ${
    paths.map((path) => `"${printable(path)}"`).join(", ")
  } in what is shared with it.`;
}

/** The value of a setting such as `disks[0].path`, for a message. */
function valueOf(config: VzConfig, setting: string): string {
  let value: unknown = config;
  for (const [word] of setting.matchAll(/[^.[\]]+/g)) {
    value = (value as Record<string, unknown> | undefined)?.[word];
  }
  return typeof value === "string" || typeof value === "number" ? ` ("${value}")` : "";
}

/** Codes of VZErrorDomain that have a remedy. */
const LIMIT_EXCEEDED = 6;
const OUT_OF_DISK_SPACE = 8;

/** What the user is told when the bridge or the framework refuses to make or start a machine. */
export function startError(error: VzError, config: VzConfig): VibeError {
  const { message, setting } = error;
  if (message.includes("com.apple.security.virtualization")) {
    return new VibeError(
      "DRIVER_NOT_ENTITLED",
      `Cannot start the VM: its supervisor may not run virtual machines (${message})`,
      {
        cause: error,
        hint: "Remove the directory supervisor in vibe's cache, so that it is signed again; " +
          "`deno task mac:check` says more.",
      },
    );
  }
  const what = setting === undefined ? "" : `${setting}${valueOf(config, setting)}: `;
  const hint = error.domain !== "VZErrorDomain"
    ? undefined
    : error.code === LIMIT_EXCEEDED
    ? "macOS limits how many VMs run at once: stop another one."
    : error.code === OUT_OF_DISK_SPACE
    ? "Make room on the disk and try again."
    : undefined;
  return new VibeError("DRIVER_FAILED", `Cannot start the VM: ${what}${message}`, {
    cause: error,
    hint,
  });
}
