/** The supervisor's executable: made once, aside, signed with or without codesign. */

import { deepStrictEqual as assertEquals, match, ok, rejects } from "node:assert/strict";
import { ENTITLEMENTS, entitlementsPlist } from "../../lib/macos/entitlements.ts";
import { signedCopy } from "../../lib/macos/signed_copy.ts";
import { macDeno } from "./packages.ts";
import { readSignature } from "./signature.ts";

/** A directory with a fake codesign in it, which is alone on PATH with what it needs itself. */
class Scene implements AsyncDisposable {
  readonly #path = Deno.env.get("PATH")!;
  private constructor(readonly dir: string) {}

  /** `codesign`: what it does with `$log`, a file for its arguments; null: there is none. */
  static async make(codesign: string | null): Promise<Scene> {
    const scene = new Scene(await Deno.makeTempDir({ prefix: "vibe-sign-" }));
    await Deno.mkdir(`${scene.dir}/bin`);
    if (codesign !== null) {
      const script = `#!/bin/sh\nPATH=/usr/bin:/bin\nlog='${scene.dir}/log'\n${codesign}\n`;
      await Deno.writeTextFile(`${scene.dir}/bin/codesign`, script, { mode: 0o755 });
    }
    Deno.env.set("PATH", `${scene.dir}/bin`);
    return scene;
  }
  get copies() {
    return `${this.dir}/copies`;
  }
  /** An executable that is no Mach-O. */
  async script(content = "#!/bin/sh\n"): Promise<string> {
    const path = `${this.dir}/program`;
    await Deno.writeTextFile(path, content, { mode: 0o755 });
    return path;
  }
  /** Everything below the directory of copies. */
  async left(): Promise<string[]> {
    const found: string[] = [];
    for await (const home of Deno.readDir(this.copies)) {
      for await (const entry of Deno.readDir(`${this.copies}/${home.name}`)) found.push(entry.name);
    }
    return found.sort();
  }
  async [Symbol.asyncDispose]() {
    Deno.env.set("PATH", this.#path);
    await Deno.remove(this.dir, { recursive: true });
  }
}

const RECORD = 'for a; do echo "$a"; done >> "$log"';

Deno.test("codesign is given the copy, aside, with the entitlements; the name comes after", async () => {
  await using scene = await Scene.make(
    `${RECORD}; while [ "$1" != --entitlements ]; do shift; done
     cp "$2" "$log.plist"; echo signed >> "$3"; ls "$(dirname "$3")/.." >> "$log.seen"`,
  );
  const source = await scene.script();
  const path = await signedCopy({ source, dir: scene.copies });
  const [force, sign, adHoc, identifier, name, entitlements, plist, target] =
    (await Deno.readTextFile(`${scene.dir}/log`)).trim().split("\n");
  assertEquals(
    [force, sign, adHoc, identifier, name, entitlements],
    ["--force", "--sign", "-", "--identifier", "vibe-supervisor", "--entitlements"],
  );
  match(target, /\/new-[^/]+\/vibe-supervisor$/);
  assertEquals(plist, `${target}.plist`);
  assertEquals(
    await Deno.readFile(`${scene.dir}/log.plist`),
    entitlementsPlist(ENTITLEMENTS),
  );
  // While it was signed there was nothing under the final name.
  ok(!(await Deno.readTextFile(`${scene.dir}/log.seen`)).includes(path.split("/").pop()!));
  assertEquals(await Deno.readTextFile(path), "#!/bin/sh\nsigned\n");
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o755);
  assertEquals(await Deno.readTextFile(source), "#!/bin/sh\n");
  assertEquals(await scene.left(), ["source", path.split("/").pop()!]);
});

Deno.test("a copy is made once for each version; older ones and orphans go", async () => {
  await using scene = await Scene.make(RECORD);
  const runs = async () => (await Deno.readTextFile(`${scene.dir}/log`)).match(/--force/g)!.length;
  const source = await scene.script();
  const first = await signedCopy({ source, dir: scene.copies });
  assertEquals(await signedCopy({ source, dir: scene.copies }), first);
  assertEquals(await runs(), 1);

  await scene.script("#!/bin/sh\n# an upgrade\n");
  const second = await signedCopy({ source, dir: scene.copies });
  ok(second !== first);
  assertEquals(await runs(), 2);
  assertEquals(await scene.left(), ["source", second.split("/").pop()!]);

  const other = `${scene.dir}/other`;
  await Deno.rename(source, other);
  const third = await signedCopy({ source: other, dir: scene.copies });
  assertEquals(await scene.left(), ["source", third.split("/").pop()!]);
});

Deno.test("two commands at once end with one copy", async () => {
  await using scene = await Scene.make(RECORD);
  const source = await scene.script();
  const paths = await Promise.all(
    Array.from({ length: 4 }, () => signedCopy({ source, dir: scene.copies })),
  );
  assertEquals(new Set(paths).size, 1);
  assertEquals((await scene.left()).length, 2);
});

for (const [what, codesign] of [["missing", null], ["failing", "echo no >&2; exit 1"]] as const) {
  Deno.test(`with codesign ${what}, the copy is signed all the same`, async () => {
    const source = await macDeno();
    await using scene = await Scene.make(codesign);
    const path = await signedCopy({ source, dir: scene.copies });
    const signature = await readSignature(await Deno.readFile(path));
    assertEquals([signature.badPages, signature.badSlots], [[], []]);
    const text = new TextDecoder().decode(signature.blobs.get(5));
    match(text, /<key>com\.apple\.security\.virtualization<\/key>/);
  });
}

Deno.test("when nothing can sign it, the error says why twice and what to do", async () => {
  await using scene = await Scene.make("echo 'internal error' >&2; exit 3");
  const source = await scene.script();
  await rejects(signedCopy({ source, dir: scene.copies }), {
    code: "MACOS_SIGN",
    message: /codesign: internal error; and without it: it is not a Mach-O executable/,
    hint: /xcode-select --install/,
  });
  assertEquals(await scene.left(), ["source"]);
});

Deno.test("a copy that cannot be written is an error with a remedy, and leaves nothing", async () => {
  await using scene = await Scene.make(RECORD);
  await rejects(signedCopy({ source: scene.dir, dir: scene.copies }), {
    code: "MACOS_COPY",
    hint: /VIBE_CACHE/,
  });
  assertEquals(await scene.left(), ["source"]);
});
