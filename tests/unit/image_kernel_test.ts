/** Kernels inside compressed kernel images. */

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { zstdCompressSync } from "node:zlib";
import { unpackKernel } from "../../lib/image/kernel.ts";

const KERNEL = new TextEncoder().encode("\x7fELF and so on, ".repeat(1000));

/** A bzImage as the x86 boot protocol lays it out. */
function bzImage(payload: Uint8Array, version = 0x20f): Uint8Array {
  const [setupSectors, payloadOffset] = [2, 0x100];
  const start = (setupSectors + 1) * 512 + payloadOffset;
  const image = new Uint8Array(start + payload.length + 4 + 64);
  const view = new DataView(image.buffer);
  image[0x1f1] = setupSectors;
  image.set(new TextEncoder().encode("HdrS"), 0x202);
  view.setUint16(0x206, version, true);
  view.setUint32(0x248, payloadOffset, true);
  view.setUint32(0x24c, payload.length + 4, true);
  image.set(payload, start);
  view.setUint32(start + payload.length, KERNEL.length, true);
  return image;
}

Deno.test("the kernel of a bzImage packed by zstd comes out whole", async () => {
  deepStrictEqual(await unpackKernel(bzImage(zstdCompressSync(KERNEL))), KERNEL);
});

Deno.test("what is not known is left packed", async () => {
  const zstd = zstdCompressSync(KERNEL);
  strictEqual(await unpackKernel(bzImage(zstd, 0x207)), null);
  strictEqual(await unpackKernel(bzImage(new TextEncoder().encode("gzip or so"))), null);
  strictEqual(await unpackKernel(bzImage(zstd).subarray(0, 1700)), null);
  strictEqual(await unpackKernel(new Uint8Array(10)), null);
  // An arm64 Image also begins with MZ, and is not compressed.
  strictEqual(await unpackKernel(new TextEncoder().encode("MZ" + " ".repeat(5000))), null);
});

Deno.test("a damaged payload is an error, not a kernel", async () => {
  const image = bzImage(zstdCompressSync(KERNEL));
  image.fill(0xff, 3 * 512 + 0x100 + 8, 3 * 512 + 0x100 + 40);
  await rejects(unpackKernel(image));
});
