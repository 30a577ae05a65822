/** The driver for macOS over the double: what it configures, how it ends, what it refuses. */

import {
  deepStrictEqual as assertEquals,
  match,
  ok,
  rejects,
  strictEqual,
  throws,
} from "node:assert/strict";
import type { Boot, VmConfig } from "../../lib/driver/driver.ts";
import { vzDriver } from "../../lib/driver/vz.ts";
import { requireMacos13, startError, vzConfig, vzSockets } from "../../lib/driver/vz_config.ts";
import { VzError } from "../../ffi/types.ts";
import { build } from "./build.ts";

type KernelBoot = Extract<Boot, { kind: "kernel" }>;

const LIBRARY = await build("elf");

/** A directory with a VM's files, and the double as the library. */
class Scene implements AsyncDisposable {
  readonly notices: string[] = [];
  private constructor(readonly dir: string) {}

  static async make(variables: Record<string, string> = {}): Promise<Scene> {
    const scene = new Scene(await Deno.makeTempDir({ prefix: "vz-" }));
    for (const name of ["kernel", "initrd"]) await Deno.writeTextFile(`${scene.dir}/${name}`, name);
    await Deno.mkdir(`${scene.dir}/run`);
    await Deno.truncate(await scene.file("disk.raw"), 1 << 20);
    scene.#set({ VIBE_VZ_LIBRARY: LIBRARY, ...variables });
    return scene;
  }
  #variables: string[] = [];
  #set(variables: Record<string, string>): void {
    for (const [name, value] of Object.entries(variables)) {
      Deno.env.set(name, value);
      this.#variables.push(name);
    }
  }
  async file(name: string, text = ""): Promise<string> {
    await Deno.writeTextFile(`${this.dir}/${name}`, text);
    return `${this.dir}/${name}`;
  }
  config(change: Partial<VmConfig> = {}): VmConfig {
    return {
      name: "test",
      runtimeDir: `${this.dir}/run`,
      cpus: 2,
      memoryMiB: 512,
      boot: this.boot(),
      disks: [{ path: `${this.dir}/disk.raw`, format: "raw" }],
      shares: [{ name: "project", source: this.dir, readOnly: false, guards: [] }],
      network: "nat",
      ...change,
    };
  }
  boot(change: Partial<KernelBoot> = {}): KernelBoot {
    const files = { kernel: `${this.dir}/kernel`, initrd: `${this.dir}/initrd` };
    return { kind: "kernel", ...files, args: ["vibe.word"], ...change };
  }
  start(change: Partial<VmConfig> = {}) {
    return vzDriver.start(this.config(change), (text) => this.notices.push(text));
  }
  async [Symbol.asyncDispose]() {
    for (const name of this.#variables) Deno.env.delete(name);
    await Deno.remove(this.dir, { recursive: true });
  }
}

async function read(stream: { read(p: Uint8Array): Promise<number | null> }): Promise<string> {
  const buffer = new Uint8Array(1000);
  const count = await stream.read(buffer);
  return count === null ? "(end)" : new TextDecoder().decode(buffer.subarray(0, count));
}
const text = (value: string) => new TextEncoder().encode(value);

Deno.test("a VmConfig becomes the machine it describes", async () => {
  await using scene = await Scene.make();
  const config = scene.config({
    memoryMiB: 8192,
    disks: [
      { path: "/d", format: "raw" },
      { path: "/e", format: "raw", readOnly: true },
    ],
    shares: [
      { name: "project", source: "/p", readOnly: false, guards: [] },
      { name: "mount-0", source: "/q", readOnly: true, guards: [] },
    ],
  });
  const identity = { machineIdentifier: "AA==", mac: "02:00:00:00:00:01" };
  const cached = { caching: "cached", synchronization: "fsync" };
  assertEquals(vzConfig(config, vzSockets("/run/v"), identity), {
    cpus: 2,
    memory: 8192 * 1024 * 1024,
    boot: {
      kernel: scene.boot().kernel,
      initrd: scene.boot().initrd,
      commandLine: "console=hvc0 root=/dev/vda rw quiet panic=-1 cryptomgr.notests vibe.word",
    },
    machineIdentifier: "AA==",
    disks: [
      { path: "/d", readOnly: false, ...cached },
      { path: "/e", readOnly: true, ...cached },
    ],
    shares: [{
      tag: "shared",
      directories: [
        { name: "project", path: "/p", readOnly: false },
        { name: "mount-0", path: "/q", readOnly: true },
      ],
    }],
    ports: [
      { socket: "/run/v/console.sock", console: true },
      { socket: "/run/v/agent.sock", name: "vibe.agent" },
    ],
    network: { mode: "nat", mac: "02:00:00:00:00:01" },
  });
  const bare = vzConfig({ ...config, shares: [], network: "none" }, vzSockets("/run/v"), {});
  assertEquals([bare.shares, bare.network, bare.machineIdentifier], [[], undefined, undefined]);
});

Deno.test("both streams are connected, and end with the guest", async () => {
  await using scene = await Scene.make({
    VIBE_DOUBLE_GUEST:
      `set -- $(printf %s "$VIBE_DOUBLE_CONFIG" | grep -o '"fd":[0-9]*' | cut -d: -f2)
      bash -c "echo console >&$1; echo agent >&$2; head -c 4 <&$2 >&$1"`,
  });
  const vm = await scene.start();
  assertEquals(await read(vm.console), "console\n");
  assertEquals(await read(vm.agent), "agent\n");
  await vm.agent.write(text("ping"));
  assertEquals(await read(vm.console), "ping");
  assertEquals(await vm.exited, { reason: "poweroff", detail: "" });
  assertEquals([await read(vm.console), await read(vm.agent)], ["(end)", "(end)"]);
  match(vm.description, /^vz, linux .*, x86_64$/);
  // Sockets are gone once they are connected.
  assertEquals(await Array.fromAsync(Deno.readDir(`${scene.dir}/run`)), []);
  vm.console.close();
  vm.agent.close();
});

Deno.test("pause and resume, the power button, kill", async () => {
  await using scene = await Scene.make();
  {
    await using vm = await scene.start();
    await vm.pause();
    await rejects(vm.pause(), { code: "DRIVER_CONTROL", message: /^Cannot pause the VM: / });
    await vm.resume();
    await vm.console.write(text("echo"));
    assertEquals(await read(vm.console), "echo");
    await vm.kill();
    assertEquals(await vm.exited, { reason: "killed", detail: "" });
    await vm.kill();
    await rejects(vm.requestStop(), { code: "DRIVER_CONTROL" });
    vm.console.close();
    vm.agent.close();
  }
  await using vm = await scene.start();
  await vm.requestStop();
  // cat dies of the signal, which is no clean end of a guest.
  const exit = await vm.exited;
  assertEquals(exit.reason, "failed");
  match(exit.detail, /stopped unexpectedly/);
  vm.console.close();
  vm.agent.close();
});

Deno.test("the machine keeps its identity beside its disk", async () => {
  await using scene = await Scene.make();
  const file = `${scene.dir}/disk.raw.machine.json`;
  const start = async (change: Partial<VmConfig> = {}) => {
    await using vm = await scene.start(change);
    vm.console.close();
    vm.agent.close();
    return await Deno.readTextFile(file);
  };
  const first = await start();
  const { machineIdentifier, mac } = JSON.parse(first);
  ok(machineIdentifier.length >= 8 && /^[0-9a-f:]{17}$/.test(mac), first);
  assertEquals(await start(), first);
  // Without a network it keeps the address for later.
  assertEquals(await start({ network: "none" }), first);
  for (const damaged of ["", "{", "null", '{"machineIdentifier":1}']) {
    await Deno.writeTextFile(file, damaged);
    ok(JSON.parse(await start()).machineIdentifier !== machineIdentifier);
  }
});

Deno.test("what cannot be enforced on macOS is said once", async () => {
  await using scene = await Scene.make();
  const guards = [
    { path: ".vibe", rule: "hide" as const },
    { path: ".git/hooks", rule: "read-only" as const },
  ];
  await using vm = await scene.start({
    shares: [{ name: "project", source: scene.dir, readOnly: false, guards }],
  });
  assertEquals(scene.notices, [
    'macOS cannot keep the guest from changing ".vibe", ".git/hooks" in what is shared with it.',
  ]);
  vm.console.close();
  vm.agent.close();
});

Deno.test("a disk with a boot loader of its own boots by EFI, whose variables are made once", () => {
  const network = "none";
  const config = (boot: Boot) => ({ disks: [], shares: [], network, boot }) as unknown as VmConfig;
  const sockets = vzSockets("/r");
  const efi = config({ kind: "efi", variables: "/v", firmware: null });
  assertEquals(vzConfig(efi, sockets, {}, true).boot, { variableStore: "/v", create: true });
  assertEquals(vzConfig(efi, sockets, {}).boot, { variableStore: "/v", create: false });
  throws(() => vzConfig(config({ kind: "bios" }), sockets, {}), { code: "DRIVER_UNSUPPORTED" });
});

Deno.test("shares come and go while the machine runs", async () => {
  await using scene = await Scene.make({
    VIBE_DOUBLE_LIVE: "1",
    VIBE_DOUBLE_GUEST: 'while read -r line; do echo "$line" >> "$TOLD"; echo; done',
  });
  const told = await scene.file("told");
  Deno.env.set("TOLD", told);
  const names = async () =>
    (await Deno.readTextFile(told)).trim().split("\n").filter(Boolean)
      .map((line) => Object.keys(JSON.parse(line).directories).sort().join());
  const share = { name: "added", source: `${scene.dir}/run`, readOnly: true, guards: [] };
  try {
    await using vm = await scene.start();
    const guard = { path: ".git/hooks", rule: "read-only" as const };
    await vm.addShare({ ...share, guards: [guard] });
    match(scene.notices.join(), /cannot keep the guest from changing "\.git\/hooks"/);
    await rejects(vm.addShare({ ...share, source: `${scene.dir}/disk.raw` }), {
      code: "DRIVER_SHARE",
    });
    await rejects(vm.addShare({ ...share, name: ".." }), {
      code: "SHARE_FAILED",
      message: /^Cannot share ".*\/run": Invalid directory name/,
    });
    await vm.removeShare("project");
    assertEquals(await names(), ["added,project", "added"]);
    await vm.removeShare("added");
    assertEquals((await names()).at(-1), "");
    vm.console.close();
    vm.agent.close();
    await using bare = await scene.start({ shares: [] });
    await rejects(bare.addShare(share), { code: "SHARE_NONE" });
    bare.console.close();
    bare.agent.close();
  } finally {
    Deno.env.delete("TOLD");
  }
});

Deno.test("a machine keeps the variables that its firmware wrote", async () => {
  await using scene = await Scene.make();
  const variables = `${scene.dir}/variables`;
  const start = async () => {
    await using vm = await scene.start({ boot: { kind: "efi", variables, firmware: null } });
    vm.console.close();
    vm.agent.close();
  };
  await start();
  strictEqual(await Deno.readTextFile(variables), "");
  await Deno.writeTextFile(variables, "boot order\n");
  await start();
  strictEqual(await Deno.readTextFile(variables), "boot order\n");
});

Deno.test("a bridge that is not to be had is named, and what it takes", async () => {
  await using scene = await Scene.make();
  await rejects(scene.start({ network: { bridge: "en0" } }), {
    code: "DRIVER_FAILED",
    message: /network\.interface \("en0"\): .*com\.apple\.vm\.networking entitlement/,
  });
  Deno.env.set("VIBE_DOUBLE_BRIDGES", "en0");
  try {
    await using vm = await scene.start({ network: { bridge: "en0" } });
    vm.console.close();
    vm.agent.close();
  } finally {
    Deno.env.delete("VIBE_DOUBLE_BRIDGES");
  }
});

Deno.test("what cannot work is refused before the framework is asked, by name", async () => {
  await using scene = await Scene.make();
  const refused = (change: Partial<VmConfig>, code: string, message: RegExp) =>
    rejects(scene.start(change), { code, message });
  const raw = (path: string) => [{ path, format: "raw" as const }];
  await refused({ boot: scene.boot({ kernel: "/none" }) }, "DRIVER_BOOT_FILE", /kernel "\/none"/);
  await refused({ boot: scene.boot({ initrd: "/none" }) }, "DRIVER_BOOT_FILE", /initrd "\/none"/);
  await refused({ disks: raw("/none") }, "DRIVER_DISK", /disk "\/none"/);
  const odd = await scene.file("odd.raw", "x".repeat(1000));
  await refused({ disks: raw(odd) }, "DRIVER_DISK", /size, 1000, is not a multiple of 512/);
  await refused({ disks: raw(await scene.file("empty")) }, "DRIVER_DISK", /size, 0/);
  const overlay = [{ path: odd, format: "qcow2" as const }];
  await Deno.truncate(odd, 512);
  await refused({ disks: overlay }, "DRIVER_UNSUPPORTED", /raw disks, not qcow2/);
  const share = { name: "one", source: odd, readOnly: true, guards: [] };
  await refused({ shares: [share] }, "DRIVER_SHARE", /odd\.raw": it is not a directory/);
  const wide = { ...share, source: "/" };
  await refused({ shares: [{ ...wide, readOnly: false }] }, "DRIVER_SHARE", /vibe" is in it/);
  await refused({ shares: [wide], disks: raw("/none") }, "DRIVER_DISK", /disk/);
  await refused({ runtimeDir: "/tmp/" + "x".repeat(90) }, "DRIVER_SOCKET_PATH", /too long/);
});

Deno.test("what the framework refuses names the setting and its value", async () => {
  await using scene = await Scene.make();
  await rejects(scene.start({ cpus: 99 }), {
    code: "DRIVER_FAILED",
    message: /^Cannot start the VM: Invalid virtual machine configuration\. The number of CPUs/,
  });
  const share = { name: "..", source: scene.dir, readOnly: false, guards: [] };
  await rejects(scene.start({ shares: [share] }), {
    message: 'Cannot start the VM: shares[0].directories[0].name (".."): Invalid directory name.',
  });
  // Nothing is left of the sockets.
  assertEquals(await Array.fromAsync(Deno.readDir(`${scene.dir}/run`)), []);
});

Deno.test("a missing entitlement has its own error and remedy", async () => {
  await using scene = await Scene.make({ VIBE_DOUBLE_ENTITLED: "0" });
  await rejects(scene.start(), { code: "DRIVER_NOT_ENTITLED", hint: /supervisor in vibe's cache/ });
});

Deno.test("errors of the framework with a remedy say it", () => {
  const config = vzConfig(
    {
      disks: [],
      shares: [],
      boot: { kind: "efi", variables: "/v" },
      network: "none",
    } as unknown as VmConfig,
    vzSockets("/r"),
    {},
  );
  const error = (code: number, domain = "VZErrorDomain") =>
    startError(new VzError({ domain, code, message: "no" }), config).hint;
  match(error(6)!, /stop another one/);
  match(error(8)!, /Make room/);
  assertEquals([error(1), error(6, "vibe")], [undefined, undefined]);
});

Deno.test("macOS 12 and older are refused", () => {
  throws(() => requireMacos13("21.6.0"), { code: "DRIVER_MACOS_OLD" });
  requireMacos13("22.0.0");
  requireMacos13("25.1.0");
});
