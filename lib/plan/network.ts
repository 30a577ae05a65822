/** `--network nat|none|INTERFACE`. Pure. */

import type { VmConfig } from "../driver/driver.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";

/**
 * The network of a VM by what the user calls it.
 *
 * @throws {VibeError} `NETWORK_NAME` for what cannot be the name of an interface.
 */
export function parseNetwork(name: string): VmConfig["network"] {
  if (name === "nat" || name === "none") return name;
  // What the original vibe calls the framework's own NAT, beside one of a helper of its own.
  if (name === "vznat") return "nat";
  // Linux has room for 15 bytes, and the name becomes part of options and paths.
  if (/^[a-z0-9][a-z0-9._-]{0,14}$/i.test(name)) return { bridge: name };
  throw new VibeError("NETWORK_NAME", `Cannot use the network "${printable(name)}"`, {
    hint: "It is nat, none, or the name of an interface of this host to bridge the VM to.",
    exitCode: ExitCode.usage,
  });
}

/** What {@link parseNetwork} makes this of. */
export function networkName(network: VmConfig["network"]): string {
  return typeof network === "string" ? network : network.bridge;
}

/** How much a network lets the guest reach: more is laxer. */
export function networkReach(name: string): number {
  return name === "none" ? 0 : name === "nat" ? 1 : 2;
}
