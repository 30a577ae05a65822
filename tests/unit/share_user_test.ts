/** Which directories of the user's a VM gets, and which not. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { userShares } from "../../lib/share/user_shares.ts";
import { inPlaces } from "./image_support.ts";

/** Guest path, mode and guards of each share. */
function shares(home: string | undefined, taken: string[] = []) {
  return userShares(home, taken).map(({ guestPath, readOnly, copy, guards }) => [
    guestPath,
    copy ? "copy" : readOnly ? "read-only" : "read-write",
    ...guards.map(({ path, rule }) => `${rule} ${path}`).sort(),
  ]);
}

async function make(root: string, ...paths: string[]): Promise<void> {
  for (const path of paths) {
    await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    if (!path.endsWith("/")) await Deno.writeTextFile(`${root}/${path}`, "x");
  }
}

Deno.test("directories that exist are copies in the guest, and logins are shared", () =>
  inPlaces(async ({ root, cache }) => {
    const home = `${root}/home`;
    deepStrictEqual(shares(undefined), []);
    deepStrictEqual(shares(home), []);
    await make(
      home,
      ".m2/",
      ".cargo/registry/",
      ".cargo/credentials.toml",
      ".gemini/settings.json",
    );
    await make(home, ".codex/auth.json", ".codex/sessions/", ".codex/state_5.sqlite-wal");
    await make(home, ".pi/agent/auth.json", ".pi/agent/sessions/", ".pi/agent/settings.json");
    await make(home, ".claude/projects/", ".claude/history.jsonl", ".claude/settings.json");
    await make(cache, "mise/");
    deepStrictEqual(shares(home), [
      ["/root/.m2", "copy"],
      ["/root/.cargo/registry", "copy"],
      ["/root/.codex", "copy", "hide sessions", "hide state_5.sqlite-wal"],
      ["/root/.codex/auth.json", "read-write"],
      ["/root/.claude", "copy", "hide history.jsonl", "hide projects"],
      ["/root/.gemini", "copy"],
      ["/root/.pi", "copy", "hide agent/sessions", "pin agent"],
      ["/root/.pi/agent/auth.json", "read-write"],
      ["/root/.cache/mise", "read-write"],
    ]);
    // Names of shares are unique, and fit into the tree.
    const names = userShares(home, []).map(({ name }) => name);
    strictEqual(new Set(names).size, names.length);
    deepStrictEqual(names.filter((name) => !/^[a-z0-9-]+$/.test(name)), []);
  }));

Deno.test("what is asked for comes first, also above", () =>
  inPlaces(async ({ root }) => {
    await make(root, ".m2/", ".claude/.credentials.json");
    deepStrictEqual(shares(root, ["/root/.m2"]).map(([path]) => path), [
      "/root/.claude",
      "/root/.claude/.credentials.json",
    ]);
    deepStrictEqual(shares(root, ["/root"]), []);
    // Something inside of it is mounted on top.
    strictEqual(shares(root, ["/root/.m2/repository"]).length, 3);
  }));

Deno.test("links are followed, but never to more than they are for", () =>
  inPlaces(async ({ root, cache }) => {
    const home = `${root}/home`;
    await make(root, "home/", "dotfiles/claude/settings.json", "secret");
    await make(cache, "bases/");
    await Deno.symlink(`${root}/dotfiles/claude`, `${home}/.claude`);
    await Deno.symlink(`${root}/secret`, `${root}/dotfiles/claude/.credentials.json`);
    await Deno.symlink(home, `${home}/.m2`);
    await Deno.symlink("/", `${home}/.codex`);
    await Deno.symlink(`${cache}/bases`, `${home}/.gemini`);
    await Deno.writeTextFile(`${home}/.pi`, "a file");
    const found = userShares(home, []);
    deepStrictEqual(found.map(({ source, guestPath }) => [source, guestPath]), [
      [`${root}/dotfiles/claude`, "/root/.claude"],
    ]);
  }));

Deno.test("on a Mac, directories are shared as a whole and single files not at all", () =>
  inPlaces(async ({ root }) => {
    await make(root, ".claude/projects/", ".claude/.credentials.json");
    Deno.env.set("VIBE_DRIVER", "vz");
    try {
      deepStrictEqual(shares(root), [["/root/.claude", "copy"]]);
    } finally {
      Deno.env.delete("VIBE_DRIVER");
    }
  }));
