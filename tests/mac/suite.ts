/** What the bridge does, through the typed handles, on whichever build of it. */

import { deepStrictEqual as assertEquals, match, ok, rejects } from "node:assert/strict";
import { VzLibrary, type VzMachine } from "../../ffi/machine.ts";
import { Operation, SYMBOLS } from "../../ffi/symbols.ts";
import { type VzConfig, VzError } from "../../ffi/types.ts";

/** A build of the bridge under test. */
export interface Build {
  path: string;
  /** It was compiled for a Mac that can save (the ELF build and arm64). */
  arm64Api: boolean;
  /** Exceptions can be thrown through it. */
  exceptions: boolean;
}

const DEBUG = {
  vibe_test_live_objects: { parameters: ["i32"], result: "i64" },
  vibe_test_wait_for_queues: { parameters: ["i32"], result: "i32", nonblocking: true },
  vibe_test_break_queue_rule: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

const MIB = 1 << 20;
const SAVING_NEEDS = "saving and restoring needs macOS 14 on Apple silicon";

/** Sets variables of the double for the length of a test. */
function scene(variables: Record<string, string>): Disposable {
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  return {
    [Symbol.dispose]() {
      for (const name of Object.keys(variables)) Deno.env.delete(name);
    },
  };
}

/** Defines the tests of one build. */
export async function defineSuite(name: string, build: Build): Promise<void> {
  const library = await VzLibrary.open(build.path);
  const { symbols: debug } = Deno.dlopen(build.path, DEBUG);
  const { symbols: raw } = Deno.dlopen(build.path, SYMBOLS);
  const test = (what: string, body: () => Promise<void> | void) =>
    Deno.test(`${name}: ${what}`, body);

  const dir = await Deno.makeTempDir({ prefix: "vibe-mac-" });
  globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));
  const disk = `${dir}/disk.raw`;
  await Deno.writeFile(disk, new Uint8Array(4096));
  const base: VzConfig = { cpus: 2, memory: 512 * MIB, boot: { kernel: "/kernel" } };

  /** The error that creating a machine gives. */
  const refused = (config: unknown): VzError => {
    try {
      using machine = library.create(config as VzConfig);
      throw new Error(`a machine was made: ${JSON.stringify(machine.identity)}`);
    } catch (error) {
      if (error instanceof VzError) return error;
      throw error;
    }
  };
  const refuse = (
    config: Record<string, unknown>,
    setting: string | undefined,
    message: RegExp,
  ) => {
    const error = refused({ ...base, ...config });
    assertEquals(error.setting, setting, error.message);
    match(error.message, message);
  };

  /** A machine with a console, and the host's end of that. */
  const withConsole = async (
    config: Partial<VzConfig> = {},
  ): Promise<AsyncDisposable & { machine: VzMachine; console: Deno.UnixConn }> => {
    const socket = `${dir}/console-${crypto.randomUUID().slice(0, 8)}`;
    using listener = Deno.listen({ transport: "unix", path: socket });
    const ports = [{ socket, console: true }, ...config.ports ?? []];
    const machine = library.create({ ...base, ...config, ports });
    const console = await listener.accept();
    return {
      machine,
      console,
      async [Symbol.asyncDispose]() {
        console.close();
        machine[Symbol.dispose]();
        await machine.drained;
      },
    };
  };
  /** Sends text to the echoing guest and reads it back, which proves that it runs. */
  const echo = async (console: Deno.UnixConn, text: string) => {
    await console.write(new TextEncoder().encode(text));
    const buffer = new Uint8Array(100);
    const count = await console.read(buffer);
    assertEquals(new TextDecoder().decode(buffer.subarray(0, count ?? 0)), text);
  };

  test("the host says what it can do", () => {
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

  test("settings that make no sense are refused by name", () => {
    match(refused(undefined).message, /not in the correct format/);
    match(refused([]).message, /an object is needed/);
    refuse({ cpus: undefined }, "cpus", /it is missing/);
    refuse({ cpus: "2" }, "cpus", /an integer is needed/);
    refuse({ memory: null }, "memory", /an integer is needed/);
    refuse({ boot: 1 }, "boot", /an object is needed/);
    refuse({ boot: {} }, "boot.kernel", /it is missing/);
    refuse({ boot: { kernel: 1 } }, "boot.kernel", /a string is needed/);
    refuse({ boot: { kernel: "/k", initrd: {} } }, "boot.initrd", /a string is needed/);
    refuse({ boot: { variableStore: 1 } }, "boot.variableStore", /a string is needed/);
    refuse({ nested: "yes" }, "nested", /true or false/);
    refuse({ disks: {} }, "disks", /a list is needed/);
    refuse({ disks: ["/d"] }, "disks[0]", /an object is needed/);
    refuse({ disks: [{ path: disk }, {}] }, "disks[1].path", /it is missing/);
    refuse({ disks: [{ path: disk, caching: "fast" }] }, "disks[0].caching", /no mode "fast"/);
    refuse({ disks: [{ path: disk, synchronization: "x" }] }, "disks[0].synchronization", /"x"/);
    refuse({ shares: [{}] }, "shares[0].tag", /it is missing/);
    refuse(
      { shares: [{ tag: "t", directories: [{}] }] },
      "shares[0].directories[0].name",
      /missing/,
    );
    refuse({ ports: [{}] }, "ports[0].socket", /it is missing/);
    refuse({ network: {} }, "network.mode", /it is missing/);
    refuse({ network: { mode: "vmnet" } }, "network.mode", /neither nat nor bridged/);
    refuse({ network: { mode: "nat", mac: "02:00" } }, "network.mac", /not a MAC address/);
    refuse({ network: { mode: "bridged" } }, "network.interface", /it is missing/);
    refuse({ machineIdentifier: "AAAA" }, "machineIdentifier", /not a machine identifier/);
    refuse({ machineIdentifier: "?" }, "machineIdentifier", /not a machine identifier/);
  });

  test("what the framework refuses comes with its words and the setting", async () => {
    await Deno.writeFile(`${dir}/odd.raw`, new Uint8Array(1000));
    refuse({ cpus: 99 }, undefined, /^Invalid virtual machine configuration\. The number of CPUs/);
    refuse({ memory: 512 * MIB + 1 }, undefined, /not a multiple of one megabyte/);
    refuse({ disks: [{ path: `${dir}/odd.raw` }] }, "disks[0].path", /Invalid disk image/);
    refuse({ disks: [{ path: `${dir}/none` }] }, "disks[0].path", /Invalid disk image/);
    const long = "x".repeat(21);
    refuse({ disks: [{ path: disk, identifier: long }] }, "disks[0].identifier", /identifier/);
    refuse({ shares: [{ tag: "" }] }, "shares[0].tag", /Invalid tag/);
    const up = [{ name: "..", path: "/" }];
    refuse({ shares: [{ tag: "t", directories: up }] }, "shares[0].directories[0].name", /name/);
    refuse({ shares: [{ tag: "t" }, { tag: "t" }] }, undefined, /have the same tag/);
    const store = { variableStore: `${dir}/none/store`, create: true };
    refuse({ boot: store }, "boot.variableStore", /could not be created/);
    assertEquals(refused({ ...base, cpus: 99 }).domain, "VZErrorDomain");
    assertEquals(refused({ ...base, cpus: 99 }).code, 2);
  });

  test("a missing entitlement is told in the framework's words", () => {
    using _ = scene({ VIBE_DOUBLE_ENTITLED: "0" });
    match(refused(base).message, /com\.apple\.security\.virtualization/);
  });

  test("a socket that nobody listens on, or with too long a path, is refused by name", () => {
    refuse(
      { ports: [{ socket: `${dir}/nobody` }] },
      "ports[0].socket",
      /cannot connect to ".*nobody"/,
    );
    refuse({ ports: [{ socket: "/" + "x".repeat(110) }] }, "ports[0].socket", /longer than 10[37]/);
  });

  test("what this Mac cannot do is refused by name", () => {
    const bridged = { mode: "bridged", interface: "en0" };
    refuse({ nested: true }, "nested", /macOS 15 and an M3/);
    refuse({ network: bridged }, "network.interface", /com\.apple\.vm\.networking entitlement/);
    refuse({ shares: [{ tag: "r", rosetta: true }] }, "shares[0].rosetta", /Rosetta/);
    using _ = scene({ VIBE_DOUBLE_BRIDGES: "en7 en8" });
    refuse({ network: bridged }, "network.interface", /no interface "en0", only en7 en8/);
  });

  test("every device arrives in the machine as configured", async () => {
    using _ = scene({
      VIBE_DOUBLE_GUEST: `printf %s "$VIBE_DOUBLE_CONFIG" > '${dir}/config.json'`,
      VIBE_DOUBLE_NESTED: "1",
      VIBE_DOUBLE_BRIDGES: "en0",
      VIBE_DOUBLE_ROSETTA: "installed",
    });
    const agent = `${dir}/agent`;
    using listener = Deno.listen({ transport: "unix", path: agent });
    await using setup = await withConsole({
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

  test("identities are made once and kept", () => {
    using first = library.create({ ...base, network: { mode: "nat" } });
    match(first.identity.mac ?? "", /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
    const { machineIdentifier, mac } = first.identity;
    using second = library.create({ ...base, machineIdentifier, network: { mode: "nat", mac } });
    assertEquals(second.identity, first.identity);
    using third = library.create(base);
    assertEquals(third.identity.mac, undefined);
    ok(third.identity.machineIdentifier !== machineIdentifier);
  });

  test("an EFI machine keeps its variable store", async () => {
    const variableStore = `${dir}/store`;
    library.create({ ...base, boot: { variableStore, create: true } })[Symbol.dispose]();
    ok((await Deno.stat(variableStore)).isFile);
    library.create({ ...base, boot: { variableStore } })[Symbol.dispose]();
  });

  test("a machine runs, pauses and goes on; its guest turns itself off", async () => {
    await using setup = await withConsole();
    const { machine, console } = setup;
    await machine.start();
    await echo(console, "hello\n");
    await rejects(machine.start(), /not in a state for this/);
    await rejects(machine.resume(), /not in a state for this/);
    await machine.pause();
    await rejects(machine.pause(), /not in a state for this/);
    await rejects(machine.requestStop(), /not in a state for this/);
    await machine.resume();
    await echo(console, "still here\n");
    console.closeWrite();
    assertEquals(await machine.stopped, { error: undefined });
    await rejects(machine.stop(), /not in a state for this/);
  });

  test("the power button and the plug", async () => {
    await using setup = await withConsole();
    await setup.machine.start();
    await setup.machine.requestStop(); // ends the echo with a signal: not a clean end
    match((await setup.machine.stopped).error?.message ?? "", /stopped unexpectedly/);

    await using other = await withConsole();
    await other.machine.start();
    await other.machine.stop();
    await rejects(other.machine.pause(), /not in a state for this/);
  });

  test("saving and restoring", async () => {
    await using setup = await withConsole();
    const { machine } = setup;
    const file = `${dir}/saved`;
    await machine.start();
    if (!build.arm64Api) {
      await rejects(machine.save(file), { message: SAVING_NEEDS });
      return;
    }
    await rejects(machine.save(file), { code: 3 });
    await machine.pause();
    await rejects(machine.save(`${dir}/none/saved`), { code: 11 });
    await machine.save(file);
    const { machineIdentifier } = machine.identity;
    await using same = await withConsole({ machineIdentifier });
    await same.machine.restore(file);
    await same.machine.resume();
    await using other = await withConsole();
    await rejects(other.machine.restore(file), { code: 12 });
    using _ = scene({ VIBE_DOUBLE_UNSAVABLE: "1" });
    await rejects(machine.save(file), /does not support being saved/);
  });

  test("a closed machine answers nobody, and its guest is gone", async () => {
    const { machine, console } = await withConsole();
    await machine.start();
    await echo(console, "alive");
    machine[Symbol.dispose]();
    await rejects(machine.start(), /the machine is closed/);
    machine[Symbol.dispose]();
    await machine.drained;
    // The double's guest holds the other end of the console until it is killed.
    assertEquals(await console.read(new Uint8Array(1)), null);
    console.close();
  });

  test("a machine that is closed in the middle of a transition stops after it", async () => {
    const { machine, console } = await withConsole();
    machine.start().catch(() => {});
    machine[Symbol.dispose]();
    await machine.drained;
    assertEquals(await console.read(new Uint8Array(1)), null);
    console.close();
  });

  test("a NIC that loses its attachment is told", async () => {
    using _ = scene({ VIBE_DOUBLE_NETWORK_LOST: "1" });
    await using setup = await withConsole();
    const lost = Promise.withResolvers<VzError>();
    setup.machine.onNetworkLost = lost.resolve;
    await setup.machine.start();
    assertEquals([(await lost.promise).code, (await lost.promise).message], [
      7,
      "The network was lost.",
    ]);
  });

  test("the C functions answer numbers where there is nothing to say", async () => {
    const { machine } = JSON.parse(Deno.UnsafePointerView.getCString(
      raw.vibe_vz_create(new TextEncoder().encode(JSON.stringify(base) + "\0"))!,
    ));
    const NO_MACHINE = -1, NO_OPERATION = -2;
    assertEquals(raw.vibe_vz_request(machine + 1, Operation.start, 1, null), NO_MACHINE);
    for (const operation of [0, 8]) {
      assertEquals(raw.vibe_vz_request(machine, operation, 1, null), NO_OPERATION);
    }
    assertEquals(raw.vibe_vz_request(machine, Operation.save, 5, null), 0);
    const event = await raw.vibe_vz_next_event(machine, -1);
    const { token, error } = JSON.parse(Deno.UnsafePointerView.getCString(event!));
    assertEquals([token, error.code, error.message], [5, 1, "a path is needed"]);
    assertEquals(await raw.vibe_vz_next_event(machine, 10), null);
    assertEquals(await raw.vibe_vz_next_event(machine + 1, -1), null);
    const waiting = raw.vibe_vz_next_event(machine, -1);
    assertEquals(raw.vibe_vz_close(machine), 0);
    assertEquals([await waiting, raw.vibe_vz_close(machine)], [null, NO_MACHINE]);
    raw.vibe_vz_free(null);
  });

  test("a guest that cannot be started is an error of start", async () => {
    using _ = scene({ VIBE_DOUBLE_GUEST: "exit 3" });
    await using setup = await withConsole();
    await setup.machine.start();
    match((await setup.machine.stopped).error?.message ?? "", /stopped unexpectedly/);
  });

  test("many requests at once are all answered", async () => {
    await using setup = await withConsole();
    await setup.machine.start();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, () => setup.machine.pause()),
    );
    assertEquals(outcomes.filter((o) => o.status === "fulfilled").length, 1);
    await setup.machine.resume();
    await echo(setup.console, "ok");
  });

  test("many machines live side by side", async () => {
    const setups = await Promise.all(Array.from({ length: 8 }, () => withConsole()));
    await Promise.all(setups.map((s) => s.machine.start()));
    await Promise.all(setups.map((s, i) => echo(s.console, `machine ${i}`)));
    for (const setup of setups) await setup[Symbol.asyncDispose]();
  });

  if (build.exceptions) {
    test("an exception of the framework does not cross into C", async () => {
      using _ = scene({ VIBE_DOUBLE_RAISE: "1" });
      match(refused(base).message, /^raised by the double$/);
      match(
        (() => {
          try {
            return String(library.host());
          } catch (error) {
            return (error as Error).message;
          }
        })(),
        /^raised by the double$/,
      );
      Deno.env.delete("VIBE_DOUBLE_RAISE");
      await using setup = await withConsole();
      Deno.env.set("VIBE_DOUBLE_RAISE", "1");
      await rejects(setup.machine.start(), /^VzError: raised by the double$/);
    });

    test("the double notices a call outside of the queue", () => {
      const said = Deno.UnsafePointerView.getCString(debug.vibe_test_break_queue_rule()!);
      assertEquals(said, "called outside of the machine's queue");
    });
  }

  test("nothing is left alive", async () => {
    assertEquals(await debug.vibe_test_wait_for_queues(20), 0);
    const alive = debug.vibe_test_live_objects(0);
    if (alive !== 1n) debug.vibe_test_live_objects(1); // says which
    assertEquals(alive, 1n, "more than the bridge's table of machines");
  });
}
