/** What images there are, for people and programs that look at them. */

import { type BaseUser, baseUsers } from "../instance/base_users.ts";
import { VibeError } from "../errors.ts";
import { type Base, baseIds, basesDir, readBase } from "./base.ts";
import { checkImageName, imageNames, namedBase, unknownImage } from "./catalog.ts";
import { diskUsage } from "./disk_usage.ts";

/** One image: a name and the base it means, or a base that only VMs need by now. */
export interface ImageEntry {
  /** Null for a base that no name means any more. */
  name: string | null;
  /** Null if the file that says so is damaged. */
  base: string | null;
  /** What is wrong with it; null if it can be used. */
  problem: "damaged" | "gone" | null;
  source: string | null;
  /** The layer that failed when it was built, and so is missing with those after it. */
  unfinished: string | null;
  /** ISO 8601. */
  created: string | null;
  /** Size of the disk that the guest sees. */
  sizeBytes: number | null;
  /** What it takes on this host's disk. */
  realBytes: number;
  usedBy: BaseUser[];
}

/** All images: names first, in order, then bases without one. */
export async function listImages(): Promise<ImageEntry[]> {
  const entries = await Promise.all((await imageNames()).map(nameEntry));
  const named = new Set(entries.map(({ base }) => base));
  const rest = (await baseIds()).filter((id) => !named.has(id));
  return [...entries, ...await Promise.all(rest.map((id) => baseEntry(null, id)))];
}

/**
 * One image.
 *
 * @throws {VibeError} `IMAGE_NAME`, `IMAGE_UNKNOWN`.
 */
export async function describeImage(name: string): Promise<ImageEntry & { details: Base | null }> {
  checkImageName(name);
  if (!(await imageNames()).includes(name)) throw await unknownImage(name);
  const entry = await nameEntry(name);
  const details = entry.base && !entry.problem ? await readBase(entry.base) : null;
  return { ...entry, details };
}

async function nameEntry(name: string): Promise<ImageEntry> {
  const base = await unlessDamaged(namedBase(name));
  return base === "damaged" || base === null ? emptyEntry(name, null) : await baseEntry(name, base);
}

async function baseEntry(name: string | null, id: string): Promise<ImageEntry> {
  const base = await unlessDamaged(readBase(id));
  const { users } = await baseUsers(id);
  const entry = { ...emptyEntry(name, id), usedBy: users };
  if (base === null) return { ...entry, problem: "gone" };
  const realBytes = await diskUsage(`${basesDir()}/${id}`);
  if (base === "damaged") return { ...entry, realBytes };
  const { source, created, diskBytes } = base.info;
  const sizeBytes = await Deno.stat(base.disk).then(({ size }) => size, () => null);
  return {
    ...entry,
    problem: sizeBytes === null ? "damaged" : null,
    source: textOr(source),
    unfinished: textOr(base.info.unfinished),
    created: textOr(created),
    sizeBytes: sizeBytes ?? diskBytes ?? null,
    realBytes,
  };
}

function emptyEntry(name: string | null, base: string | null): ImageEntry {
  return {
    name,
    base,
    problem: "damaged",
    source: null,
    unfinished: null,
    created: null,
    sizeBytes: null,
    realBytes: 0,
    usedBy: [],
  };
}

const textOr = (value: unknown) => typeof value === "string" ? value : null;

/** A damaged image must not keep the others from being listed, or itself from being removed. */
export async function unlessDamaged<T>(work: Promise<T>): Promise<T | "damaged"> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof VibeError && error.code === "IMAGE_DAMAGED") return "damaged";
    throw error;
  }
}
