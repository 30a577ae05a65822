import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { chooseAccelerator } from "../../lib/driver/accel.ts";
import type { Boot, VmConfig } from "../../lib/driver/driver.ts";
import { qemuArgs, type QemuHost } from "../../lib/driver/qemu_args.ts";

const CONFIG: VmConfig = {
  name: "0123456789ab",
  runtimeDir: "/run/v",
  cpus: 2,
  memoryMiB: 2048,
  boot: { kind: "kernel", kernel: "/k", initrd: "/i", args: [] },
  disks: [{ path: "/p/.vibe/disk.qcow2", format: "qcow2", backing: "/base/disk.raw" }],
  shares: [],
  network: "nat",
};
const TCG: QemuHost = { arch: "x86_64", accelerator: "tcg" };
const SOCKETS = { agent: "/run/v/a", console: "/run/v/c", qmp: "/run/v/q", shares: "/run/v/s" };

function args(config: Partial<VmConfig> = {}, host = TCG, sockets: Partial<typeof SOCKETS> = {}) {
  return qemuArgs({ ...CONFIG, ...config }, host, { ...SOCKETS, ...sockets });
}

/** The values that follow each occurrence of an option. */
function values(words: string[], option: string): string[] {
  return words.flatMap((word, i) => word === option ? [words[i + 1]] : []);
}

Deno.test("nothing comes in by default, and QEMU is sandboxed", () => {
  const words = args();
  for (const flag of ["-nodefaults", "-no-user-config", "-no-reboot"]) ok(words.includes(flag));
  deepStrictEqual(values(words, "-sandbox"), [
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
  ]);
});

Deno.test("the devices are the ones that are needed", () => {
  const devices = (words: string[]) => values(words, "-device").map((d) => d.split(",")[0]);
  deepStrictEqual(devices(args()), [
    "virtio-blk-pci",
    "virtio-serial-pci",
    "virtconsole",
    "virtserialport",
    "vhost-user-fs-pci",
    "virtio-net-pci",
    "virtio-balloon-pci",
  ]);
  const bare = qemuArgs({ ...CONFIG, network: "none" }, TCG, { ...SOCKETS, shares: null });
  deepStrictEqual(devices(bare), [
    "virtio-blk-pci",
    "virtio-serial-pci",
    "virtconsole",
    "virtserialport",
    "virtio-balloon-pci",
  ]);
  ok(!values(bare, "-append")[0].includes("vibe.net"));
});

Deno.test("accelerator and architecture choose CPU and machine", () => {
  const cases: [QemuHost, string, string, string][] = [
    [TCG, "tcg,thread=single", "max", "q35"],
    [{ arch: "x86_64", accelerator: "kvm" }, "kvm", "host", "q35"],
    [{ arch: "aarch64", accelerator: "tcg" }, "tcg,thread=single", "max", "virt"],
    [{ arch: "aarch64", accelerator: "kvm" }, "kvm", "host", "virt"],
  ];
  for (const [host, accel, cpu, machine] of cases) {
    const words = args({}, host);
    deepStrictEqual(values(words, "-accel"), [accel]);
    deepStrictEqual(values(words, "-cpu"), [cpu]);
    strictEqual(values(words, "-machine")[0].split(",")[0], machine);
  }
});

Deno.test("cpus and memory are passed on, memory as shared", () => {
  const words = args({ cpus: 5, memoryMiB: 777 });
  deepStrictEqual(values(words, "-smp"), ["5"]);
  deepStrictEqual(values(words, "-m"), ["777M"]);
  deepStrictEqual(values(words, "-object"), [
    "memory-backend-memfd,id=memory,size=777M,share=on",
  ]);
});

Deno.test("paths with commas, quotes and spaces stay values", () => {
  const path = `/a,b "c" d'/e=f`;
  const words = args({ disks: [{ path, format: "raw" }] }, TCG, { agent: "/r,un/a" });
  const node = JSON.parse(values(words, "-blockdev")[0]);
  strictEqual(node.file.filename, path);
  strictEqual(node.backing, undefined);
  ok(values(words, "-chardev").includes("socket,id=agent,path=/r,,un/a"));
});

Deno.test("the overlay's backing file is named by us, not by its header", () => {
  const node = JSON.parse(values(args(), "-blockdev")[0]);
  deepStrictEqual(node.backing, {
    driver: "raw",
    "read-only": true,
    file: { driver: "file", filename: "/base/disk.raw" },
  });
});

Deno.test("KVM only where it can work", () => {
  const intel = "flags\t\t: fpu vmx sse\n";
  const nested = "flags\t\t: fpu sse hypervisor\n";
  const cases: [Parameters<typeof chooseAccelerator>[0], string][] = [
    [{ arch: "x86_64", cpuinfo: intel, kvmUsable: true }, "kvm"],
    [{ arch: "x86_64", cpuinfo: "flags : svm\n", kvmUsable: true }, "kvm"],
    [{ arch: "x86_64", cpuinfo: nested, kvmUsable: true }, "tcg"],
    [{ arch: "x86_64", cpuinfo: intel, kvmUsable: false }, "tcg"],
    [{ arch: "x86_64", cpuinfo: "model name : svm vmx\n", kvmUsable: true }, "tcg"],
    [{ arch: "aarch64", cpuinfo: "", kvmUsable: true }, "kvm"],
    [{ arch: "aarch64", cpuinfo: "", kvmUsable: false }, "tcg"],
  ];
  for (const [facts, expected] of cases) strictEqual(chooseAccelerator(facts), expected);
});

Deno.test("a disk that boots by itself gets no kernel, and UEFI where it needs it", () => {
  for (const boot of [{ kind: "bios" as const }, efi("/s/vars,1.fd")]) {
    const words = args({ boot });
    for (const option of ["-kernel", "-initrd", "-append"]) ok(!words.includes(option));
  }
  const nodes = values(args({ boot: efi("/s/vars,1.fd") }), "-blockdev").map((node) =>
    JSON.parse(node)
  ).filter((node) => !node["node-name"].startsWith("disk"));
  deepStrictEqual(nodes.map((node) => [node["node-name"], node.file.filename, node["read-only"]]), [
    ["firmware", "/f/code.fd", true],
    ["variables", "/s/vars,1.fd", false],
  ]);
  const machine = values(args({ boot: efi("/v") }), "-machine")[0];
  ok(machine.includes("pflash0=firmware,pflash1=variables"));
});

function efi(variables: string): Extract<Boot, { kind: "efi" }> {
  return { kind: "efi", variables, firmware: { code: "/f/code.fd", variables: "/f/vars.fd" } };
}
