/**
 * Signs an executable ad hoc, for Macs on which Apple's `codesign` is missing or fails: the same
 * signature, with entitlements, that `codesign --sign -` writes. The format is that of xnu's
 * `cs_blobs.h`; the tests rebuild the signature of an official Deno from it, byte for byte.
 */

import { entitlementsDer, entitlementsPlist } from "./entitlements.ts";
import { layoutOf, withRoomForSignature } from "./macho.ts";

const Magic = {
  requirements: 0xfade0c01,
  codeDirectory: 0xfade0c02,
  signature: 0xfade0cc0,
  cms: 0xfade0b01,
  entitlements: 0xfade7171,
  entitlementsDer: 0xfade7172,
};

/** Numbers of the parts of a signature. Those up to 7 have a hash in the code directory. */
export const Slot = {
  codeDirectory: 0,
  requirements: 2,
  entitlements: 5,
  entitlementsDer: 7,
  cms: 0x10000,
};

const SPECIAL_SLOTS = 7;
const HASH_SIZE = 32;
/** Bytes of a code directory before its strings and hashes, after magic and length. */
const HEAD_SIZE = 80;
const PAGE_SHIFT = 12;
const PAGE_SIZE = 1 << PAGE_SHIFT;
const FLAG_ADHOC = 0x2;

type Bytes = Uint8Array<ArrayBuffer>;

/** Big-endian 32-bit integers. */
function words(...values: number[]): Bytes {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => view.setUint32(4 * i, value));
  return new Uint8Array(view.buffer);
}

function concat(...parts: Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function blob(magic: number, ...content: Uint8Array[]): Bytes {
  const body = concat(...content);
  return concat(words(magic, body.length + 8), body);
}

async function hash(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** What a code directory says beside the hashes of the code. */
export interface CodeDirectoryOptions {
  identifier: string;
  flags: number;
  /** Bytes of the __TEXT segment. */
  textSize: number;
  /** Apple's team, for signatures that are not ad hoc. */
  team?: string;
  /** SDK version of the hardened runtime, likewise. */
  runtime?: number;
}

/** The code directory of the first `end` bytes of a file. `parts`: by slot, what else is hashed. */
export async function codeDirectory(
  file: Bytes,
  end: number,
  parts: ReadonlyMap<number, Bytes>,
  options: CodeDirectoryOptions,
): Promise<Bytes> {
  const encoder = new TextEncoder();
  const identifier = encoder.encode(options.identifier + "\0");
  const team = options.team === undefined ? new Uint8Array() : encoder.encode(options.team + "\0");
  const pages = Math.ceil(end / PAGE_SIZE);
  const hardened = options.runtime !== undefined;
  const headSize = 8 + (hardened ? HEAD_SIZE + 8 : HEAD_SIZE);
  const hashes: Bytes[] = [];
  for (let slot = SPECIAL_SLOTS; slot > 0; slot--) {
    const part = parts.get(slot);
    hashes.push(part ? await hash(part) : new Uint8Array(HASH_SIZE));
  }
  const special = concat(...hashes);
  const code = new Uint8Array(pages * HASH_SIZE);
  for (let page = 0; page < pages; page++) {
    const bytes = file.subarray(page * PAGE_SIZE, Math.min((page + 1) * PAGE_SIZE, end));
    code.set(await hash(bytes), page * HASH_SIZE);
  }
  return blob(
    Magic.codeDirectory,
    words(
      hardened ? 0x20500 : 0x20400, // version
      options.flags,
      headSize + identifier.length + team.length + special.length, // where the code's hashes are
      headSize, // where the identifier is
      SPECIAL_SLOTS,
      pages,
      end,
    ),
    new Uint8Array([HASH_SIZE, 2, /* SHA-256 */ 0, /* platform */ PAGE_SHIFT]),
    words(0, 0, /* no scatter */ team.length ? headSize + identifier.length : 0, 0),
    words(0, 0), // 64-bit end, used above 4 GiB only
    words(0, 0, 0, options.textSize, 0, 1), // executable segment: start, size, main binary
    hardened ? words(options.runtime!, 0) : new Uint8Array(),
    identifier,
    team,
    special,
    code,
  );
}

/** A whole signature of its parts. */
function superBlob(parts: ReadonlyMap<number, Bytes>): Bytes {
  let offset = 12 + 8 * parts.size;
  const index: Bytes[] = [];
  for (const [slot, part] of parts) {
    index.push(words(slot, offset));
    offset += part.length;
  }
  return concat(words(Magic.signature, offset, parts.size), ...index, ...parts.values());
}

/**
 * A copy of an executable, signed ad hoc with entitlements. The executable must have been signed
 * before, as everything that runs on Apple silicon is.
 *
 * @throws {Error} that says what is wrong with the executable.
 */
export async function signAdHoc(
  file: Bytes,
  identifier: string,
  entitlements: string[],
): Promise<Bytes> {
  const layout = layoutOf(file);
  const parts = new Map([
    [Slot.requirements, blob(Magic.requirements, words(0))],
    [Slot.entitlements, blob(Magic.entitlements, entitlementsPlist(entitlements))],
    [Slot.entitlementsDer, blob(Magic.entitlementsDer, entitlementsDer(entitlements))],
    [Slot.cms, blob(Magic.cms)],
  ]);
  // The header, which is hashed, has to say how long the signature gets; only the number of pages
  // and the identifier decide that for the code directory.
  const pages = Math.ceil(layout.signature / PAGE_SIZE);
  const directorySize = 8 + HEAD_SIZE + identifier.length + 1 + (SPECIAL_SLOTS + pages) * HASH_SIZE;
  const others = superBlob(new Map([[Slot.codeDirectory, new Uint8Array()], ...parts])).length;
  const size = Math.ceil((directorySize + others) / 16) * 16;
  const signed = withRoomForSignature(file, layout, size);
  const directory = await codeDirectory(signed, layout.signature, parts, {
    identifier,
    flags: FLAG_ADHOC,
    textSize: layout.textSize,
  });
  signed.set(superBlob(new Map([[Slot.codeDirectory, directory], ...parts])), layout.signature);
  return signed;
}
