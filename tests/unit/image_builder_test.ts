/** Where a Debian image is put together: on this host, or in a VM of an image that there is. */

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import type { BaseInfo } from "../../lib/image/base.ts";
import { readBase } from "../../lib/image/base.ts";
import { nameImage } from "../../lib/image/catalog.ts";
import { type Builder, chooseBuilder } from "../../lib/image/debian_vm.ts";
import { silentProgress } from "../../lib/progress.ts";
import { fakeBase, inPlaces } from "./image_support.ts";

/** On a host without any program; what it notes is added to `notes`. */
async function choose(builder: Builder, notes: string[] = []): Promise<string | null> {
  const path = Deno.env.get("PATH")!;
  Deno.env.set("PATH", "/nowhere");
  try {
    const note = (text: string) => void notes.push(text);
    return (await chooseBuilder({ builder, note, progress: silentProgress }))?.id ?? null;
  } finally {
    Deno.env.set("PATH", path);
  }
}

Deno.test({
  name: "without mmdebstrap, an image is built in a VM of one that has apt",
  // A Mac builds nothing itself, whatever is installed.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inPlaces(async ({ cache }) => {
      await rejects(choose("auto"), { code: "HOST_TOOLS_MISSING", message: /mmdebstrap/ });
      await rejects(choose("vm"), { code: "BUILDER_NONE" });
      await fakeBase(cache, "one");
      await nameImage("default", (await readBase("one"))!);
      // It is none of Debian's kind.
      await rejects(choose("auto"), { code: "HOST_TOOLS_MISSING" });
      const path = `${cache}/bases/one/image.json`;
      const info: BaseInfo = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...info, packages: { apt: "3" } }));
      const notes: string[] = [];
      deepStrictEqual([await choose("auto", notes), notes.length], ["one", 1]);
      match(notes[0], /so it is done in a VM/);
      strictEqual(await choose("vm"), "one");
      await rejects(choose("host"), { code: "HOST_TOOLS_MISSING" });
    }),
});
