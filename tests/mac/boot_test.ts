/**
 * The whole macOS path with a real guest: the command, the supervisor, the driver, the FFI, the bridge
 * (both builds), the double of the framework, which has QEMU run the machine that was configured,
 * Debian, its agent.
 */

import { match, ok, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { makePlan } from "../../lib/cli/make_plan.ts";
import type { Driver } from "../../lib/driver/driver.ts";
import { vzDriver } from "../../lib/driver/vz.ts";
import { makeRuntime, removeRuntime, vmRuntime } from "../../lib/instance/runtime.ts";
import { Supervisor } from "../../lib/instance/supervisor.ts";
import { instancePaths } from "../../lib/paths.ts";
import { run } from "../../lib/process.ts";
import { silentProgress } from "../../lib/progress.ts";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";
import { build, buildDylib } from "./build.ts";

const GUEST = fileURLToPath(new URL("double/guest.ts", import.meta.url));

/** A supervisor in this process whose driver is the one for macOS. Ends with its last command. */
class VzSupervisor implements AsyncDisposable {
  readonly log: string[] = [];
  #ended = Promise.resolve();

  /** Serves the project; commands that are run in it find this supervisor. */
  async serve(project: Project, library: string): Promise<void> {
    const variables = {
      ...project.env,
      VIBE_VZ_LIBRARY: library,
      VIBE_DOUBLE_GUEST: `exec '${Deno.execPath()}' run -A '${GUEST}'`,
    };
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    await Deno.mkdir(project.path(".vibe"));
    const paths = instancePaths(project.dir);
    const plan = await makePlan(paths, { yes: true, git: "rw" }, silentProgress, () => {});
    const disk = project.path("../disk.raw");
    const copied = await run(["cp", "--sparse=always", "--reflink=auto", plan.base.disk, disk]);
    if (!copied.success) throw new Error(copied.stderr);
    const runtime = await vmRuntime(project.dir);
    await makeRuntime(runtime);
    const listener = Deno.listen({ transport: "unix", path: runtime.socket });
    // The plan's disk is a qcow2 overlay; this driver takes a clone.
    const driver: Driver = {
      name: "vz",
      start: (config, notice) =>
        vzDriver.start({ ...config, disks: [{ path: disk, format: "raw" }] }, notice),
    };
    const supervisor = new Supervisor(plan, runtime, driver, (line) => this.log.push(line));
    this.#ended = supervisor.run(listener).finally(() => removeRuntime(runtime));
  }

  async [Symbol.asyncDispose]() {
    await this.#ended;
    Deno.env.delete("VIBE_MACHO");
  }
}

const BUILDS = [
  { name: "ELF build", library: () => build("elf") },
  {
    name: "x86_64 bytes that ship",
    library: async () => {
      Deno.env.set("VIBE_MACHO", await buildDylib());
      return await build("macho");
    },
  },
];

for (const { name, library } of BUILDS) {
  Deno.test(`a Debian guest through the bridge: ${name}`, async (t) => {
    await using project = await Project.create();
    await project.write("from-host", "hello\n");
    await using supervisor = new VzSupervisor();
    await supervisor.serve(project, await library());
    await using _hold = await project.hold();

    await t.step("vibe run -- uname -a", async () => {
      const { code, stdout, stderr } = await project.vibe(["run", "--", "uname", "-a"]);
      strictEqual(stderr, "");
      match(stdout, /^Linux vibe .*GNU\/Linux\n$/);
      strictEqual(code, 0);
      ok(supervisor.log.some((line) => /^started: vz, /.test(line)), supervisor.log.join("\n"));
    });

    await t.step("the machine is the one that was configured", async () => {
      const { stdout } = await project.sh(
        "nproc; cat /sys/class/net/eth0/address /proc/cmdline; cat /sys/class/virtio-ports/*/name",
      );
      const [cpus, mac, words, port] = stdout.split("\n");
      const identity = JSON.parse(await project.read("../disk.raw.machine.json"));
      strictEqual(cpus, "2");
      strictEqual(mac, identity.mac);
      match(words, /^console=hvc0 root=\/dev\/vda rw quiet panic=-1 cryptomgr\.notests$/);
      strictEqual(port, "vibe.agent");
    });

    await t.step("files travel both ways through the share", async () => {
      const { stdout } = await project.sh("cat from-host; echo hi > from-guest; mount -t virtiofs");
      match(stdout, /^hello\n/);
      strictEqual(await project.read("from-guest"), "hi\n");
    });

    await t.step("an interactive shell", async () => {
      using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
      await terminal.waitFor(/root@vibe:~\/project#\s*$/);
      terminal.type("stty size; exit 7\r");
      await terminal.waitFor(/30 100/);
      strictEqual(await terminal.exited, 7);
    });

    await t.step("the network comes by DHCP", async () => {
      const script = "for i in $(seq 300); do ip -o route show default | grep -q via && break; " +
        "sleep 0.1; done; ip -o route show default";
      match((await project.sh(script)).stdout, /^default via 10\.0\.2\.2 dev eth0 /);
    });
  });
}
