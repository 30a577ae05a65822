/**
 * The whole macOS path with a real guest: the command, the supervisor, the driver, the FFI, the bridge
 * (both builds), the double of the framework, which has QEMU run the machine that was configured,
 * Debian, its agent.
 */

import { match, ok, strictEqual } from "node:assert/strict";
import { onTheDouble } from "../support/driver.ts";
import { TestTerminal } from "../support/terminal.ts";
import { Project, TEST_CACHE, vibeCommand } from "../support/vibe.ts";

const BUILDS = [
  { name: "ELF build", bytes: "elf" },
  { name: "x86_64 bytes that ship", bytes: "macho" },
] as const;

for (const { name, bytes } of BUILDS) {
  Deno.test(`a Debian guest through the bridge: ${name}`, async (t) => {
    await using project = await Project.create("project", await onTheDouble(bytes));
    await project.write("from-host", "hello\n");
    await project.sh("date +%s >/root/stays; ls -A >/root/seen; mkdir .vibe; touch .vibe/disk.raw");
    await project.stopped();
    await using _hold = await project.hold();

    await t.step(
      "it is the machine of before, whatever the guest put into the project",
      async () => {
        const { stdout } = await project.sh("wc -l </root/stays; cat /root/seen; rm -r .vibe");
        strictEqual(stdout, "1\nfrom-host\n");
      },
    );

    await t.step("vibe run -- uname -a", async () => {
      const { code, stdout, stderr } = await project.vibe(["run", "--", "uname", "-a"]);
      strictEqual(stderr, "");
      match(stdout, /^Linux vibe .*GNU\/Linux\n$/);
      strictEqual(code, 0);
      match(await Deno.readTextFile(project.state("supervisor.log")), / started: vz, /);
    });

    await t.step("its supervisor runs in the signed copy", async () => {
      const supervisors = await project.ownProcesses("__supervise");
      strictEqual(supervisors.length, 1);
      const executable = await Deno.readLink(`/proc/${supervisors[0].pid}/exe`);
      ok(executable.startsWith(`${TEST_CACHE}/supervisor/`), executable);
      match(executable, /\/vibe-supervisor-[0-9a-f]{16}$/);
    });

    await t.step("the machine is the one that was configured", async () => {
      const { stdout } = await project.sh(
        "nproc; cat /sys/class/net/eth0/address /proc/cmdline; cat /sys/class/virtio-ports/*/name",
      );
      const [cpus, mac, words, port] = stdout.split("\n");
      const identity = JSON.parse(await Deno.readTextFile(project.state("disk.raw.machine.json")));
      strictEqual(cpus, "2");
      strictEqual(mac, identity.mac);
      match(
        words,
        /^console=hvc0 root=\/dev\/vda rw quiet panic=-1 cryptomgr\.notests vibe\.grow$/,
      );
      strictEqual(port, "vibe.agent");
    });

    await t.step("files travel both ways through the share", async () => {
      const { stdout } = await project.sh("cat from-host; echo hi > from-guest; mount -t virtiofs");
      match(stdout, /^hello\n/);
      strictEqual(await project.read("from-guest"), "hi\n");
    });

    await t.step("nothing of the VM's own is where the guest could reach it", async () => {
      // The test's cache may add a share to each VM.
      const { stdout } = await project.sh(
        "mkdir /all && mount -t virtiofs shared /all && cd /all && " +
          "find . -path ./cache-mise -prune -o -print | sort",
      );
      strictEqual(stdout, ".\n./project\n./project/from-guest\n./project/from-host\n");
      for (const name of ["disk.raw", "disk.raw.machine.json", "instance.json", "lock"]) {
        ok((await Deno.stat(project.state(name))).isFile, name);
      }
    });

    await t.step("an interactive shell", async () => {
      using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
      await terminal.waitFor(/root@vibe:~\/project#\s*$/);
      terminal.type("stty size; exit 7\r");
      await terminal.waitFor(/30 100/);
      strictEqual(await terminal.exited, 7);
    });

    await t.step("the network comes by DHCP", async () => {
      await project.online();
      const { stdout } = await project.sh("ip -o route show default");
      match(stdout, /^default via 10\.0\.2\.2 dev eth0 /);
    });
  });
}
