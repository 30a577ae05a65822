/** Taking images away: names at once, bases only when nothing needs them. */

import { join } from "node:path";
import { printable, VibeError } from "../errors.ts";
import { type BaseUser, baseUsers, notedUsers, usersDir } from "../instance/base_users.ts";
import type { Progress } from "../progress.ts";
import { baseIds, basesDir, lockBases } from "./base.ts";
import { withImageLock } from "./build.ts";
import { forgetImage, imageNames, namedBase, unknownImage } from "./catalog.ts";
import { diskUsage } from "./disk_usage.ts";
import { unlessDamaged } from "./inventory.ts";
import { lockPartials } from "./partial.ts";

/**
 * Takes a name away, and the base that it means unless another name means it, too. Resolves to the
 * bytes that this freed.
 *
 * @throws {VibeError} `IMAGE_UNKNOWN`, `IMAGE_IN_USE`.
 */
export async function removeImage(name: string, progress: Progress): Promise<number> {
  if (!(await imageNames()).includes(name)) throw await unknownImage(name);
  return await withImageLock(name, { progress }, async () => {
    const base = await unlessDamaged(namedBase(name));
    const shared = (await namesOf(base)).some((other) => other !== name);
    if (base === null || base === "damaged" || shared) {
      await forgetImage(name);
      return 0;
    }
    const { users, stale } = await baseUsers(base);
    if (users.length > 0) throw inUse(name, users);
    await forgetImage(name);
    progress.step(`Removing the image "${name}"`);
    return await freeBase(base, stale) ?? 0;
  });
}

/** The names that mean a base. */
async function namesOf(base: string | null): Promise<string[]> {
  const names = await imageNames();
  const bases = await Promise.all(names.map((name) => unlessDamaged(namedBase(name))));
  return names.filter((_, i) => bases[i] === base);
}

/**
 * Removes a base that nothing needs. Resolves to the bytes that it took; null if it came into use,
 * or is not there.
 *
 * @param stale notes of VMs that were found to be gone, see {@link baseUsers}.
 */
export async function freeBase(id: string, stale: string[]): Promise<number | null> {
  const dir = join(basesDir(), id);
  const doomed = `${dir}.partial`;
  let bytes: number;
  using _partials = await lockPartials();
  {
    using _lock = await lockBases();
    const used = (await notedUsers(id)).some((user) => !stale.includes(user));
    if (used || (await namesOf(id)).length > 0 || !(await baseIds()).includes(id)) return null;
    bytes = await diskUsage(dir);
    // Whoever is killed from here on leaves what a build would have left.
    await Deno.rename(dir, doomed);
  }
  await Deno.remove(usersDir(id), { recursive: true }).catch(() => {});
  await Deno.remove(doomed, { recursive: true });
  return bytes;
}

function inUse(name: string, users: BaseUser[]): VibeError {
  const titles = users.map(({ instance }) => `"${printable(instance.title)}"`);
  const count = titles.length === 1 ? "a VM is" : `${titles.length} VMs are`;
  return new VibeError(
    "IMAGE_IN_USE",
    `Cannot remove the image "${name}": ${count} made from it: ${titles.join(", ")}`,
    {
      hint: "Their disks mean nothing without it. Remove those VMs first: `vibe rm`, or delete " +
        "their .vibe/",
    },
  );
}
