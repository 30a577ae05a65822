/** `.vibe/instance.json`: what the VM of a project was made from. */

import { VibeError } from "../errors.ts";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import { isBaseId } from "../image/base.ts";
import type { InstancePaths } from "../paths.ts";

/** The content of instance.json. */
export interface InstanceRecord {
  version: 1;
  /** The name that was asked for. */
  image: string;
  /** The base that the overlay stands on; it means nothing without it. */
  base: string;
  /** ISO 8601. */
  created: string;
}

/**
 * The record of a project's VM, or null if it has none yet.
 *
 * @throws {VibeError} `INSTANCE_DAMAGED` if the file is not what was written.
 */
export async function readRecord(paths: InstancePaths): Promise<InstanceRecord | null> {
  const text = await readTextIfPresent(paths.record);
  if (text === null) return null;
  try {
    const record = JSON.parse(text);
    if (
      record.version === 1 && typeof record.image === "string" && typeof record.base === "string" &&
      isBaseId(record.base)
    ) return record;
  } catch {
    // Falls through to the error.
  }
  throw new VibeError("INSTANCE_DAMAGED", `Cannot read "${paths.record}": it is damaged`, {
    hint: `Your project is untouched. Remove "${paths.dir}" to begin with a fresh VM.`,
  });
}

/** Writes the record; the last step of making an instance. */
export function writeRecord(paths: InstancePaths, record: InstanceRecord): Promise<void> {
  return writeFileWhole(paths.record, JSON.stringify(record, null, 2) + "\n");
}
