/** (g) Downloading, verifying and unpacking a disk, beside a pipeline of the usual programs. */

import { fileURLToPath } from "node:url";
import type { Measure } from "./measures.ts";

const PROGRAM = fileURLToPath(import.meta.resolve("../support/make_source_disk.ts"));

/** Size of the archive; what is in it is four times as large, as in Debian's. */
const ARCHIVE_BYTES = 200e6;

const RUNS = 3;

/**
 * Makes disk.tar.xz of parts, for to compress all of it would take a minute: a stream in the xz
 * format can be several, one after the other. The parts are of Deno, which is on every host.
 */
const MAKE_ARCHIVE = `
cd "$1"
head -c 70M "$2" > part
printf '\\125\\252' | dd of=part bs=1 seek=510 conv=notrunc status=none
xz -2 -T0 part
count=$(($3 / $(stat -c %s part.xz)))
truncate -s $((70 * count))M disk.raw
{
  tar --create disk.raw | head -c 512 | xz
  for i in $(seq "$count"); do cat part.xz; done
  head -c 1024 /dev/zero | xz
} > disk.tar.xz
rm disk.raw part.xz
sha512sum disk.tar.xz | cut -c -128
`;

const SERVER = `
const { port } = Deno.serve({ port: 0, onListen() {} }, async () => {
  const file = await Deno.open("disk.tar.xz");
  const { size } = await file.stat();
  return new Response(file.readable, { headers: { "content-length": String(size) } });
}).addr;
console.log(port);
`;

const PIPELINE = `
curl -s "$1" | tee >(sha512sum > sum) | xz -dc | tar -x && wait && grep -q "$2" sum
`;

/** Rate of the whole, counting compressed bytes; and the peak of our memory, beside bare Deno's. */
export async function download(
  { dir }: { dir: string },
): Promise<Record<"download" | "download_rss", Measure>> {
  const digest = await output(
    dir,
    "sh",
    "-ec",
    MAKE_ARCHIVE,
    "sh",
    dir,
    Deno.execPath(),
    `${ARCHIVE_BYTES}`,
  );
  const megabytes = (await Deno.stat(`${dir}/disk.tar.xz`)).size / 1e6;
  await Deno.writeTextFile(`${dir}/serve.ts`, SERVER);
  await Deno.writeTextFile(
    `${dir}/empty.ts`,
    'console.log(Deno.readTextFileSync("/proc/self/status").match(/VmHWM:\\s+(\\d+)/)[1])',
  );
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "serve.ts"],
    cwd: dir,
    stdout: "piped",
  }).spawn();
  const said = server.stdout.getReader();
  try {
    const { value: first } = await said.read();
    const url = `http://127.0.0.1:${new TextDecoder().decode(first).trim()}/disk.tar.xz`;
    const own: number[] = [];
    const bare: number[] = [];
    const peaks: number[] = [];
    // By turns, so that whatever else the machine does slows both.
    for (let i = 0; i < RUNS; i++) {
      own.push(
        await rate(dir, megabytes, async (cwd) => {
          const base = `${url}#sha512=${digest}`;
          const peak = await output(cwd, Deno.execPath(), "run", "-A", PROGRAM, base, cwd);
          peaks.push(Number(peak) / 1000);
        }),
      );
      bare.push(
        await rate(dir, megabytes, async (cwd) => {
          await output(cwd, "bash", "-ec", PIPELINE, "bash", url, digest);
        }),
      );
    }
    const empty = Number(await output(dir, Deno.execPath(), "run", "-A", "empty.ts")) / 1000;
    return {
      download: { value: median(own), floor: median(bare), unit: "MB/s" },
      download_rss: { value: Math.max(...peaks), floor: empty, unit: "MB" },
    };
  } finally {
    server.kill();
    await said.cancel();
    await server.status;
  }
}

/** Megabytes per second of some work in a directory of its own. */
async function rate(
  dir: string,
  megabytes: number,
  work: (cwd: string) => Promise<void>,
): Promise<number> {
  const cwd = await Deno.makeTempDir({ dir });
  const started = performance.now();
  await work(cwd);
  const seconds = (performance.now() - started) / 1000;
  await Deno.remove(cwd, { recursive: true });
  return megabytes / seconds;
}

/** What a program prints, without the newline at its end. */
async function output(cwd: string, program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    env: { VIBE_CACHE: cwd },
  }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
