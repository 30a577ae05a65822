/** User namespaces: what lets an ordinary user build an image with files of many owners. */

import { readTextIfPresent } from "../files.ts";

/** How many user ids an image may use: 0 to 65535. The first one is the user's own. */
export const ID_COUNT = 65536;

/** The first id that useradd gives away, unless told otherwise in login.defs. */
const FIRST_SUBID = 100000;

/** Kernel settings that keep user namespaces from ordinary users: name, value that does, remedy. */
const FORBIDDING: [name: string, forbids: string, allows: string][] = [
  // Debian's own, until its kernels of 2021.
  ["kernel.unprivileged_userns_clone", "0", "1"],
  // Ubuntu since 23.10: there is a namespace, but nothing may be mounted in it.
  ["kernel.apparmor_restrict_unprivileged_userns", "1", "0"],
  ["user.max_user_namespaces", "0", "15000"],
];

/**
 * What to do where user namespaces do not work, one or a few lines.
 *
 * @param readSetting a kernel setting by its sysctl name; null if there is none.
 */
export async function usernsRemedy(
  readSetting: (name: string) => Promise<string | null> = readSysctl,
): Promise<string> {
  for (const [name, forbids, allows] of FORBIDDING) {
    if ((await readSetting(name))?.trim() !== forbids) continue;
    return `Allow them now:  sudo sysctl -w ${name}=${allows}\n` +
      `And after a restart:  echo ${name}=${allows} | sudo tee /etc/sysctl.d/60-vibe.conf`;
  }
  return "In a container, start it with user namespaces allowed; elsewhere ask whoever administers" +
    " this machine, or run vibe as root.";
}

function readSysctl(name: string): Promise<string | null> {
  return readTextIfPresent(`/proc/sys/${name.replaceAll(".", "/")}`);
}

/**
 * The first of the ids that /etc/subuid or /etc/subgid gives to a user, or null if it does not
 * give them enough in one piece.
 *
 * @param owners the user's name and numeric id: either may be used in the file.
 */
export function firstSubid(table: string, owners: string[]): number | null {
  const found = parseSubids(table).find(({ owner, count }) =>
    owners.includes(owner) && count >= ID_COUNT - 1
  );
  return found?.first ?? null;
}

/** The first id after all that are given away in these tables. */
export function freeSubid(tables: string[]): number {
  const ends = tables.flatMap(parseSubids).map(({ first, count }) => first + count);
  return Math.max(FIRST_SUBID, ...ends);
}

function parseSubids(table: string): { owner: string; first: number; count: number }[] {
  return table.split("\n").flatMap((line) => {
    const [, owner, first, count] = line.match(/^([^:#]+):(\d+):(\d+)$/) ?? [];
    return owner ? [{ owner, first: Number(first), count: Number(count) }] : [];
  });
}

/** The user's ids in /etc/subuid and /etc/subgid, as the first of each; null if they lack any. */
export async function ownSubids(user: string): Promise<{ uid: number; gid: number } | null> {
  const owners = [user, String(Deno.uid())];
  const uid = firstSubid(await readTextIfPresent("/etc/subuid") ?? "", owners);
  const gid = firstSubid(await readTextIfPresent("/etc/subgid") ?? "", owners);
  return uid === null || gid === null ? null : { uid, gid };
}
