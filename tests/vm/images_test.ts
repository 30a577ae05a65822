/** Images that are rebuilt, VMs that start over, disks that grow, and what may then be removed. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { run } from "../../lib/process.ts";
import { testImage } from "./support_image.ts";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

/**
 * A project with a cache of its own, whose bases are hard links to those of the shared one: nobody
 * writes to a base.
 */
class ImageProject {
  readonly project: Project;
  readonly cache: string;
  readonly #base: Awaited<ReturnType<typeof testImage>>;

  private constructor(project: Project, base: Awaited<ReturnType<typeof testImage>>) {
    this.project = project;
    this.#base = base;
    // On the same file system as the shared cache, or there could be no links.
    this.cache = `${base.dir}/../../../vibe-images-test-${Deno.pid}`;
    project.env.VIBE_CACHE = this.cache;
  }

  static async create(): Promise<ImageProject> {
    return new ImageProject(await Project.create(), await testImage());
  }

  /** A new base, as if it had been built now, and what `default` means from now on. */
  async rebuild(id: string): Promise<void> {
    const dir = `${this.cache}/bases/${id}`;
    await Deno.mkdir(`${this.cache}/bases`, { recursive: true });
    await Deno.mkdir(`${this.cache}/images`, { recursive: true });
    const copied = await run(["cp", "-al", "--", this.#base.dir, dir]);
    strictEqual(copied.code, 0, copied.stderr);
    await Deno.remove(`${dir}/image.json`);
    const info = { ...this.#base.info, id, created: new Date().toISOString() };
    await Deno.writeTextFile(`${dir}/image.json`, JSON.stringify(info));
    const name = JSON.stringify({ base: id });
    await Deno.writeTextFile(`${this.cache}/images/default.json`, name);
  }

  /** Puts the disk of a base into a partition, the only one in a table of the PC. */
  async partition(id: string): Promise<void> {
    const dir = `${this.cache}/bases/${id}`;
    const disk = `${dir}/disk.raw`;
    const offset = 1 << 20;
    const { size } = await Deno.stat(disk);
    // At once where the file system can; by reading 20 GiB of holes where not.
    const script = 'cp --sparse=always --reflink=auto -- "$1" "$1.new" && ' +
      '{ fallocate --insert-range -o 0 -l "$2" "$1.new" 2>/dev/null || ' +
      'dd if="$1" of="$1.new" bs="$2" seek=1 conv=sparse status=none; } && mv "$1.new" "$1"';
    const moved = await run(["sh", "-c", script, "sh", disk, `${offset}`]);
    strictEqual(moved.code, 0, moved.stderr);
    const table = new DataView(new ArrayBuffer(512));
    table.setUint8(446 + 4, 0x83);
    table.setUint32(446 + 8, offset / 512, true);
    table.setUint32(446 + 12, size / 512, true);
    table.setUint16(510, 0xaa55, true);
    using file = await Deno.open(disk, { write: true });
    await file.write(new Uint8Array(table.buffer));
    const info = JSON.parse(await Deno.readTextFile(`${dir}/image.json`));
    const partitioned = { ...info, root: "/dev/vda1", diskBytes: size + offset };
    await Deno.writeTextFile(`${dir}/image.json`, JSON.stringify(partitioned));
  }

  bases(): string[] {
    return [...Deno.readDirSync(`${this.cache}/bases`)].filter((e) => e.isDirectory)
      .map(({ name }) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.project[Symbol.asyncDispose]();
    await Deno.remove(this.cache, { recursive: true });
  }
}

/** Size of the file system of `/` in the guest, in GiB. */
async function rootSize(project: Project, options: string[] = []): Promise<number> {
  const { stdout, stderr } = await project.sh("df --output=size -B1M / | tail -n1", options);
  ok(/^ *\d+\n$/.test(stdout), stderr);
  return Number(stdout) / 1024;
}

Deno.test("an image that is rebuilt, and the VM that was made from the old one", async (t) => {
  await using images = await ImageProject.create();
  const { project } = images;
  await images.rebuild("first");

  await t.step("while its VM runs, an image is in use, and the VM cannot be reset", async () => {
    await using _hold = await project.hold();
    strictEqual((await project.sh("touch /root/mark")).code, 0);
    const removed = await project.vibe(["image", "rm", "default"]);
    strictEqual(removed.code, 125);
    ok(removed.stderr.includes(`a VM is made from it: "${project.dir}"`), removed.stderr);
    const reset = await project.vibe(["--reset", "run", "true"]);
    strictEqual(reset.code, 125);
    match(reset.stderr, /^vibe: Cannot reset the VM of ".*": it runs$/m);
    match((await project.vibe(["--disk", "30", "run", "true"])).stderr, /runs, with --disk 20$/m);
    strictEqual((await project.vibe(["--disk", "20", "run", "true"])).code, 0);

    await images.rebuild("second");
    const notes: boolean[] = [];
    for (let shell = 0; shell < 2; shell++) {
      using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
      await terminal.waitFor(/:~\/project#/);
      notes.push(/The image "default" was built anew/.test(terminal.text));
      terminal.type("exit\r");
      await terminal.exited;
    }
    deepStrictEqual(notes, [true, false]);
  });

  await t.step("it stays as it is until it is reset; then the old base can go", async () => {
    await project.stopped();
    deepStrictEqual(await project.vibe(["prune"]).then(({ code }) => code), 0);
    deepStrictEqual(images.bases(), ["first", "second"]);
    const kept = await project.sh("ls /root/mark");
    deepStrictEqual([kept.code, kept.stdout], [0, "/root/mark\n"], kept.stderr);
    ok(!kept.stderr.includes("built anew"), kept.stderr);
    // Its last session has only just left.
    const fresh = await project.sh("ls /root/mark", ["--reset"]);
    deepStrictEqual([fresh.code, fresh.stdout], [2, ""]);
    const [image] = JSON.parse((await project.vibe(["image", "ls", "--json"])).stdout);
    deepStrictEqual([image.base, image.usedBy[0].title], ["second", project.dir]);
    const pruned = await project.vibe(["prune"]);
    match(pruned.stdout, /^base +\d\.\d GB +\/.*\/first$/m);
    match(pruned.stdout, /^Freed \d\.\d GB\.$/m);
    deepStrictEqual(images.bases(), ["second"]);
  });

  await t.step("its disk grows, its file system with it, and neither shrinks", async () => {
    await project.stopped();
    const size = await rootSize(project, ["--disk", "25"]);
    ok(size > 23 && size < 25, `${size}`);
    await project.stopped();
    const { code, stderr } = await project.vibe(["--disk", "21", "run", "true"]);
    strictEqual(code, 2);
    match(
      stderr,
      /^vibe: Cannot make the disk smaller: the VM's disk has 25 GiB, and --disk .* 21$/m,
    );
    strictEqual(await rootSize(project), size);
  });

  await t.step(
    "a cache that is read-only starts VMs, and says that it cannot be changed",
    async () => {
      await project.stopped();
      const script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$2" && ' +
        'shift 2 && "$@" run -- echo up && "$@" image reset';
      const { code, stdout, stderr } = await run([
        ...["unshare", Deno.uid() === 0 ? "-m" : "-Urm", "sh", "-c", script, "sh"],
        ...[await Deno.realPath(images.cache), project.dir, ...vibeCommand()],
      ], { env: project.env });
      deepStrictEqual([code, stdout], [125, "up\n"], stderr);
      match(stderr, /^vibe: Cannot write in ".*\/images": /m);
    },
  );
});

Deno.test("a larger image: its VMs fill it; export and import make the same VM again", async () => {
  await using images = await ImageProject.create();
  const { project, cache } = images;
  await images.rebuild("first");
  strictEqual((await project.vibe(["image", "resize", "default", "24"])).code, 0);
  const size = await rootSize(project);
  ok(size > 22 && size < 24, `${size}`);
  await project.stopped();
  const file = `${cache}/default.image`;
  const exported = await project.vibe(["image", "export", "default", file]);
  strictEqual(exported.code, 0, exported.stderr);
  const imported = await project.vibe(["image", "import", file, "copy"]);
  strictEqual(imported.code, 0, imported.stderr);
  strictEqual(imported.stderr.match(/sha256 .*/)?.[0], exported.stderr.match(/sha256 .*/)?.[0]);
  const copy = await project.sh("df --output=size -B1M / | tail -n1", [
    "--reset",
    "--image",
    "copy",
  ]);
  strictEqual(Number(copy.stdout) / 1024, size, copy.stderr);
});

Deno.test("a disk with partitions: the last one grows, and the file system in it", async () => {
  await using images = await ImageProject.create();
  const { project } = images;
  await images.rebuild("first");
  await images.partition("first");
  const before = await rootSize(project);
  ok(before > 18 && before < 20, `${before}`);
  await project.stopped();
  const after = await rootSize(project, ["--disk", "30"]);
  ok(after > 28 && after < 30, `${after}`);
  await project.stopped();
  const { stdout } = await project.sh("cat /sys/class/block/vda1/size /sys/class/block/vda/size");
  const [partition, disk] = stdout.trim().split("\n").map(Number);
  deepStrictEqual([disk, disk - partition], [30 * 2 ** 21, 2048]);
});
