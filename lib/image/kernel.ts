/**
 * The kernel inside a compressed kernel image. QEMU boots an x86 vmlinux directly (PVH), and saves
 * the guest from unpacking itself: 1.1 of 3.6 s to the first process under emulation. Debian's
 * arm64 kernel is not compressed.
 */

import { startXz } from "./xz.ts";

/** What Debian compresses its kernels with. */
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** Three times what Debian's largest kernel takes. */
const MAX_KERNEL = 256 << 20;
const MAX_MODULE = 64 << 20;

/**
 * The uncompressed kernel, or null if the image is not compressed, or not in a way known here.
 *
 * @throws if what is packed in it is damaged.
 */
export async function unpackKernel(image: Uint8Array): Promise<Uint8Array<ArrayBuffer> | null> {
  const payload = bzImagePayload(image);
  if (!payload || ZSTD_MAGIC.some((byte, i) => payload[i] !== byte)) return null;
  const { zstdDecompressSync } = await import("node:zlib");
  return new Uint8Array(zstdDecompressSync(payload, { maxOutputLength: MAX_KERNEL }));
}

/**
 * x86 boot protocol 2.08 or later (kernel documentation, arch/x86/boot): the payload's place counts
 * from the end of the real-mode code, and its uncompressed size follows it, in its last 4 bytes.
 */
function bzImagePayload(image: Uint8Array): Uint8Array | null {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.length < 0x250 || view.getUint32(0x202, true) !== 0x53726448) return null;
  if (view.getUint16(0x206, true) < 0x208) return null;
  const setupSectors = image[0x1f1] || 4;
  const offset = (setupSectors + 1) * 512 + view.getUint32(0x248, true);
  const length = view.getUint32(0x24c, true);
  return offset + length <= image.length ? image.subarray(offset, offset + length - 4) : null;
}

/**
 * A kernel module that may be compressed, with its name to match: `ext4.ko.xz` becomes `ext4.ko`.
 *
 * @throws if it is damaged, or large beyond reason.
 */
export async function unpackModule(
  name: string,
  content: Uint8Array<ArrayBuffer>,
): Promise<{ name: string; content: Uint8Array<ArrayBuffer> }> {
  const [, plain, suffix] = name.match(/^(.*\.ko)(\.\w+)?$/) ?? [];
  switch (suffix) {
    case ".xz":
      return { name: plain, content: await unpackXz(content) };
    case ".zst": {
      const { zstdDecompressSync } = await import("node:zlib");
      const bytes = zstdDecompressSync(content, { maxOutputLength: MAX_MODULE });
      return { name: plain, content: new Uint8Array(bytes) };
    }
    case ".gz": {
      const { gunzipSync } = await import("node:zlib");
      return {
        name: plain,
        content: new Uint8Array(gunzipSync(content, { maxOutputLength: MAX_MODULE })),
      };
    }
    default:
      return { name, content };
  }
}

async function unpackXz(content: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const xz = await startXz();
  const feeding = xz.input.write(content).then(() => xz.input.close());
  // A decoder that gives up says so by verify().
  feeding.catch(() => {});
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of xz.output) {
    size += chunk.byteLength;
    if (size > MAX_MODULE) {
      xz.kill();
      throw new Error("a kernel module is too large");
    }
    chunks.push(new Uint8Array(chunk));
  }
  await xz.verify();
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
