/** `vibe image import`: one file becomes an image. It is taken for hostile, see bundle.ts. */

import { dirname, join } from "node:path";
import { ExitCode, printable, reason, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { compactTime, LogFile } from "../host/follow.ts";
import { cacheDir } from "../paths.ts";
import { type Base, type BaseInfo, basesDir } from "./base.ts";
import { withImageLock } from "./build.ts";
import { type BundleHead, BundleReader, refused } from "./bundle.ts";
import { ByteSource } from "./byte_source.ts";
import { checkImageName, imageNames, nameImage } from "./catalog.ts";
import { interrupted, type TransferOptions } from "./export.ts";
import { PartialBase } from "./partial.ts";
import { fileSystemError, gigabytes, requireRoom } from "./room.ts";
import { SparseFile } from "./sparse_file.ts";

/** What a file compressed with zstd begins with. */
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** What an import was. */
export interface Imported {
  name: string;
  base: Base;
  /** Of the archive's content, as the export told it. */
  sha256: string;
}

/**
 * Makes an image of a file, or of stdin (`-`), under the name that it had unless `name` is given.
 *
 * @throws {VibeError} `BUNDLE_REFUSED`, `IMAGE_EXISTS`, `IMAGE_NAME`, `IMPORT_FAILED`,
 * `IMAGE_NO_SPACE`, `INTERRUPTED`. Nothing is left behind then.
 */
export async function importImage(
  file: string,
  name: string | undefined,
  options: TransferOptions,
): Promise<Imported> {
  if (name !== undefined) checkImageName(name);
  using input = await openInput(file);
  const { createHash } = await import("node:crypto");
  const source = new ByteSource(await decompressed(input.readable, options.signal));
  const reader = new BundleReader(source, createHash("sha256"));
  try {
    const head = await reader.head();
    const chosen = name ?? head.name;
    checkImageName(chosen);
    requireArchitecture(head.image);
    return await withImageLock(chosen, options, async () => {
      if ((await imageNames()).includes(chosen)) throw exists(chosen);
      const { base, sha256 } = await unpack(reader, head, chosen, options);
      await nameImage(chosen, base);
      return { name: chosen, base, sha256 };
    });
  } catch (error) {
    if (options.signal?.aborted) throw interrupted("import");
    if (error instanceof VibeError) throw error;
    // What zlib says of damaged data has a code of zlib's.
    if (/^(ERR_)?Z/.test((error as { code?: string }).code ?? "")) throw refused(reason(error));
    throw fileSystemError(error, basesDir()) ?? error;
  } finally {
    options.progress.done();
  }
}

async function unpack(
  reader: BundleReader,
  head: BundleHead,
  name: string,
  { progress, signal }: TransferOptions,
): Promise<{ base: Base; sha256: string }> {
  progress.step(`Importing the image "${name}"`);
  await Deno.mkdir(basesDir(), { recursive: true });
  const files = Object.values(head.files).reduce((sum, size) => sum + size, 0);
  await requireRoom(basesDir(), head.dataBytes + files);
  using log = await LogFile.create(join(cacheDir(), "logs"), "import");
  const now = new Date();
  const id = `import-${compactTime(now)}-${crypto.randomUUID().slice(0, 8)}`;
  await using partial = await PartialBase.create(id, log);
  using disk = await SparseFile.create(join(partial.dir, "disk.raw"));
  for (;;) {
    signal?.throwIfAborted();
    const entry = await reader.next();
    if (entry.kind === "end") {
      await disk.skip(head.diskBytes - disk.length);
      await disk.finish();
      const imported = { sha256: entry.sha256, at: now.toISOString() };
      const info: BaseInfo = { ...head.image, id, diskBytes: head.diskBytes, imported };
      await writeFileWhole(join(partial.dir, "image.json"), JSON.stringify(info, null, 2) + "\n");
      return { base: await partial.complete(id), sha256: entry.sha256 };
    }
    const content = await reader.content(entry.size);
    if (entry.kind === "disk") {
      await disk.skip(entry.offset - disk.length);
      await disk.write(content);
      progress.detail(`${gigabytes(entry.offset)} of ${gigabytes(head.diskBytes)}`);
    } else {
      const path = join(partial.dir, entry.path);
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeFile(path, content, { createNew: true, mode: 0o644 });
    }
  }
}

async function openInput(
  file: string,
): Promise<{ readable: ReadableStream<Uint8Array> } & Disposable> {
  if (file === "-") return { readable: Deno.stdin.readable, [Symbol.dispose]() {} };
  try {
    const input = await Deno.open(file);
    const close = () => {
      try {
        input.close();
      } catch {
        // Its stream did that at its end.
      }
    };
    return { readable: input.readable, [Symbol.dispose]: close };
  } catch (error) {
    throw new VibeError(
      "IMPORT_FAILED",
      `Cannot import "${printable(file)}": ${
        error instanceof Deno.errors.NotFound ? "there is no such file" : reason(error)
      }`,
      { exitCode: ExitCode.usage, cause: error },
    );
  }
}

async function decompressed(
  input: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const source = new ByteSource(input);
  const magic = await source.upTo(ZSTD_MAGIC.length);
  if (ZSTD_MAGIC.some((byte, i) => magic[i] !== byte)) throw refused("it is none");
  source.unread(magic);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let bytes; (bytes = await source.some(1 << 18)); yield bytes.slice()) {
      signal?.throwIfAborted();
    }
  }
  const { createZstdDecompress } = await import("node:zlib");
  const { pipeline, Readable } = await import("node:stream");
  const zstd = createZstdDecompress();
  pipeline(Readable.from(chunks()), zstd, () => {});
  return zstd as AsyncIterable<Uint8Array>;
}

function requireArchitecture({ architecture }: BaseInfo): void {
  const own = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
  if (architecture === own) return;
  throw new VibeError(
    "BUNDLE_REFUSED",
    `Cannot import the image: it is for "${printable(`${architecture}`)}" processors`,
    { hint: `This machine has another: ${own}.` },
  );
}

function exists(name: string): VibeError {
  return new VibeError("IMAGE_EXISTS", `Cannot import the image: there is one called "${name}"`, {
    hint: `Give another name, as in: vibe image import FILE ${name}-2\n` +
      `Or remove the one that is there: vibe image rm ${name}`,
  });
}
