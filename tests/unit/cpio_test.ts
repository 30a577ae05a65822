/** cpio archives, read back by the format's own rules. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { cpioArchive } from "../../lib/image/cpio.ts";

interface Read {
  name: string;
  inode: number;
  mode: number;
  content: string;
}

/** A reader after the kernel's documentation of the format, apart from the writer. */
function readCpio(archive: Uint8Array): Read[] {
  const text = new TextDecoder("latin1").decode(archive);
  const entries: Read[] = [];
  for (let at = 0;;) {
    strictEqual(text.slice(at, at + 6), "070701");
    const field = (index: number) =>
      parseInt(text.slice(at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const nameEnd = at + 110 + field(11);
    strictEqual(text[nameEnd - 1], "\0");
    const name = text.slice(at + 110, nameEnd - 1);
    const start = (nameEnd + 3) & ~3;
    const content = text.slice(start, start + field(6));
    if (name === "TRAILER!!!") {
      strictEqual(start, archive.length);
      return entries;
    }
    entries.push({ name, inode: field(0), mode: field(1), content });
    at = (start + field(6) + 3) & ~3;
  }
}

Deno.test("every entry can be read back, whatever the lengths of names and contents", () => {
  const entries = [{ name: "dev" }];
  const files = [0, 1, 2, 3, 4, 5, 1000].map((size) => ({
    name: "dev/" + "n".repeat(size % 5 + 1) + size,
    content: new TextEncoder().encode("x".repeat(size)),
    mode: 0o644,
  }));
  const read = readCpio(cpioArchive([...entries, ...files]));
  deepStrictEqual(read, [
    { name: "dev", inode: 1, mode: 0o040755, content: "" },
    ...files.map(({ name, content }, i) => ({
      name,
      inode: i + 2,
      mode: 0o100644,
      content: "x".repeat(content.length),
    })),
  ]);
});

Deno.test("contents keep every byte, and an archive of nothing is a trailer", () => {
  const content = Uint8Array.from({ length: 256 }, (_, i) => i);
  const archive = cpioArchive([{ name: "init", content }]);
  const at = (110 + "init\0".length + 3) & ~3;
  deepStrictEqual(archive.slice(at, at + 256), content);
  deepStrictEqual(readCpio(cpioArchive([])), []);
});
