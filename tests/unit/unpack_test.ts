/** Archives from a guest: good ones, and those that want out of their directory. */

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { unpack } from "../../lib/host/unpack.ts";
import { run } from "../../lib/process.ts";

interface Entry {
  name: string;
  type?: string;
  link?: string;
  content?: string;
  mode?: number;
  size?: number;
}

const utf8 = new TextEncoder();

/** One tar entry, as a guest may write it. */
function entry({ name, type = "0", link = "", content = "", mode = 0o644, size }: Entry) {
  const data = utf8.encode(content);
  const bytes = new Uint8Array(512 + Math.ceil(data.length / 512) * 512);
  const put = (at: number, text: string) => bytes.set(utf8.encode(text), at);
  put(0, name);
  put(100, mode.toString(8).padStart(7, "0"));
  put(124, (size ?? data.length).toString(8).padStart(11, "0"));
  put(136, "00000000001");
  put(148, "        ");
  put(156, type);
  put(157, link);
  put(257, "ustar  ");
  const sum = bytes.subarray(0, 512).reduce((a, b) => a + b, 0);
  put(148, sum.toString(8).padStart(6, "0") + "\0 ");
  bytes.set(data, 512);
  return bytes;
}

async function inPlace(
  archive: Uint8Array[],
  look: (dir: string) => Promise<void> = async () => {},
  chunk = 700,
): Promise<string[]> {
  const bytes = new Uint8Array(await new Blob(archive as BlobPart[]).arrayBuffer());
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/in`);
    await Deno.writeTextFile(`${root}/outside`, "untouched");
    let at = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= bytes.length) return controller.close();
        controller.enqueue(bytes.slice(at, at += chunk));
      },
    });
    const { skipped } = await unpack(stream, `${root}/in`);
    await look(`${root}/in`);
    return skipped;
  } finally {
    strictEqual(await Deno.readTextFile(`${root}/outside`), "untouched");
    deepStrictEqual([...Deno.readDirSync(root)].map(({ name }) => name).sort(), ["in", "outside"]);
    await Deno.remove(root, { recursive: true });
  }
}

const END = new Uint8Array(1024);
const DIR: Entry = { name: "./d/", type: "5", mode: 0o755 };

for (const chunk of [1, 511, 100_000]) {
  Deno.test(`what GNU tar writes is what comes out, in chunks of ${chunk}`, async () => {
    const dir = await Deno.makeTempDir();
    const long = `${"l".repeat(120)}/${"m".repeat(120)}`;
    await Deno.mkdir(`${dir}/d/${long.slice(0, 120)}`, { recursive: true });
    await Deno.writeTextFile(`${dir}/d/${long}`, "long\n");
    await Deno.writeTextFile(`${dir}/d/x`, "x".repeat(1000), { mode: 0o750 });
    await Deno.link(`${dir}/d/x`, `${dir}/d/hard`);
    await Deno.symlink("../../outside", `${dir}/d/soft`);
    await Deno.mkdir(`${dir}/d/sealed`);
    await Deno.writeTextFile(`${dir}/d/sealed/in`, "");
    await Deno.chmod(`${dir}/d/sealed`, 0o500);
    await run(["tar", "-cf", `${dir}/a.tar`, "-C", dir, "--", "./d"]);
    await inPlace([await Deno.readFile(`${dir}/a.tar`)], async (out) => {
      const { stdout } = await run([
        "diff",
        "-r",
        "--no-dereference",
        `${dir}/d`,
        `${out}/content`,
      ]);
      strictEqual(stdout, "");
      const info = await Deno.stat(`${out}/content/hard`);
      deepStrictEqual([info.nlink, (info.mode ?? 0) & 0o7777], [2, 0o750]);
      strictEqual(((await Deno.stat(`${out}/content/sealed`)).mode ?? 0) & 0o777, 0o500);
    }, chunk);
    await Deno.chmod(`${dir}/d/sealed`, 0o700);
    await Deno.remove(dir, { recursive: true });
  });
}

const HOSTILE: [string, Entry[]][] = [
  ["a name with ..", [DIR, { name: "d/../../outside", content: "bad" }]],
  ["an absolute name", [DIR, { name: "/tmp/vibe-evil", content: "bad" }]],
  ["a thing beside", [DIR, { name: "e", content: "bad" }]],
  ["a file in no directory", [{ name: "d/sub/x", content: "bad" }]],
  ["a file below a link", [DIR, { name: "d/l", type: "2", link: "../.." }, {
    name: "d/l/outside",
    content: "bad",
  }]],
  ["a file in a link's place", [DIR, { name: "d/l", type: "2", link: "../../outside" }, {
    name: "d/l",
    content: "bad",
  }]],
  ["a hard link out", [DIR, { name: "d/h", type: "1", link: "../outside" }]],
  ["a hard link to a link", [DIR, { name: "d/l", type: "2", link: "/etc/passwd" }, {
    name: "d/h",
    type: "1",
    link: "d/l",
  }]],
  ["the same file twice", [DIR, { name: "d/x" }, { name: "d/x", content: "bad" }]],
  ["a directory over a file", [DIR, { name: "d/x" }, { name: "d/x", type: "5" }]],
  ["an unknown type", [DIR, { name: "d/x", type: "Z" }]],
  ["an endless name", [{ name: "@", type: "L", size: 1 << 30 }]],
];

for (const [what, entries] of HOSTILE) {
  Deno.test(`refused: ${what}`, async () => {
    await rejects(inPlace([...entries.map(entry), END]), { code: "COPY_REFUSED" });
  });
}

Deno.test("devices and pipes are left out, set-user-ID bits as well; a cut archive fails", async () => {
  const entries: Entry[] = [
    DIR,
    { name: "d/sda", type: "4" },
    { name: "d/pipe", type: "6" },
    { name: "d/su", content: "x", mode: 0o4755 },
  ];
  const skipped = await inPlace([...entries.map(entry), END], async (dir) => {
    strictEqual(((await Deno.stat(`${dir}/content/su`)).mode ?? 0) & 0o7777, 0o755);
  });
  deepStrictEqual(skipped, ["d/sda", "d/pipe"]);
  await rejects(inPlace(entries.map(entry)), { code: "COPY_FAILED" });
  const damaged = entry(DIR);
  damaged[0] ^= 1;
  await rejects(inPlace([damaged, END]), { code: "COPY_REFUSED" });
});

Deno.test("zeros become holes", async () => {
  const size = 8 << 20;
  await inPlace([entry({ name: "z", size }), new Uint8Array(size), END], async (dir) => {
    const info = await Deno.stat(`${dir}/content`);
    strictEqual(info.size, size);
    strictEqual((info.blocks ?? 0) < 100, true);
  }, 1 << 20);
});
