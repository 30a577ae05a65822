/**
 * Reads files out of an ext4 file system in a raw disk image, without mounting it: that takes no
 * rights, and works on every host. Field offsets are from the kernel's documentation,
 * filesystems/ext4. A guest wrote the disk, so every number in it is checked before it is used.
 */

/** The file system is none, is damaged, or uses what is not known here. */
export class Ext4Error extends Error {
  override readonly name = "Ext4Error";
}

/** What this reader understands of `s_feature_incompat`; anything else could mislead it. */
const KNOWN_FEATURES = 0x2 /* filetype */ | 0x4 /* recover */ | 0x40 /* extents */ |
  0x80 /* 64bit */ | 0x200 /* flex_bg */ | 0x400 /* ea_inode */ | 0x2000 /* csum_seed */ |
  0x4000 /* largedir */;
const RECOVER = 0x4;
const INCOMPAT_64BIT = 0x80;

const ROOT_INODE = 2;
const EXTENTS_FLAG = 0x80000;
const EXTENT_MAGIC = 0xf30a;
const MAX_EXTENT_DEPTH = 5;
/** A length above this in an extent says that nothing has been written there yet. */
const WRITTEN_EXTENT = 32768;
const MAX_LINKS = 20;
const MAX_DIRECTORY = 16 << 20;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

interface Inode {
  type: number;
  size: number;
  flags: number;
  /** `i_block`: the root of the extents, or a short symbolic link. */
  block: Uint8Array;
}

/** Blocks of a file that lie side by side. `physical` null: nothing was written there. */
interface Extent {
  logical: number;
  length: number;
  physical: number | null;
}

/** A file system that is open for reading. */
export class Ext4 {
  /** False if it was not unmounted: what it holds may lag behind what was written. */
  readonly clean: boolean;
  readonly #file: Deno.FsFile;
  readonly #offset: number;
  readonly #blockSize: number;
  readonly #blocks: number;
  readonly #inodes: number;
  readonly #inodesPerGroup: number;
  readonly #inodeSize: number;
  readonly #groupTable: number;
  readonly #groupSize: number;
  readonly #wide: boolean;

  private constructor(file: Deno.FsFile, offset: number, superblock: Uint8Array) {
    const view = viewOf(superblock);
    const features = view.getUint32(0x60, true);
    const unknown = features & ~KNOWN_FEATURES;
    if (unknown) throw new Ext4Error(`a feature is not known here (0x${unknown.toString(16)})`);
    this.#file = file;
    this.#offset = offset;
    const shift = view.getUint32(0x18, true);
    if (shift > 6) throw new Ext4Error("the size of its blocks makes no sense");
    this.#blockSize = 1024 << shift;
    this.#wide = (features & INCOMPAT_64BIT) !== 0;
    this.#blocks = view.getUint32(0x4, true) +
      (this.#wide ? view.getUint32(0x150, true) * 2 ** 32 : 0);
    this.#inodes = view.getUint32(0x0, true);
    this.#inodesPerGroup = view.getUint32(0x28, true);
    this.#inodeSize = view.getUint16(0x58, true);
    this.#groupTable = view.getUint32(0x14, true) + 1;
    this.#groupSize = this.#wide ? view.getUint16(0xfe, true) : 32;
    if (this.#inodesPerGroup === 0 || this.#inodeSize < 128 || this.#groupSize < 32) {
      throw new Ext4Error("its superblock makes no sense");
    }
    const unmounted = (view.getUint16(0x3a, true) & 1) !== 0;
    this.clean = unmounted && (features & RECOVER) === 0;
  }

  /** The file system that begins at byte `offset`; null if there is none. @throws {Ext4Error} */
  static async open(file: Deno.FsFile, offset: number): Promise<Ext4 | null> {
    const superblock = await readUpTo(file, offset + 1024, 1024);
    if (superblock.length < 1024 || viewOf(superblock).getUint16(0x38, true) !== 0xef53) {
      return null;
    }
    return new Ext4(file, offset, superblock);
  }

  /**
   * The content of a regular file, links followed; null if there is none at that path.
   *
   * @throws {Ext4Error} if it has more than `limit` bytes, or the file system is damaged.
   */
  async readFile(path: string, limit: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const inode = await this.#find(path);
    if (inode?.type !== S_IFREG) return null;
    if (inode.size > limit) throw new Ext4Error(`"${path}" has ${inode.size} bytes`);
    return await this.#content(inode);
  }

  /** Like {@link readFile}, as text. */
  async readText(path: string, limit: number): Promise<string | null> {
    const bytes = await this.readFile(path, limit);
    return bytes && new TextDecoder().decode(bytes);
  }

  /** Names in a directory, links followed; none if there is no directory at that path. */
  async readDir(path: string): Promise<string[]> {
    const inode = await this.#find(path);
    if (inode?.type !== S_IFDIR) return [];
    return [...(await this.#entries(inode)).keys()].filter((name) => !/^\.\.?$/.test(name));
  }

  async #find(path: string): Promise<Inode | null> {
    const rest = path.split("/").filter(Boolean);
    const root = await this.#inode(ROOT_INODE);
    /** From the root to where we are. */
    let trail: Inode[] = [root];
    for (let links = 0; rest.length > 0;) {
      const name = rest.shift()!;
      if (name === ".") continue;
      if (name === "..") {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const here = trail.at(-1)!;
      if (here.type !== S_IFDIR) return null;
      const number = (await this.#entries(here)).get(name);
      if (number === undefined) return null;
      const inode = await this.#inode(number);
      if (inode.type !== S_IFLNK) {
        trail.push(inode);
        continue;
      }
      if (++links > MAX_LINKS) return null;
      const target = await this.#linkTarget(inode);
      if (target.startsWith("/")) trail = [root];
      rest.unshift(...target.split("/").filter(Boolean));
    }
    return trail.at(-1)!;
  }

  async #linkTarget(inode: Inode): Promise<string> {
    if (inode.size > 4096) throw new Ext4Error("a symbolic link is too long");
    const bytes = inode.flags & EXTENTS_FLAG
      ? await this.#content(inode)
      : inode.block.subarray(0, Math.min(inode.size, inode.block.length));
    return new TextDecoder().decode(bytes);
  }

  async #entries(inode: Inode): Promise<Map<string, number>> {
    if (inode.size > MAX_DIRECTORY) throw new Ext4Error("a directory is too large");
    const bytes = await this.#content(inode);
    const view = viewOf(bytes);
    const found = new Map<string, number>();
    // An index over a large directory hides in entries that look unused.
    for (let at = 0; at + 8 <= bytes.length;) {
      const number = view.getUint32(at, true);
      const length = view.getUint16(at + 4, true);
      const nameLength = bytes[at + 6];
      if (length < 8 || at + length > bytes.length || nameLength + 8 > length) {
        throw new Ext4Error("a directory is damaged");
      }
      const name = new TextDecoder().decode(bytes.subarray(at + 8, at + 8 + nameLength));
      if (number !== 0 && nameLength > 0) found.set(name, number);
      at += length;
    }
    return found;
  }

  async #inode(number: number): Promise<Inode> {
    if (number < 1 || number > this.#inodes) {
      throw new Ext4Error("an inode's number makes no sense");
    }
    const group = Math.floor((number - 1) / this.#inodesPerGroup);
    const index = (number - 1) % this.#inodesPerGroup;
    const descriptorAt = this.#groupTable * this.#blockSize + group * this.#groupSize;
    const descriptor = viewOf(await this.#read(descriptorAt, this.#groupSize));
    const table = descriptor.getUint32(0x8, true) +
      (this.#wide && this.#groupSize >= 64 ? descriptor.getUint32(0x28, true) * 2 ** 32 : 0);
    const bytes = await this.#read(this.#place(table) + index * this.#inodeSize, 128);
    const view = viewOf(bytes);
    return {
      type: view.getUint16(0, true) & S_IFMT,
      size: view.getUint32(4, true) + view.getUint32(0x6c, true) * 2 ** 32,
      flags: view.getUint32(0x20, true),
      block: bytes.subarray(0x28, 0x28 + 60),
    };
  }

  /** All bytes of a file whose size was checked before. */
  async #content(inode: Inode): Promise<Uint8Array<ArrayBuffer>> {
    if (!(inode.flags & EXTENTS_FLAG)) throw new Ext4Error("a file has no extents");
    const content = new Uint8Array(inode.size);
    const budget = { blocks: Math.ceil(inode.size / this.#blockSize) + 1024 };
    for await (const { logical, length, physical } of this.#extents(inode.block, budget)) {
      const from = logical * this.#blockSize;
      const count = Math.min(length * this.#blockSize, inode.size - from);
      if (count <= 0 || physical === null) continue;
      content.set(await this.#read(this.#place(physical, length), count), from);
    }
    return content;
  }

  /** `budget` bounds the work that a tree of extents that lead in circles could make. */
  async *#extents(
    node: Uint8Array,
    budget: { blocks: number },
    maxDepth = MAX_EXTENT_DEPTH,
  ): AsyncGenerator<Extent> {
    const view = viewOf(node);
    const entries = view.getUint16(2, true);
    const depth = view.getUint16(6, true);
    if (
      view.getUint16(0, true) !== EXTENT_MAGIC || depth > maxDepth ||
      12 + entries * 12 > node.length
    ) throw new Ext4Error("the extents of a file are damaged");
    for (let i = 0, at = 12; i < entries; i++, at += 12) {
      if (--budget.blocks < 0) throw new Ext4Error("a file has too many extents");
      if (depth > 0) {
        const child = view.getUint32(at + 4, true) + view.getUint16(at + 8, true) * 2 ** 32;
        const bytes = await this.#read(this.#place(child), this.#blockSize);
        yield* this.#extents(bytes, budget, depth - 1);
        continue;
      }
      const length = view.getUint16(at + 4, true);
      const unwritten = length > WRITTEN_EXTENT;
      const physical = view.getUint32(at + 8, true) + view.getUint16(at + 6, true) * 2 ** 32;
      yield {
        logical: view.getUint32(at, true),
        length: unwritten ? length - WRITTEN_EXTENT : length,
        physical: unwritten ? null : physical,
      };
    }
  }

  #place(block: number, count = 1): number {
    if (block + count > this.#blocks) throw new Ext4Error("a block lies outside of it");
    return block * this.#blockSize;
  }

  async #read(at: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await readUpTo(this.#file, this.#offset + at, count);
    if (bytes.length < count) throw new Ext4Error("the disk ends inside of it");
    return bytes;
  }
}

/** Up to `count` bytes at a place in a file. */
export async function readUpTo(
  file: Deno.FsFile,
  at: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(count);
  await file.seek(at, Deno.SeekMode.Start);
  let have = 0;
  for (let n; have < count && (n = await file.read(bytes.subarray(have))) !== null;) have += n;
  return bytes.subarray(0, have);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
