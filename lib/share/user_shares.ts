/**
 * What a VM gets of the user's home directory without being asked: caches of packages, and the
 * settings and logins of coding agents.
 *
 * The host runs what is in there: a crate's build script, a Maven plugin, a hook in an agent's
 * settings. So the guest gets a copy to change: the host shares these directories read-only, and
 * what the guest writes stays in the guest. Only logins are shared for both to write, or a token
 * that one side renews would be lost to the other. What was said in other projects is hidden.
 */

import { join } from "node:path";
import { miseCacheDir, sharesWhole } from "../paths.ts";
import type { PlacedShare } from "./git_guard.ts";
import { realPath } from "./git_dir.ts";
import { GuardSet, ownDirectories } from "./guard_set.ts";
import { isWithin } from "./mountinfo.ts";

/** A directory of the user's, at the same place below the guest's home. */
interface UserDirectory {
  /** Below the home directory. */
  path: string;
  /** Files in it that both sides write. */
  logins: string[];
  /** Below it, by name: what agents keep of their work in other projects. */
  hidden: [dir: string, name: RegExp][];
}

const DIRECTORIES: UserDirectory[] = [
  { path: ".m2", logins: [], hidden: [] },
  { path: ".cargo/registry", logins: [], hidden: [] },
  {
    path: ".codex",
    logins: ["auth.json"],
    hidden: [
      ["", /^(sessions|archived_sessions|history\.jsonl|log|memories|shell_snapshots)$/],
      ["", /\.sqlite/],
    ],
  },
  {
    path: ".claude",
    logins: [".credentials.json"],
    hidden: [
      ["", /^(projects|history\.jsonl|file-history|sessions|transcripts|paste-cache|image-cache)$/],
      ["", /^(todos|tasks|plans|shell-snapshots|session-env|debug|backups|ide)$/],
    ],
  },
  {
    path: ".gemini",
    logins: ["oauth_creds.json", "google_accounts.json"],
    hidden: [["", /^(tmp|history)$/]],
  },
  { path: ".pi", logins: ["agent/auth.json"], hidden: [["agent", /^sessions$/]] },
];

/** Where the guest's home directory is. */
const GUEST_HOME = "/root";

/**
 * The shares of the directories that exist.
 *
 * @param taken guest paths of other shares: what is asked for comes first.
 */
export function userShares(home: string | undefined, taken: string[]): PlacedShare[] {
  const free = ({ guestPath }: PlacedShare) => !taken.some((path) => isWithin(guestPath, path));
  const realHome = home ? realPath(home) : null;
  const shares = realHome === null ? [] : DIRECTORIES.flatMap((dir) => shareOf(dir, realHome));
  return [...shares, ...miseShare()].filter(free);
}

function shareOf({ path, logins, hidden }: UserDirectory, home: string): PlacedShare[] {
  const source = realPath(join(home, path));
  // A link may lead anywhere, but not to more than it is for.
  if (!source || isWithin(home, source) || isOwn(source)) return [];
  const guards = new GuardSet(source);
  if (guards.kind("") !== "directory") return [];
  const name = `home-${path.replace(/[^a-z0-9]+/g, "-").replace(/^-/, "")}`;
  const guestPath = `${GUEST_HOME}/${path}`;
  const shared: PlacedShare = { name, source, guestPath, readOnly: true, copy: true, guards: [] };
  if (sharesWhole()) return [shared];
  guards.protect(".vibe", "hide");
  for (const [dir, pattern] of hidden) {
    for (const entry of names(join(source, dir)).filter((entry) => pattern.test(entry))) {
      guards.protect(join(dir, entry), "hide");
    }
  }
  const files = logins.filter((login) => guards.kind(login) === "file").map((login, index) => ({
    name: `${name}-login-${index}`,
    source: join(source, login),
    guestPath: `${guestPath}/${login}`,
    readOnly: false,
    guards: [],
  }));
  return [{ ...shared, guards: guards.list() }, ...files];
}

/** Only VMs use it: it is there once an image with mise was built. */
function miseShare(): PlacedShare[] {
  const source = realPath(miseCacheDir());
  if (!source || new GuardSet(source).kind("") !== "directory") return [];
  const guestPath = `${GUEST_HOME}/.cache/mise`;
  return [{ name: "cache-mise", source, guestPath, readOnly: false, guards: [] }];
}

function isOwn(path: string): boolean {
  return ownDirectories().some((own) => isWithin(path, own) || isWithin(own, path));
}

function names(dir: string): string[] {
  try {
    return Array.from(Deno.readDirSync(dir), ({ name }) => name);
  } catch {
    return [];
  }
}
