/**
 * The whole macOS path with a real guest: the command, the supervisor, the driver, the FFI, the bridge
 * (both builds), the double of the framework, which has QEMU run the machine that was configured,
 * Debian, its agent.
 */

import { match, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";
import { build, buildDylib } from "./build.ts";

const GUEST = fileURLToPath(new URL("double/guest.ts", import.meta.url));

/** What makes the real command and its supervisor run on the double. */
function onTheDouble(library: string): Record<string, string> {
  return {
    VIBE_DRIVER: "vz",
    VIBE_VZ_LIBRARY: library,
    VIBE_DOUBLE_GUEST: `exec '${Deno.execPath()}' run -A '${GUEST}'`,
  };
}

const BUILDS = [
  { name: "ELF build", env: async () => onTheDouble(await build("elf")) },
  {
    name: "x86_64 bytes that ship",
    env: async () => ({
      ...onTheDouble(await build("macho")),
      VIBE_MACHO: await buildDylib(),
    }),
  },
];

for (const { name, env } of BUILDS) {
  Deno.test(`a Debian guest through the bridge: ${name}`, async (t) => {
    await using project = await Project.create();
    await project.write("from-host", "hello\n");
    Object.assign(project.env, await env());
    await using _hold = await project.hold();

    await t.step("vibe run -- uname -a", async () => {
      const { code, stdout, stderr } = await project.vibe(["run", "--", "uname", "-a"]);
      strictEqual(stderr, "");
      match(stdout, /^Linux vibe .*GNU\/Linux\n$/);
      strictEqual(code, 0);
      match(await project.read(".vibe/supervisor.log"), / started: vz, /);
    });

    await t.step("the machine is the one that was configured", async () => {
      const { stdout } = await project.sh(
        "nproc; cat /sys/class/net/eth0/address /proc/cmdline; cat /sys/class/virtio-ports/*/name",
      );
      const [cpus, mac, words, port] = stdout.split("\n");
      const identity = JSON.parse(await project.read(".vibe/disk.raw.machine.json"));
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
