/**
 * Unpacking a tar archive that a guest wrote. It may say anything, so nothing of it leaves the
 * directory that it is unpacked in: names with `..` and absolute ones are refused; symbolic links
 * are made last, when nothing is written through them any more; a hard link leads to a file of the
 * archive; devices, pipes and sockets are left out, and so are owners and set-user-ID bits.
 *
 * The format is that of GNU tar by default: ustar headers, `L` and `K` records before long names.
 */

import { printable, VibeError } from "../errors.ts";

/** All of an archive is in blocks of this size. */
const BLOCK = 512;
/** Linux allows paths of 4096 bytes. */
const MAX_NAME = 8192;
/** Files are written in pieces of this size; one that is all zeros becomes a hole. */
const PIECE = 64 << 10;

/** What was unpacked. */
export interface Unpacked {
  /** Paths that are no files, directories or links, and so were left out. */
  skipped: string[];
}

interface Entry {
  path: string;
  type: string;
  size: number;
  mode: number;
  mtime: number;
  link: string;
}

/**
 * Unpacks an archive that holds one thing, as `<dir>/content`.
 *
 * @param dir an empty directory that nobody else writes to.
 * @throws {VibeError} `COPY_REFUSED` if the archive holds what it must not.
 */
export async function unpack(archive: ReadableStream<Uint8Array>, dir: string): Promise<Unpacked> {
  const reader = archive.getReader();
  try {
    return await unpackFrom(new Input(reader), dir);
  } catch (error) {
    // Whoever sends must not wait for us.
    await reader.cancel(error).catch(() => {});
    throw error;
  }
}

async function unpackFrom(input: Input, dir: string): Promise<Unpacked> {
  const tree = new Tree(dir);
  let name: string | null = null, link: string | null = null;
  for (let header; (header = await input.header()) !== null;) {
    const entry = decode(header);
    if (entry.type === "L" || entry.type === "K") {
      const text = await input.text(entry.size);
      if (entry.type === "L") name = text;
      else link = text;
      continue;
    }
    await tree.add({ ...entry, path: name ?? entry.path, link: link ?? entry.link }, input);
    name = link = null;
  }
  // What follows the end is padding; a sender that is not heard out would fail.
  await input.drain();
  await tree.finish();
  return { skipped: tree.skipped };
}

/** What is made so far; paths are relative and were checked. */
class Tree {
  readonly skipped: string[] = [];
  readonly #dir: string;
  readonly #directories = new Map<string, Entry>();
  readonly #files = new Set<string>();
  readonly #links: [path: string, target: string][] = [];
  #top: string | null = null;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async add(entry: Entry, input: Input): Promise<void> {
    const path = this.#place(entry.path);
    const above = path.slice(0, path.lastIndexOf("/"));
    if (path !== "content" && !this.#directories.has(above)) {
      throw refused(entry.path, "it is in no directory of the archive");
    }
    const full = `${this.#dir}/${path}`;
    switch (entry.type) {
      case "5":
        await Deno.mkdir(full, { mode: 0o700 }).catch(twice(entry));
        this.#directories.set(path, entry);
        break;
      case "0":
      case "7":
        await this.#writeFile(full, entry, input);
        this.#files.add(path);
        break;
      case "1": {
        const target = this.#place(entry.link);
        if (!this.#files.has(target)) {
          throw refused(entry.path, "it links to no file of the archive");
        }
        await Deno.link(`${this.#dir}/${target}`, full).catch(twice(entry));
        this.#files.add(path);
        break;
      }
      case "2":
        this.#links.push([full, entry.link]);
        break;
      case "3":
      case "4":
      case "6":
        this.skipped.push(entry.path);
        break;
      default:
        throw refused(entry.path, `its type is "${printable(entry.type)}"`);
    }
  }

  /** Links and the modes of directories come last: they could keep us from writing. */
  async finish(): Promise<void> {
    for (const [path, target] of this.#links) {
      await Deno.symlink(target, path).catch(() => {
        throw refused(path.slice(this.#dir.length + 1), "it is there twice");
      });
    }
    for (const [path, { mode, mtime }] of [...this.#directories].reverse()) {
      await Deno.utime(`${this.#dir}/${path}`, mtime, mtime);
      await Deno.chmod(`${this.#dir}/${path}`, mode);
    }
  }

  /** Where an entry goes: what the archive holds is called `content`. @throws {VibeError} */
  #place(name: string): string {
    const parts = name.replace(/^(\.\/+)+/, "").replace(/\/+$/, "").split("/");
    if (parts.some((part) => part === "" || part === "." || part === "..")) {
      throw refused(name, "its name leads elsewhere");
    }
    this.#top ??= parts[0];
    if (parts[0] !== this.#top) throw refused(name, "it is beside what was asked for");
    return ["content", ...parts.slice(1)].join("/");
  }

  async #writeFile(path: string, entry: Entry, input: Input): Promise<void> {
    // `createNew` follows no link, and finds names that are one to this file system.
    const options = { write: true, createNew: true, mode: 0o600 };
    using file = await Deno.open(path, options).catch(twice(entry));
    const piece = new Uint8Array(PIECE);
    for (let at = 0; at < entry.size;) {
      const part = piece.subarray(0, Math.min(PIECE, entry.size - at));
      await input.fill(part);
      if (isZero(part)) await file.seek(part.byteLength, Deno.SeekMode.Current);
      else for (let put = 0; put < part.byteLength;) put += await file.write(part.subarray(put));
      at += part.byteLength;
    }
    await input.skip(-entry.size & (BLOCK - 1));
    await file.truncate(entry.size);
    await file.utime(entry.mtime, entry.mtime);
    await Deno.chmod(path, entry.mode);
  }
}

/** Exact reads from a stream. */
class Input {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest = new Uint8Array();

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  /** The next header; null at the archive's end, which is a block of zeros. */
  async header(): Promise<Uint8Array | null> {
    const block = new Uint8Array(BLOCK);
    await this.fill(block);
    return isZero(block) ? null : block;
  }

  /** The content of an `L` or `K` record. */
  async text(size: number): Promise<string> {
    if (size > MAX_NAME) throw refused("", "a name is too long");
    const bytes = new Uint8Array(size);
    await this.fill(bytes);
    await this.skip(-size & (BLOCK - 1));
    return textOf(bytes);
  }

  async fill(into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.byteLength;) {
      if (this.#rest.byteLength === 0) {
        const { value, done } = await this.#reader.read();
        if (done) throw new VibeError("COPY_FAILED", "Cannot copy: the archive ended too early");
        this.#rest = value as Uint8Array<ArrayBuffer>;
      }
      const count = Math.min(this.#rest.byteLength, into.byteLength - at);
      into.set(this.#rest.subarray(0, count), at);
      this.#rest = this.#rest.subarray(count);
      at += count;
    }
  }

  async skip(size: number): Promise<void> {
    await this.fill(new Uint8Array(size));
  }

  async drain(): Promise<void> {
    while (!(await this.#reader.read()).done);
  }
}

function decode(header: Uint8Array): Entry {
  const field = (at: number, length: number) => header.subarray(at, at + length);
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i];
  if (numberOf(field(148, 8)) !== sum) throw refused("", "it is damaged");
  const isUstar = textOf(field(257, 8)) === "ustar" && header[263] === 0x30;
  const prefix = isUstar ? textOf(field(345, 155)) : "";
  const type = header[156] === 0 ? "0" : String.fromCharCode(header[156]);
  const size = numberOf(field(124, 12));
  return {
    path: prefix ? `${prefix}/${textOf(field(0, 100))}` : textOf(field(0, 100)),
    type,
    // Only these have content.
    size: ["0", "7", "L", "K"].includes(type) ? size : 0,
    mode: numberOf(field(100, 8)) & 0o777,
    mtime: Math.min(numberOf(field(136, 12)), 2 ** 40),
    link: textOf(field(157, 100)),
  };
}

/** Octal digits, or with the highest bit set a binary number. */
function numberOf(field: Uint8Array): number {
  const value = (field[0] & 0x80) === 0
    ? Number.parseInt(textOf(field).trim() || "0", 8)
    : field.reduce((sum, byte, i) => sum * 256 + (i === 0 ? byte & 0x7f : byte), 0);
  if (!Number.isSafeInteger(value)) throw refused("", "a number is out of bounds");
  return value;
}

/** Up to the NUL byte, if there is one. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.byteLength; i++) if (bytes[i] !== 0) return false;
  return true;
}

function twice({ path }: Entry): (error: unknown) => never {
  return (error) => {
    if (error instanceof Deno.errors.AlreadyExists) throw refused(path, "it is there twice");
    throw error;
  };
}

function refused(path: string, why: string): VibeError {
  return new VibeError(
    "COPY_REFUSED",
    `Refused to copy "${printable(path)}" from the guest: ${why}`,
  );
}
