/** Reads embedded code signatures, apart from the code in lib/macos that writes them. */

/** What a code signature says. */
export interface Signature {
  identifier: string;
  flags: number;
  pages: number;
  /** Numbers of pages whose content has another hash than the signature says. */
  badPages: number[];
  /** Blobs by slot, whole with their headers. */
  blobs: Map<number, Uint8Array<ArrayBuffer>>;
  /** Special slots whose hash is not that of the blob which is there. */
  badSlots: number[];
  /** Bytes of the file that are covered. */
  codeLimit: number;
}

const LC_CODE_SIGNATURE = 0x1d;
const CODE_DIRECTORY = 0;

/** The thin Mach-O files in a universal one, by CPU type. */
export function slices(file: Uint8Array<ArrayBuffer>): Map<number, Uint8Array<ArrayBuffer>> {
  const view = new DataView(file.buffer, file.byteOffset);
  const found = new Map();
  for (let i = 0, at = 8; i < view.getUint32(4); i++, at += 20) {
    const offset = view.getUint32(at + 8);
    found.set(view.getUint32(at), file.subarray(offset, offset + view.getUint32(at + 12)));
  }
  return found;
}

async function sameHash(bytes: Uint8Array<ArrayBuffer>, hash: Uint8Array): Promise<boolean> {
  const actual = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return hash.every((byte, i) => byte === actual[i]);
}

/** Reads the signature of a thin Mach-O file and compares every hash in it. */
export async function readSignature(file: Uint8Array<ArrayBuffer>): Promise<Signature> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 32, start = 0;
  for (let i = view.getUint32(16, true); i > 0; i--) {
    if (view.getUint32(at, true) === LC_CODE_SIGNATURE) start = view.getUint32(at + 8, true);
    at += view.getUint32(at + 4, true);
  }
  if (start === 0) throw new Error("the file is not signed");
  if (view.getUint32(start) !== 0xfade0cc0) throw new Error("no signature where it should be");
  const blobs = new Map<number, Uint8Array<ArrayBuffer>>();
  for (let i = 0; i < view.getUint32(start + 8); i++) {
    const offset = start + view.getUint32(start + 16 + 8 * i);
    const length = view.getUint32(offset + 4);
    blobs.set(view.getUint32(start + 12 + 8 * i), file.subarray(offset, offset + length));
  }
  const directory = blobs.get(CODE_DIRECTORY)!;
  const field = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const hashes = field.getUint32(16), identifierAt = field.getUint32(20);
  const specialSlots = field.getUint32(24), pages = field.getUint32(28);
  const codeLimit = field.getUint32(32), pageSize = 1 << field.getUint8(39);
  const hashAt = (slot: number) => directory.subarray(hashes + slot * 32, hashes + slot * 32 + 32);
  const badPages: number[] = [], badSlots: number[] = [];
  for (let page = 0; page < pages; page++) {
    const end = Math.min((page + 1) * pageSize, codeLimit);
    if (!await sameHash(file.subarray(page * pageSize, end), hashAt(page))) badPages.push(page);
  }
  for (let slot = 1; slot <= specialSlots; slot++) {
    const blob = blobs.get(slot);
    const right = blob
      ? await sameHash(blob, hashAt(-slot))
      : hashAt(-slot).every((byte) => byte === 0);
    if (!right) badSlots.push(slot);
  }
  const text = directory.subarray(identifierAt);
  return {
    identifier: new TextDecoder().decode(text.subarray(0, text.indexOf(0))),
    flags: field.getUint32(12),
    pages,
    badPages,
    blobs,
    badSlots,
    codeLimit,
  };
}
