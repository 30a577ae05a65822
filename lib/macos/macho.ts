/** The few fields of a Mach-O executable that signing it reads and changes. */

const MAGIC_64 = 0xfeedfacf;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
/** Segments end at a page of Apple silicon's size, on both architectures. */
const PAGE = 0x4000;

/** Where things are in a file, as offsets from its start. */
export interface Layout {
  /** Bytes of the __TEXT segment. */
  textSize: number;
  /** Where the signature begins; it reaches to the file's end. */
  signature: number;
  /** The load command that says so. */
  signatureCommand: number;
  /** The load command of the segment that holds it. */
  linkeditCommand: number;
  /** Where that segment begins. */
  linkedit: number;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * The layout of a signed executable for one architecture.
 *
 * @throws {Error} that says what else it is.
 */
export function layoutOf(file: Uint8Array): Layout {
  const view = viewOf(file);
  if (file.length < 32 || view.getUint32(0, true) !== MAGIC_64) {
    throw new Error("it is not a Mach-O executable for one architecture");
  }
  const layout: Partial<Layout> = {};
  let at = 32;
  for (let i = view.getUint32(16, true); i > 0; i--) {
    const command = view.getUint32(at, true);
    if (command === LC_SEGMENT_64) {
      const name = new TextDecoder().decode(file.subarray(at + 8, at + 24)).replace(/\0.*/, "");
      if (name === "__TEXT") layout.textSize = Number(view.getBigUint64(at + 48, true));
      if (name === "__LINKEDIT") {
        layout.linkeditCommand = at;
        layout.linkedit = Number(view.getBigUint64(at + 40, true));
      }
    } else if (command === LC_CODE_SIGNATURE) {
      layout.signatureCommand = at;
      layout.signature = view.getUint32(at + 8, true);
      if (layout.signature + view.getUint32(at + 12, true) !== file.length) {
        throw new Error("its signature is not at the end of the file");
      }
    }
    at += view.getUint32(at + 4, true);
  }
  const { textSize, signature, signatureCommand, linkeditCommand, linkedit } = layout;
  if (!textSize || !linkeditCommand || !linkedit) throw new Error("segments are missing in it");
  if (!signature || !signatureCommand) throw new Error("it was never signed");
  return { textSize, signature, signatureCommand, linkeditCommand, linkedit };
}

/** A copy of `file` with `size` bytes of room for a signature, which are zero. */
export function withRoomForSignature(
  file: Uint8Array,
  layout: Layout,
  size: number,
): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(layout.signature + size);
  copy.set(file.subarray(0, layout.signature));
  const view = viewOf(copy);
  const linkeditSize = copy.length - layout.linkedit;
  view.setUint32(layout.signatureCommand + 12, size, true);
  view.setBigUint64(layout.linkeditCommand + 48, BigInt(linkeditSize), true);
  view.setBigUint64(
    layout.linkeditCommand + 32,
    BigInt(Math.ceil(linkeditSize / PAGE) * PAGE),
    true,
  );
  return copy;
}
