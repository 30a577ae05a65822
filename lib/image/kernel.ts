/**
 * The kernel inside a compressed kernel image. QEMU boots an x86 vmlinux directly (PVH), and saves
 * the guest from unpacking itself: 1.1 of 3.6 s to the first process under emulation. Debian's
 * arm64 kernel is not compressed.
 */

/** What Debian compresses its kernels with. */
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/**
 * The uncompressed kernel, or null if the image is not compressed, or not in a way known here.
 *
 * @throws if what is packed in it is damaged.
 */
export async function unpackKernel(image: Uint8Array): Promise<Uint8Array<ArrayBuffer> | null> {
  const payload = bzImagePayload(image);
  if (!payload || ZSTD_MAGIC.some((byte, i) => payload[i] !== byte)) return null;
  const { zstdDecompressSync } = await import("node:zlib");
  return new Uint8Array(zstdDecompressSync(payload));
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
