/** What becomes of a configuration. */

import { deepStrictEqual as assertEquals, match, ok } from "node:assert/strict";
import type { VzConfig } from "../../ffi/types.ts";
import { type Bench, MIB, scene } from "./suite_support.ts";

/** Defines the tests. */
export function defineSettings(bench: Bench): void {
  const { base, build, dir, disk, library } = bench;

  bench.test("the host says what it can do", () => {
    const host = library.host();
    assertEquals(host.supported, true);
    assertEquals(host.architecture, "x86_64");
    assertEquals(host.cpus, { min: 1, max: 16 });
    assertEquals(host.memory, { min: 4 * MIB, max: 65536 * MIB });
    assertEquals([host.saveRestore, host.nested], [build.arm64Api, false]);
    assertEquals([host.rosetta, host.bridges], ["not supported", []]);
    using _ = scene({ VIBE_DOUBLE_NESTED: "1", VIBE_DOUBLE_BRIDGES: "en0 en7" });
    assertEquals([library.host().nested, library.host().bridges], [true, ["en0", "en7"]]);
    if (!build.arm64Api) return;
    for (const [state, said] of [["installed", "installed"], ["missing", "not installed"]]) {
      using _ = scene({ VIBE_DOUBLE_ROSETTA: state });
      assertEquals(library.host().rosetta, said);
    }
  });

  bench.test("settings that make no sense are refused by name", () => {
    match(bench.refused(undefined).message, /not in the correct format/);
    match(bench.refused([]).message, /an object is needed/);
    bench.refuse({ cpus: undefined }, "cpus", /it is missing/);
    bench.refuse({ cpus: "2" }, "cpus", /an integer is needed/);
    bench.refuse({ memory: null }, "memory", /an integer is needed/);
    bench.refuse({ boot: 1 }, "boot", /an object is needed/);
    bench.refuse({ boot: {} }, "boot.kernel", /it is missing/);
    bench.refuse({ boot: { kernel: 1 } }, "boot.kernel", /a string is needed/);
    bench.refuse({ boot: { kernel: "/k", initrd: {} } }, "boot.initrd", /a string is needed/);
    bench.refuse({ boot: { variableStore: 1 } }, "boot.variableStore", /a string is needed/);
    bench.refuse({ nested: "yes" }, "nested", /true or false/);
    bench.refuse({ disks: {} }, "disks", /a list is needed/);
    bench.refuse({ disks: ["/d"] }, "disks[0]", /an object is needed/);
    bench.refuse({ disks: [{ path: disk }, {}] }, "disks[1].path", /it is missing/);
    bench.refuse(
      { disks: [{ path: disk, caching: "fast" }] },
      "disks[0].caching",
      /no mode "fast"/,
    );
    bench.refuse(
      { disks: [{ path: disk, synchronization: "x" }] },
      "disks[0].synchronization",
      /"x"/,
    );
    bench.refuse({ shares: [{}] }, "shares[0].tag", /it is missing/);
    bench.refuse(
      { shares: [{ tag: "t", directories: [{}] }] },
      "shares[0].directories[0].name",
      /missing/,
    );
    bench.refuse({ ports: [{}] }, "ports[0].socket", /it is missing/);
    bench.refuse({ network: {} }, "network.mode", /it is missing/);
    bench.refuse({ network: { mode: "vmnet" } }, "network.mode", /neither nat nor bridged/);
    bench.refuse({ network: { mode: "nat", mac: "02:00" } }, "network.mac", /not a MAC address/);
    bench.refuse({ network: { mode: "bridged" } }, "network.interface", /it is missing/);
    bench.refuse({ machineIdentifier: "AAAA" }, "machineIdentifier", /not a machine identifier/);
    bench.refuse({ machineIdentifier: "?" }, "machineIdentifier", /not a machine identifier/);
  });

  bench.test("what the framework refuses comes with its words and the setting", async () => {
    await Deno.writeFile(`${dir}/odd.raw`, new Uint8Array(1000));
    bench.refuse(
      { cpus: 99 },
      undefined,
      /^Invalid virtual machine configuration\. The number of CPUs/,
    );
    bench.refuse({ memory: 512 * MIB + 1 }, undefined, /not a multiple of one megabyte/);
    bench.refuse({ disks: [{ path: `${dir}/odd.raw` }] }, "disks[0].path", /Invalid disk image/);
    bench.refuse({ disks: [{ path: `${dir}/none` }] }, "disks[0].path", /Invalid disk image/);
    const long = "x".repeat(21);
    bench.refuse(
      { disks: [{ path: disk, identifier: long }] },
      "disks[0].identifier",
      /identifier/,
    );
    bench.refuse({ shares: [{ tag: "" }] }, "shares[0].tag", /Invalid tag/);
    const up = [{ name: "..", path: "/" }];
    bench.refuse(
      { shares: [{ tag: "t", directories: up }] },
      "shares[0].directories[0].name",
      /name/,
    );
    bench.refuse({ shares: [{ tag: "t" }, { tag: "t" }] }, undefined, /have the same tag/);
    const store = { variableStore: `${dir}/none/store`, create: true };
    bench.refuse({ boot: store }, "boot.variableStore", /could not be created/);
    assertEquals(bench.refused({ ...base, cpus: 99 }).domain, "VZErrorDomain");
    assertEquals(bench.refused({ ...base, cpus: 99 }).code, 2);
  });

  bench.test("a missing entitlement is told in the framework's words", () => {
    using _ = scene({ VIBE_DOUBLE_ENTITLED: "0" });
    match(bench.refused(base).message, /com\.apple\.security\.virtualization/);
  });

  bench.test("a socket that nobody listens on, or with too long a path, is refused by name", () => {
    bench.refuse(
      { ports: [{ socket: `${dir}/nobody` }] },
      "ports[0].socket",
      /cannot connect to ".*nobody"/,
    );
    bench.refuse(
      { ports: [{ socket: "/" + "x".repeat(110) }] },
      "ports[0].socket",
      /longer than 10[37]/,
    );
  });

  bench.test("what this Mac cannot do is refused by name", () => {
    const bridged = { mode: "bridged", interface: "en0" };
    bench.refuse({ nested: true }, "nested", /macOS 15 and an M3/);
    bench.refuse(
      { network: bridged },
      "network.interface",
      /com\.apple\.vm\.networking entitlement/,
    );
    bench.refuse({ shares: [{ tag: "r", rosetta: true }] }, "shares[0].rosetta", /Rosetta/);
    using _ = scene({ VIBE_DOUBLE_BRIDGES: "en7 en8" });
    bench.refuse({ network: bridged }, "network.interface", /no interface "en0", only en7 en8/);
    const UNSUPPORTED = 2;
    assertEquals(bench.refused({ ...base, network: bridged }).code, UNSUPPORTED);
  });

  /** What the double says of a machine that is made of these settings and started. */
  const started = async (change: Partial<VzConfig>) => {
    using _ = scene({
      VIBE_DOUBLE_GUEST: `printf %s "$VIBE_DOUBLE_CONFIG" > '${dir}/config.json'`,
    });
    const machine = library.create({ ...base, ...change });
    try {
      await machine.start();
      assertEquals(await machine.stopped, { error: undefined });
    } finally {
      machine[Symbol.dispose]();
      await machine.drained;
    }
    return JSON.parse(await Deno.readTextFile(`${dir}/config.json`));
  };

  bench.test("what was not asked for is not there", async () => {
    const { boot, platform, ...devices } = await started({});
    assertEquals(boot, { kernel: "/kernel", commandLine: "" });
    assertEquals(platform.nested, false);
    assertEquals(devices, {
      cpus: 2,
      memory: 512 * MIB,
      disks: [],
      shares: [],
      networks: [],
      entropy: 1,
      balloon: 1,
      vsock: 0,
      consoles: [],
    });
  });

  bench.test("a machine boots by EFI, every mode of a disk is what its word says", async () => {
    const variableStore = `${dir}/efi-store`;
    const { boot, disks } = await started({
      boot: { variableStore, create: true },
      disks: [
        { path: disk, caching: "automatic", synchronization: "full" },
        { path: disk, caching: "uncached", synchronization: "fsync" },
        { path: disk, caching: "cached", synchronization: "none" },
      ],
    });
    assertEquals(boot, { variableStore });
    assertEquals(
      disks.map((d: Record<string, number>) => [d.caching, d.synchronization]),
      [[0, 1], [1, 2], [2, 3]],
    );
  });

  bench.test("every device arrives in the machine as configured", async () => {
    using _ = scene({
      VIBE_DOUBLE_GUEST: `printf %s "$VIBE_DOUBLE_CONFIG" > '${dir}/config.json'`,
      VIBE_DOUBLE_NESTED: "1",
      VIBE_DOUBLE_BRIDGES: "en0",
      VIBE_DOUBLE_ROSETTA: "installed",
    });
    const agent = `${dir}/agent`;
    using listener = Deno.listen({ transport: "unix", path: agent });
    await using setup = await bench.withConsole({
      boot: { kernel: "/k é", initrd: "/i", commandLine: 'a="b\\c"' },
      nested: true,
      vsock: true,
      disks: [
        { path: disk, identifier: "root", caching: "uncached", synchronization: "none" },
        { path: disk, readOnly: true, caching: "cached", synchronization: "fsync" },
        { path: disk },
      ],
      shares: [
        {
          tag: "shared",
          directories: [{ name: "a", path: "/tmp" }, { name: "b", path: "/", readOnly: true }],
        },
        ...build.arm64Api ? [{ tag: "rosetta", rosetta: true as const }] : [],
      ],
      ports: [{ socket: agent, name: "vibe.agent" }],
      network: { mode: "bridged", interface: "en0", mac: "02:00:00:00:00:01" },
    });
    (await listener.accept()).close();
    await setup.machine.start();
    assertEquals(await setup.machine.stopped, { error: undefined });
    const config = JSON.parse(await Deno.readTextFile(`${dir}/config.json`));
    for (const port of config.consoles[0].ports) {
      ok(port.fd > 2);
      delete port.fd;
    }
    assertEquals(config, {
      cpus: 2,
      memory: 512 * MIB,
      boot: { kernel: "/k é", initrd: "/i", commandLine: 'a="b\\c"' },
      platform: { machineIdentifier: setup.machine.identity.machineIdentifier, nested: true },
      disks: [
        { path: disk, readOnly: false, caching: 1, synchronization: 3, identifier: "root" },
        { path: disk, readOnly: true, caching: 2, synchronization: 2, identifier: "" },
        { path: disk, readOnly: false, caching: 0, synchronization: 1, identifier: "" },
      ],
      shares: [
        {
          tag: "shared",
          directories: {
            a: { path: "/tmp", readOnly: false },
            b: { path: "/", readOnly: true },
          },
        },
        ...build.arm64Api ? [{ tag: "rosetta", rosetta: true }] : [],
      ],
      networks: [{ mode: "bridged", interface: "en0", mac: "02:00:00:00:00:01" }],
      entropy: 1,
      balloon: 1,
      vsock: 1,
      consoles: [{ ports: [{ console: true }, { console: false, name: "vibe.agent" }] }],
    });
  });
}
