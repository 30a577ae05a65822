/** Images as their guests see them: foreign disks, kernels that go, tools, agents, a VM as builder. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { dirname } from "node:path";
import { run } from "../../lib/process.ts";
import { Project, TEST_CACHE } from "../support/vibe.ts";
import { FakeRegistry } from "./fake_registry.ts";
import { Building } from "./support_build.ts";
import { SmallBuild, testImage } from "./support_image.ts";

const MIB = 1 << 20;

/** A disk with a partition that holds the file system of another disk. */
async function partitionedDisk(from: string, to: string): Promise<void> {
  const { size } = await Deno.stat(from);
  const sector = new Uint8Array(512);
  const view = new DataView(sector.buffer);
  sector[446 + 4] = 0x83;
  view.setUint32(446 + 8, MIB / 512, true);
  view.setUint32(446 + 12, size / 512, true);
  sector.set([0x55, 0xaa], 510);
  await Deno.writeFile(to, sector);
  const argv = ["dd", `if=${from}`, `of=${to}`, "bs=1M", "seek=1", "conv=sparse,notrunc"];
  const { success, stderr } = await run(argv);
  ok(success, stderr);
  await Deno.truncate(to, size + MIB);
}

Deno.test("image: a disk with partitions gets our kernel's arguments, initrd and agent", async () => {
  const base = await testImage();
  await using building = await Building.create();
  const { project, name } = building;
  await partitionedDisk(base.disk, project.path("parts.raw"));
  await project.write(
    "fstab.sh",
    "findmnt -no SOURCE /\nsed -i 's:/dev/vda :/dev/vda1 :' /etc/fstab",
  );
  const built = await project.vibe([
    ...["image", "build", name, "--base", "./parts.raw", "--layers", "none"],
    ...["--script", project.path("fstab.sh")],
  ]);
  strictEqual(built.code, 0, built.stderr);
  await Deno.remove(project.path("parts.raw"));
  const info = await building.info();
  strictEqual(info.root, "/dev/vda1");
  strictEqual(info.source, project.path("parts.raw"));
  strictEqual(info.kernelRelease, base.info.kernelRelease);
  const { stdout } = await project.vibe(["--image", name, "run", "findmnt", "-no", "SOURCE", "/"]);
  strictEqual(stdout, "/dev/vda1\n");
});

Deno.test("image: a VM boots, with its modules, though its kernel's package is gone", async () => {
  const base = await testImage();
  await using project = await Project.create();
  const removed = await project.sh(
    // Debian's own package refuses to go while its kernel runs.
    "rm /var/lib/dpkg/info/linux-image-*.prerm\n" +
      'apt-get purge -y "linux-image-$(uname -r)" >&2; ls -A /lib/modules /boot 2>&1',
  );
  match(removed.stdout, /^ls: .*'\/lib\/modules'.*\n\/boot:\n$/, removed.stderr);
  await project.stopped();
  const { stdout, stderr } = await project.sh(
    "uname -r; modprobe vfat && grep -o ^vfat /proc/modules; ls /lib/modules",
  );
  const { kernelRelease } = base.info;
  strictEqual(stdout, `${kernelRelease}\nvfat\n${kernelRelease}\n`, stderr);
});

Deno.test("image: Debian put together in a VM of another image", async () => {
  const { id } = await testImage();
  const root = await Deno.makeTempDir({ dir: "/var/tmp" });
  try {
    // A cache of its own, with that image in it: hard links take no space.
    await Deno.mkdir(`${root}/cache/images`, { recursive: true });
    for (const part of [`bases/${id}`, "images/default.json"]) {
      await Deno.mkdir(dirname(`${root}/cache/${part}`), { recursive: true });
      const { success, stderr } = await run(
        ["cp", "-rl", `${TEST_CACHE}/${part}`, `${root}/cache/${part}`],
      );
      ok(success, stderr);
    }
    const env = { BUILD_IN_VM: "1", VIBE_RUNTIME: `${root}/r`, VIBE_DATA: `${root}/data` };
    const built = await new SmallBuild(`${root}/cache`, env).ended;
    ok(built.event === "built", JSON.stringify(built));
    const dir = `${root}/cache/bases/${built.id}`;
    strictEqual((await run(["/sbin/e2fsck", "-fn", `${dir}/disk.raw`])).code, 0);
    const info = JSON.parse(await Deno.readTextFile(`${dir}/image.json`));
    strictEqual(info.source, "debian");
    ok(info.packages.tree && info.packages.apt && !info.packages.git);
    const { blocks } = await Deno.stat(`${dir}/disk.raw`);
    ok(blocks! * 512 < 0.6e9, `it takes ${blocks! * 512} bytes: holes were filled`);
    const names = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name);
    deepStrictEqual(names.sort(), ["disk.raw", "image.json", "modules", info.kernel].sort());
    deepStrictEqual(await Array.fromAsync(Deno.readDir(`${root}/cache/builds`)), []);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("image: tools and agents, each told of by name", async (test) => {
  await using building = await Building.create();
  const { project, name } = building;
  await test.step("node is there, whatever cannot be reached", async () => {
    const built = await project.vibe([
      ...["image", "build", name, "--base", "default", "--layers", "base,tools"],
    ]);
    strictEqual(built.code, 0, built.stderr);
    const [, tools] = (await building.info()).layers;
    match(tools.installed.node, /^\d+\.\d+\.\d+$/);
    match(tools.installed.npm, /^\d+\.\d+\.\d+$/);
    for (const tool of ["mise", "uv"]) ok(tools.installed[tool] ?? tools.missing[tool], tool);
    for (const [tool, why] of Object.entries(tools.missing)) {
      ok(built.stderr.includes(`The layer "tools" goes without ${tool}: ${why}`), built.stderr);
    }
  });
  await test.step("an agent that cannot be installed does not take the others along", async () => {
    await using registry = new FakeRegistry({
      "@anthropic-ai/claude-code": { claude: "console.log('2.3.4 (Claude Code)')" },
      "@openai/codex": { codex: "process.exit(3)" },
    });
    const built = await project.vibe([
      ...["image", "build", name, "--base", name, "--layers", "agents"],
      ...["--agents", "claude-code,codex,pi"],
      // In capitals Deno would heed it, too.
    ], { env: { npm_config_registry: registry.url } });
    strictEqual(built.code, 0, built.stderr);
    const [agents] = (await building.info()).layers;
    deepStrictEqual(agents.installed, { "claude-code": "2.3.4" });
    deepStrictEqual(agents.missing, {
      codex: "codex was installed, but does not start",
      pi: "npm could not install @earendil-works/pi-coding-agent",
    });
  });
  await test.step("the environment is everyone's, and the build's own is gone", async () => {
    await using _hold = await project.hold(["--image", name]);
    const { stdout } = await project.sh(
      "claude; echo $IS_SANDBOX $GEMINI_SANDBOX $COLORTERM; env | grep -ci -e npm_ -e ca.crt\n" +
        "grep -rs 10.0.2.2 /etc /root; bash -ic 'echo $HISTCONTROL $HISTSIZE' 2>/dev/null",
    );
    strictEqual(stdout, "2.3.4 (Claude Code)\n1 false truecolor\n0\nignoreboth -1\n");
  });
});
