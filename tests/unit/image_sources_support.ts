/** Small disks and archives, and a cache of its own for each test. */

import { createHash } from "node:crypto";
import { VibeError } from "../../lib/errors.ts";
import {
  type DiskSource,
  ensureSourceDisk,
  type SourceDisk,
  type SourceOptions,
} from "../../lib/image/sources.ts";
import { silentProgress } from "../../lib/progress.ts";
import type { FileServer } from "../support/file_server.ts";

/** A temporary cache, as the environment says it, and a directory for a disk in it. */
export class TestCache implements AsyncDisposable {
  readonly dir: string;
  /** Where disks are made. */
  readonly work: string;
  readonly #before = Deno.env.get("VIBE_CACHE");

  private constructor(dir: string) {
    this.dir = dir;
    this.work = `${dir}/work`;
    Deno.env.set("VIBE_CACHE", dir);
  }

  static async create(): Promise<TestCache> {
    const cache = new TestCache(await Deno.makeTempDir({ prefix: "vibe-download-" }));
    await Deno.mkdir(cache.work);
    return cache;
  }

  /** Makes the disk of a source. */
  ensure(source: DiskSource, options: Partial<SourceOptions> = {}): Promise<SourceDisk> {
    const { work: dir } = this;
    const patience = { tries: 3, pauseMs: 10, stallMs: 500 };
    return ensureSourceDisk(source, { dir, progress: silentProgress, patience, ...options });
  }

  /** What is in `downloads/`, but for locks. */
  downloads(): string[] {
    return [...Deno.readDirSync(`${this.dir}/downloads`)].map(({ name }) => name)
      .filter((name) => !name.endsWith(".lock")).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#before === undefined) Deno.env.delete("VIBE_CACHE");
    else Deno.env.set("VIBE_CACHE", this.#before);
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** A disk of 8 MiB with a partition table's signature, `data` bytes of noise and holes. */
export async function makeDisk(path: string, data = 300_000): Promise<Uint8Array> {
  const disk = new Uint8Array(8 << 20);
  disk.set([0x55, 0xaa], 510);
  const noise = new Uint8Array(data);
  for (let at = 0; at < data; at += 65536) crypto.getRandomValues(noise.subarray(at, at + 65536));
  disk.set(noise, 2 << 20);
  disk.set(noise.subarray(0, 5000), (6 << 20) + 123);
  await Deno.writeFile(path, disk);
  await sh(`fallocate --dig-holes "$1"`, path);
  return disk;
}

/** Runs a shell script; resolves to its output. */
export async function sh(script: string, ...args: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const { success, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-ec", script, "sh", ...args],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new Uint8Array(stdout);
}

interface Archive {
  disk: Uint8Array;
  archive: Uint8Array<ArrayBuffer>;
}

const archives = new Map<number, Promise<Archive>>();

/** A disk with `data` bytes of noise, and Debian's kind of archive of it; made once for each size. */
export function makeArchive(data = 300_000): Promise<Archive> {
  return archives.getOrInsertComputed(data, async () => {
    const dir = await Deno.makeTempDir({ prefix: "vibe-archive-" });
    try {
      const disk = await makeDisk(`${dir}/disk.raw`, data);
      return { disk, archive: await sh(`cd "$1" && tar --create --sparse disk.raw | xz -0`, dir) };
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}

/** SHA-512 in hex. */
export function sha512(bytes: Uint8Array): string {
  return createHash("sha512").update(bytes).digest("hex");
}

/** The source that a server serves; `bytes` only if the size is pinned. */
export function sourceOf(
  server: FileServer,
  content: Uint8Array,
  more: { bytes?: number; name?: string } = {},
): DiskSource {
  return {
    kind: "download",
    id: "test",
    url: server.url(more.name),
    bytes: more.bytes ?? null,
    digest: { algorithm: "sha512", hex: sha512(content) },
  };
}

/** For `rejects`: an error with this code whose message and hint match. */
export function failure(code: string, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof VibeError) || error.code !== code) throw error;
    const text = `${error.message}\n${error.hint}`;
    if (!pattern.test(text)) throw new Error(`Not ${pattern}: ${text}`);
    return true;
  };
}
