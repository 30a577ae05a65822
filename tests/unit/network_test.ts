/** `--network`: what it takes, what it becomes, and what a bridge needs of the host. */

import { deepStrictEqual, match, notStrictEqual, ok, rejects, throws } from "node:assert/strict";
import type { VmConfig } from "../../lib/driver/driver.ts";
import { networkArgs, networkKernelArgs, sandbox } from "../../lib/driver/qemu_network.ts";
import type { VibeError } from "../../lib/errors.ts";
import { requireBridge } from "../../lib/host/bridge.ts";
import { networkName, networkReach, parseNetwork } from "../../lib/plan/network.ts";

Deno.test("nat, none and interfaces, there and back", () => {
  deepStrictEqual(parseNetwork("nat"), "nat");
  deepStrictEqual(parseNetwork("none"), "none");
  for (const name of ["br0", "virbr0", "vm-net.5", "en0"]) {
    deepStrictEqual(parseNetwork(name), { bridge: name });
    deepStrictEqual(networkName(parseNetwork(name)), name);
    ok(networkReach("none") < networkReach("nat") && networkReach("nat") < networkReach(name));
  }
  for (const name of ["", "a b", "../x", "br0,helper=/x", "-x", "x".repeat(16), "bré"]) {
    throws(() => parseNetwork(name), { code: "NETWORK_NAME", exitCode: 2 }, name);
  }
});

Deno.test("what QEMU is told", () => {
  const config = (name: string, network: VmConfig["network"]) => ({ name, network }) as VmConfig;
  deepStrictEqual(networkArgs(config("a", "none")), []);
  deepStrictEqual(networkArgs(config("a", "nat")), [
    "-netdev",
    "user,id=net,ipv6=off",
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
  ]);
  const [, netdev, , card] = networkArgs(config("0123456789ab", { bridge: "br0" }));
  deepStrictEqual(netdev, "bridge,id=net,br=br0");
  match(card, /,mac=52:54:00(:[0-9a-f]{2}){3}$/);
  deepStrictEqual(networkArgs(config("0123456789ab", { bridge: "br0" }))[3], card);
  notStrictEqual(networkArgs(config("0123456789ac", { bridge: "br0" }))[3], card);
  // An address plan only where QEMU hands it out; and only a bridge takes a program.
  deepStrictEqual(networkKernelArgs("nat").length, 1);
  deepStrictEqual([networkKernelArgs("none"), networkKernelArgs({ bridge: "br0" })], [[], []]);
  match(sandbox("nat"), /elevateprivileges=deny,spawn=deny/);
  match(sandbox({ bridge: "br0" }), /elevateprivileges=allow,spawn=allow/);
});

Deno.test("a bridge that cannot be joined: what is missing, and how to mend it", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const host = {
      interfaces: `${dir}/net`,
      helpers: [`${dir}/helper`],
      acl: `${dir}/acl`,
      uid: 0,
    };
    await Deno.mkdir(`${dir}/net/eth0`, { recursive: true });
    const refused = (name: string, message: RegExp, hint: RegExp, uid = 0) =>
      rejects(requireBridge(name, { ...host, uid }), (error: VibeError) => {
        match(error.message, message);
        match(error.hint!, hint);
        return true;
      });
    await refused("eth0", /"eth0": it is not a bridge/, /has no bridge/);
    await Deno.mkdir(`${dir}/net/br0/bridge`, { recursive: true });
    await refused("eth0", /it is not a bridge/, /Bridges of this host: br0/);
    await refused("br1", /no such interface/, /br0/);
    await refused("br0", /helper is not installed/, /./);
    await Deno.writeTextFile(`${dir}/helper`, "", { mode: 0o755 });
    await refused("br0", /only root may/, /sudo chmod u\+s/, 1000);
    await refused("br0", /"br0": ".*acl" does not allow it/, /allow br0/);
    const cases: [string, boolean][] = [
      ["allow br0\n", true],
      ["# allow br0\n", false],
      ["allow br1\n", false],
      ["allow all\n", true],
      ["allow all\ndeny br0\n", false],
      ["deny br0\nallow br0\n", false],
      ["include /etc/qemu/more.conf\n", true],
    ];
    for (const [acl, allowed] of cases) {
      await Deno.writeTextFile(`${dir}/acl`, acl);
      if (allowed) await requireBridge("br0", host);
      else await refused("br0", /does not allow/, /./);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
