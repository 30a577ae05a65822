/** Whether a VM can join a bridge of this Linux host, and what is missing if not. */

import { ExitCode, reason, VibeError } from "../errors.ts";

/** Distributions put QEMU's helper in one of these. */
const HELPERS = ["/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper"];
/** The helper's list of bridges that users may join. */
const ACL = "/etc/qemu/bridge.conf";
const SET_USER_ID = 0o4000;

/** Where to look; another place in tests. */
export interface BridgeHost {
  interfaces: string;
  helpers: string[];
  acl: string;
  uid: number | null;
}

const HERE: BridgeHost = {
  interfaces: "/sys/class/net",
  helpers: HELPERS,
  acl: ACL,
  uid: Deno.uid(),
};

/**
 * Makes sure that QEMU can join an interface, whose name was checked before.
 *
 * @throws {VibeError} `NETWORK_INTERFACE`, `NETWORK_HELPER`, with what to do.
 */
export async function requireBridge(name: string, host: BridgeHost = HERE): Promise<void> {
  await requireInterface(name, host);
  const info = await firstFile(host.helpers);
  const refused = (what: string, hint: string) =>
    new VibeError("NETWORK_HELPER", `Cannot join the bridge "${name}": ${what}`, { hint });
  if (!info) {
    throw refused("QEMU's bridge helper is not installed", "It comes with QEMU's own packages.");
  }
  if (host.uid !== 0 && ((info.mode ?? 0) & SET_USER_ID) === 0) {
    throw refused(
      "only root may, unless QEMU's bridge helper runs as root",
      `To let everyone on this host who may run it: sudo chmod u+s ${info.path}`,
    );
  }
  if (!await isAllowed(name, host.acl)) {
    throw refused(
      `"${host.acl}" does not allow it`,
      `To allow it: echo "allow ${name}" | sudo tee -a ${host.acl}`,
    );
  }
}

async function requireInterface(name: string, host: BridgeHost): Promise<void> {
  const exists = (path: string) => Deno.stat(path).then(() => true, () => false);
  if (await exists(`${host.interfaces}/${name}/bridge`)) return;
  const bridges = [];
  for (const { name: other } of await Array.fromAsync(Deno.readDir(host.interfaces))) {
    if (await exists(`${host.interfaces}/${other}/bridge`)) bridges.push(other);
  }
  const what = await exists(`${host.interfaces}/${name}`)
    ? "it is not a bridge"
    : "there is no such interface";
  const hint = bridges.length > 0
    ? `Bridges of this host: ${bridges.sort().join(", ")}`
    : "This host has no bridge. On Linux a VM joins a network by one, such as br0: make it with " +
      "your system's network manager. `--network nat` needs none.";
  throw new VibeError("NETWORK_INTERFACE", `Cannot use the network "${name}": ${what}`, {
    hint,
    exitCode: ExitCode.usage,
  });
}

async function firstFile(paths: string[]): Promise<(Deno.FileInfo & { path: string }) | null> {
  for (const path of paths) {
    const info = await Deno.stat(path).catch(() => null);
    if (info?.isFile) return { ...info, path };
  }
  return null;
}

/** As the helper decides: somewhere it must be allowed, and nowhere denied. */
async function isAllowed(name: string, acl: string): Promise<boolean> {
  let text: string;
  try {
    text = await Deno.readTextFile(acl);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    // Not for us to read, but for the helper: it will say.
    if (error instanceof Deno.errors.PermissionDenied) return true;
    throw new VibeError("NETWORK_HELPER", `Cannot read "${acl}": ${reason(error)}`);
  }
  const verbs = new Set<string>();
  for (const line of text.split("\n")) {
    const [verb, what] = line.replace(/#.*/, "").trim().split(/\s+/);
    // Other files may be included, which we leave to the helper.
    if (verb === "include") return true;
    if (what === name || what === "all") verbs.add(verb);
  }
  return verbs.has("allow") && !verbs.has("deny");
}
