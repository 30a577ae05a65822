/**
 * Disk images that the user names: one that has nothing of vibe, on which there is only a console,
 * and a copy of one of vibe's own. A plain disk boots in 25 s where nothing else runs.
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { basename } from "node:path";
import { diskInstance } from "../../lib/paths.ts";
import { copyPlainDisk } from "../support/plain_disk.ts";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";
import { testImage } from "./support_image.ts";

/** Seconds that a plain disk may take to its prompt on a busy machine. */
const BOOT = 600;
const PROMPT = /root@plain:~\/project# $/;
const AT_PROMPT = /root@plain:~\/project#\s*$/;

/** Resolves when no supervisor holds the VM of a disk any more. */
async function diskStopped(project: Project, disk: string): Promise<void> {
  const { id } = await diskInstance(await Deno.realPath(disk));
  using lock = await Deno.open(`${project.env.VIBE_DATA}/disks/${id}/lock`, {
    read: true,
    write: true,
    create: true,
  });
  await lock.lock(true);
}

const qemus = (project: Project) => project.processes(`${project.env.VIBE_RUNTIME}/`);

Deno.test("a disk with nothing of vibe, at its console", async (t) => {
  // QEMU's BIOS and UEFI are what is tested here, whatever driver the run is for.
  await using project = await Project.create("project", {});
  const disk = project.path("plain.raw");
  await copyPlainDisk(disk);
  const data = await Deno.makeTempDir();
  await Deno.writeTextFile(`${data}/file`, "from the host\n");
  await project.write("hello", "project file\n");
  const mount = ["--mount", `${data}:it's data:read-only`];
  const script = async (text: string) => {
    await Deno.writeTextFile(`${data}/script.sh`, text);
    return ["--script", `${data}/script.sh`];
  };

  await t.step("BIOS, login, shares, sizes, a second command, what it leaves", async (t) => {
    using terminal = new TestTerminal(vibeCommand(...mount, disk), {
      cwd: project.dir,
      env: project.env,
    });

    await t.step(
      "the first thing that is seen of the guest is a prompt, in the project",
      async () => {
        await terminal.waitFor(AT_PROMPT, BOOT);
        ok(!terminal.text.includes("login:"), terminal.text);
        match(terminal.raw.replaceAll(/\x1b\[[0-9;?]*[a-zA-Z]/g, ""), PROMPT);
      },
    );

    await t.step(
      "shares are mounted, read-only holds, the disk's own file is guarded",
      async () => {
        terminal.type(
          'cat hello ~/it*/file; touch "$HOME/it\'s data/new" ./new; echo x >>plain.raw\r',
        );
        await terminal.waitFor(
          /^project file\nfrom the host\n(.*\n)*touch: .*Read-only file system$/m,
        );
        await terminal.waitFor(/plain\.raw: Read-only file system\n(.*\n)*root@plain/);
        ok(await Deno.stat(project.path("new")));
      },
    );

    await t.step("the window's size is right at the start and after a change", async () => {
      terminal.type("stty size\r");
      await terminal.waitFor(/^30 100$/m);
      terminal.resize(80, 20);
      // The guest is told beside what is typed, so a moment later.
      terminal.type("until stty size | grep -x '20 80'; do sleep 0.2; done; echo re''sized\r");
      await terminal.waitFor(/^20 80\nresized$/m);
    });

    await t.step("a second command shares the VM, and its script's output is clean", async () => {
      const noise = "\x00\x01\x03\x04\x11\x13\x16\x1a\x7f\xff".repeat(500) + "x".repeat(10_000);
      const args = await script(
        "#!/bin/bash\necho '<<<'; echo \"$0\"; cat hello\tnothing; wc -c <$0; echo '>>>'; exit 9\n" +
          `VIBE_SCRIPT_EOF 'quote" $HOME\n${noise}`,
      );
      const size = (await Deno.stat(`${data}/script.sh`)).size;
      const result = `${data}/result`;
      const { code, stdout, stderr } = await project.vibe([...args, "--result", result, disk]);
      strictEqual(stderr, "");
      const { status, stdoutBytes } = JSON.parse(await Deno.readTextFile(result));
      deepStrictEqual([status, stdoutBytes], [9, stdout.length]);
      match(
        stdout,
        new RegExp(`^<<<\n/tmp/\\S+/script\\.sh\nproject file\ncat: [^\n]*\n${size}\n>>>\n$`),
      );
      strictEqual(code, 9);
      terminal.type("ls /tmp/*/script.sh; echo lo''oked\r");
      await terminal.waitFor(/cannot access[^\n]*\n(.*\n)*looked$/m);
    });

    await t.step("what vibe typed is not in the history", async () => {
      terminal.type("history | grep -c vibe[_]; echo coun''ted\r");
      await terminal.waitFor(/^0\ncounted$/m);
    });

    await t.step("somebody else's disk is refused, with who holds it", async () => {
      const env = { VIBE_DATA: `${data}/other`, VIBE_RUNTIME: `${data}/r` };
      const { code, stderr } = await project.vibe([disk], { env });
      strictEqual(code, 125, stderr);
      match(
        stderr,
        /Cannot use the disk ".*plain\.raw": it is open in .*qemu-system-x86 \(process \d+\)/,
      );
    });

    await t.step("exit ends it with its status, and the guest in good order", async () => {
      terminal.type("echo kept >/etc/kept; exit 4\r");
      strictEqual(await terminal.exited, 4);
      await diskStopped(project, disk);
      strictEqual((await qemus(project)).length, 0);
    });
  });

  await t.step("UEFI: what was written is there; an --expect in vain ends the VM", async () => {
    // Without code in its boot sector the disk is one for UEFI.
    using file = await Deno.open(disk, { write: true });
    await file.write(new Uint8Array(440));
    const args = [...await script("cat /etc/kept; ls /sys/firmware\n"), "--send", "echo o''ne"];
    const { code, stdout, stderr } = await project.vibe(
      ["--yes", ...mount, ...args, "--expect", "one", "--expect", "never", "2", disk],
    );
    match(stdout, /^kept\r?\n(.*\n)*.*\befi\b/m);
    match(stderr, /Waited 2 seconds for "never" in vain\nThe VM is stopped\.\n.*\n(.*\n)*one\n/);
    strictEqual(code, 123);
    await diskStopped(project, disk);
    strictEqual((await qemus(project)).length, 0);
  });
  await Deno.remove(data, { recursive: true });
});

Deno.test("a copy of one of vibe's images boots with the agent, in place", async () => {
  await using project = await Project.create("group", {});
  const base = await testImage();
  const disk = project.path("group.raw");
  await new Deno.Command("cp", { args: ["--sparse=always", base.disk, disk] }).output();
  await project.write("agent.sh", "echo '<<<'; cat >>/root/runs; wc -l </root/runs; echo '>>>'\n");
  const runs = async (name: string) => {
    const { code, stdout, stderr } = await project.vibe(
      ["--mount", `${project.dir}:/workspace`, "--script", "agent.sh", "--no-default-mounts", name],
    );
    strictEqual(code, 0, stderr);
    await diskStopped(project, project.path(basename(name)));
    return stdout;
  };
  await project.write(
    "agent.sh",
    "echo '<<<'; echo x >>/root/runs; wc -l </root/runs; echo '>>>'\n",
  );
  strictEqual(await runs("group.raw"), "<<<\n1\n>>>\n");
  const qcow2 = project.path("group.qcow2");
  await new Deno.Command("qemu-img", { args: ["convert", "-O", "qcow2", disk, qcow2] }).output();
  strictEqual(await runs(qcow2), "<<<\n2\n>>>\n");
  ok(!(await Array.fromAsync(Deno.readDir(project.dir))).some(({ name }) => name === ".vibe"));
});

Deno.test("what cannot be used as a disk is refused at once", async (t) => {
  await using project = await Project.create("project", {});
  const qcow2 = async (name: string, ...options: string[]) => {
    const args = ["create", "-q", "-f", "qcow2", ...options, project.path(name), "1M"];
    const { success } = await new Deno.Command("qemu-img", { args }).output();
    ok(success);
  };
  await project.write("secret.raw", "x".repeat(1024));
  await qcow2("backed.qcow2", "-b", project.path("secret.raw"), "-F", "raw");
  await qcow2("apart.qcow2", "-o", `data_file=${project.path("data")}`);
  await qcow2("empty.qcow2");
  await project.write("text.raw", "no disk\n");
  const cases: [string[], number, RegExp][] = [
    [["lss"], 2, /There is no command "lss"\nDid you mean `vibe ls`\?/],
    [["none.raw"], 125, /Cannot use the disk "none\.raw": there is no such file/],
    [["./"], 125, /it is not a regular file/],
    [["text.raw"], 125, /Cannot use the disk ".*text\.raw": it holds neither/],
    [["backed.qcow2"], 125, /it stands on another file/],
    [["apart.qcow2"], 125, /its data are in another file/],
    [["empty.qcow2"], 125, /Cannot boot ".*empty\.qcow2": no boot loader is on it/],
    [["--image", "default", "empty.qcow2"], 2, /Cannot use --image together with a disk image/],
    [["--name", "x", "empty.qcow2"], 2, /Cannot use --name together with a disk image/],
    [["a.raw", "b.raw"], 2, /one disk image is enough/],
    [["--script", "none.sh"], 2, /Cannot run the script "none\.sh": there is no such file/],
    [["--json", "--send", "true"], 2, /Cannot report on --send/],
  ];
  for (const [args, code, message] of cases) {
    await t.step(args.join(" "), async () => {
      const output = await project.vibe(args);
      match(output.stderr, message);
      strictEqual(output.code, code);
    });
  }
  deepStrictEqual(await project.ownProcesses("__supervise"), []);
});
