/** A VmConfig as QEMU arguments. Pure: the same values always give the same words. */

import type { Accelerator } from "./accel.ts";
import { AGENT_PORT, type Boot, type Disk, SHARED_TAG, type VmConfig } from "./driver.ts";
import { networkArgs, networkKernelArgs, sandbox } from "./qemu_network.ts";

/** Sockets that QEMU connects to when it starts; we listen on them first, so nobody polls. */
export interface QemuSockets {
  agent: string;
  console: string;
  qmp: string;
  /** virtiofsd's socket; null when there are no shares. */
  shares: string | null;
}

/** What the arguments depend on beside the VmConfig. */
export interface QemuHost {
  arch: typeof Deno.build.arch;
  accelerator: Accelerator;
}

/** The program's name for a host architecture. */
export function qemuProgram(arch: typeof Deno.build.arch): string {
  return `qemu-system-${arch}`;
}

/** All arguments after the program's name. */
export function qemuArgs(config: VmConfig, host: QemuHost, sockets: QemuSockets): string[] {
  return [
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    ...["-name", `vibe-${config.name}`],
    ...["-display", "none"],
    ...["-sandbox", sandbox(config.network)],
    ...machine(config, host),
    ...boot(config, host),
    ...["-chardev", socketChardev("qmp", sockets.qmp), "-mon", "chardev=qmp,mode=control"],
    ...config.disks.flatMap(disk),
    ...["-device", "virtio-serial-pci,id=serial"],
    ...["-chardev", socketChardev("console", sockets.console)],
    ...["-device", "virtconsole,chardev=console"],
    ...["-chardev", socketChardev("agent", sockets.agent)],
    ...["-device", `virtserialport,chardev=agent,name=${AGENT_PORT}`],
    ...shares(sockets.shares),
    ...networkArgs(config),
    // What the guest has freed goes back to the host, as pages of 2 MiB or more.
    ...["-device", "virtio-balloon-pci,free-page-reporting=on"],
  ];
}

function machine(config: VmConfig, host: QemuHost): string[] {
  const words = host.arch === "aarch64"
    ? ["virt", "gic-version=max"]
    : ["q35", "vmport=off", "hpet=off", "smbus=off", "sata=off", "graphics=off"];
  return [
    ...["-machine", [...words, ...flash(config.boot), "memory-backend=memory"].join(",")],
    // virtio-fs wants guest memory that another process can map.
    ...["-object", `memory-backend-memfd,id=memory,size=${config.memoryMiB}M,share=on`],
    ...["-m", `${config.memoryMiB}M`],
    ...["-smp", `${config.cpus}`],
    ...cpu(config, host),
  ];
}

/**
 * QEMU 7.2's TCG panics Debian's 6.12 kernel in two ways: with parallel vCPUs code patching races (so
 * there is one thread), and the kernel's own use of cmpxchg16b is emulated wrongly. Measured: 20 boots
 * of 20 with measures against both, as few as 6 of 10 without. A kernel that we boot is told to do
 * without that instruction, and programs may use it: those made with Bun do. From a kernel that
 * another boot loader starts it is taken away altogether.
 */
function cpu({ boot }: VmConfig, host: QemuHost): string[] {
  if (host.accelerator === "kvm") return ["-accel", "kvm", "-cpu", "host"];
  const model = host.arch === "x86_64" && boot.kind !== "kernel" ? "max,-cx16" : "max";
  return ["-accel", "tcg,thread=single", "-cpu", model];
}

function boot(config: VmConfig, host: QemuHost): string[] {
  const { boot } = config;
  switch (boot.kind) {
    case "kernel":
      return [
        ...["-kernel", boot.kernel, "-initrd", boot.initrd],
        ...["-append", kernelCommandLine(config, boot.args, host)],
      ];
    case "bios":
      // SeaBIOS, which QEMU brings, boots from the first disk.
      return [];
    case "efi": {
      const file = (node: string, filename: string, readOnly: boolean) =>
        JSON.stringify({
          driver: "raw",
          "node-name": node,
          "read-only": readOnly,
          file: { driver: "file", filename },
        });
      return [
        ...["-blockdev", file("firmware", boot.firmware!.code, true)],
        ...["-blockdev", file("variables", boot.variables, false)],
      ];
    }
  }
}

function flash(boot: Boot): string[] {
  return boot.kind === "efi" ? ["pflash0=firmware", "pflash1=variables"] : [];
}

/**
 * `panic=-1` with -no-reboot: a panic ends QEMU at once, and we can say so. The crypto self-tests
 * cost 0.1 s of a boot in software; there, speculation does not exist and the measures against it
 * (0.2 s, and some of every system call) protect from nothing.
 */
function kernelCommandLine(config: VmConfig, args: string[], host: QemuHost): string {
  const words = ["console=hvc0", "root=/dev/vda", "rw", "quiet", "panic=-1"];
  words.push("cryptomgr.notests");
  if (host.accelerator === "tcg") words.push("mitigations=off");
  if (host.accelerator === "tcg" && host.arch === "x86_64") words.push("clearcpuid=cx16");
  words.push(...networkKernelArgs(config.network));
  return [...words, ...args].join(" ");
}

function disk(disk: Disk, index: number): string[] {
  // JSON, for in the comma-separated form a comma in a path is syntax.
  const file = (filename: string) => ({ driver: "file", filename });
  const node = {
    driver: disk.format,
    "node-name": `disk${index}`,
    "read-only": disk.readOnly ?? false,
    discard: "unmap",
    file: file(disk.path),
    backing: disk.backing && { driver: "raw", "read-only": true, file: file(disk.backing) },
  };
  return [
    ...["-blockdev", JSON.stringify(node)],
    ...["-device", `virtio-blk-pci,drive=disk${index}`],
  ];
}

function shares(socket: string | null): string[] {
  if (socket === null) return [];
  return [
    ...["-chardev", socketChardev("shares", socket)],
    ...["-device", `vhost-user-fs-pci,chardev=shares,tag=${SHARED_TAG}`],
  ];
}

/** In QEMU's option syntax a comma in a value is written twice. */
function socketChardev(id: string, path: string): string {
  return `socket,id=${id},path=${path.replaceAll(",", ",,")}`;
}
