/**
 * cpio archives in the "newc" format, which Linux unpacks as an initrd (kernel documentation,
 * driver-api/early-userspace/buffer-format). Each entry is a header of 6 characters of magic and 13
 * numbers of 8 hexadecimal digits, the name with a NUL, and the content; name and content are padded
 * to multiples of 4 bytes. An entry named TRAILER!!! ends the archive.
 */

/** One file or directory. Everything belongs to root and has no time. */
export interface CpioEntry {
  /** Relative path, without a leading slash. Directories come before what is in them. */
  name: string;
  /** Content of a regular file; without it, the entry is a directory. */
  content?: Uint8Array;
  /** Permission bits; 0o755 unless given. */
  mode?: number;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const TRAILER = "TRAILER!!!";

/** The archive of these entries, in their order. */
export function cpioArchive(entries: CpioEntry[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const add = (bytes: Uint8Array) => {
    parts.push(bytes);
    size += bytes.length;
    const padding = -size & 3;
    if (padding > 0) parts.push(new Uint8Array(padding));
    size += padding;
  };
  entries.forEach(({ name, content, mode = 0o755 }, index) => {
    add(header(index + 1, (content ? S_IFREG : S_IFDIR) | mode, name, content?.length ?? 0));
    if (content) add(content);
  });
  add(header(0, 0, TRAILER, 0));
  const archive = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

function header(inode: number, mode: number, name: string, fileSize: number): Uint8Array {
  const path = new TextEncoder().encode(`${name}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (2), its device (2), name's length, checksum
  const fields = [inode, mode, 0, 0, 1, 0, fileSize, 0, 0, 0, 0, path.length, 0];
  const digits = fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  const head = new TextEncoder().encode(`070701${digits}`);
  const whole = new Uint8Array(head.length + path.length);
  whole.set(head);
  whole.set(path, head.length);
  return whole;
}
