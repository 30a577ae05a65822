/** The part of QEMU's arguments that depends on the network. Pure. */

import type { VmConfig } from "./driver.ts";

/** The address plan of QEMU's user network; the agent sets it in the guest at once. */
const USER_NETWORK = "vibe.net=10.0.2.15/24,10.0.2.2,10.0.2.3";

/** Words for the guest kernel. On a bridge, somebody else gives out addresses. */
export function networkKernelArgs(network: VmConfig["network"]): string[] {
  return network === "nat" ? [USER_NETWORK] : [];
}

/**
 * The value of `-sandbox`. What joins a bridge is a set-user-ID program that QEMU starts, so for
 * that QEMU must be allowed to; nothing else needs it.
 */
export function sandbox(network: VmConfig["network"]): string {
  const spawn = typeof network === "object" ? "allow" : "deny";
  return `on,obsolete=deny,elevateprivileges=${spawn},spawn=${spawn},resourcecontrol=deny`;
}

/** The network card and what it is connected to. */
export function networkArgs({ name, network }: VmConfig): string[] {
  if (network === "none") return [];
  const card = "virtio-net-pci,netdev=net,romfile=";
  if (network === "nat") return ["-netdev", "user,id=net,ipv6=off", "-device", card];
  return [
    ...["-netdev", `bridge,id=net,br=${network.bridge}`],
    ...["-device", `${card},mac=${macAddress(name)}`],
  ];
}

/**
 * A locally administered address for a VM, always the same one. By default QEMU gives every machine
 * the same, of which a network cannot have two. FNV-1a spreads names over 24 bits.
 */
function macAddress(name: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  const bytes = [0, 8, 16].map((shift) => hash >>> shift & 0xff);
  return ["52", "54", "00", ...bytes.map((b) => b.toString(16).padStart(2, "0"))].join(":");
}
