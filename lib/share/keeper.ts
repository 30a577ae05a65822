/**
 * Keeps the guards of a running VM in place. When a directory entry is renamed over or removed, the
 * kernel unmounts whatever other namespaces have mounted on it. So `git config` on the host, which
 * renames `config.lock` to `config`, takes the guard off `.git/config` (seen on Linux 6.18). It is
 * noticed at once, and mounted again.
 */

import { join } from "node:path";
import type { Share } from "../driver/driver.ts";
import { reason, VibeError } from "../errors.ts";
import type { ShareNamespace } from "./namespace.ts";
import { PathWatch } from "./watch.ts";

/** What the keeper tells. */
export interface KeeperReport {
  /** These paths on the host had no guard for a moment. */
  restored(paths: string[]): void;
  /** A guard cannot be put back. */
  lost(error: VibeError): void;
}

/** Watches the guards of `shares` until it is disposed of. */
export function keepGuards(
  namespace: ShareNamespace,
  shares: Share[],
  report: KeeperReport,
): AsyncDisposable {
  // The shares themselves, too: a file that an editor replaces is another file.
  const paths = shares.flatMap((
    { source, guards },
  ) => [source, ...guards.map(({ path }) => join(source, path))]);
  let lost = "";
  const onLost = (error: VibeError) => {
    // Once, however often it is tried again.
    if (error.message !== lost) report.lost(error);
    lost = error.message;
  };
  return new PathWatch(() => paths, async () => {
    try {
      const restored = await namespace.restore();
      if (restored.length > 0) report.restored(restored);
      lost = "";
    } catch (cause) {
      const message = `Cannot look after the guards of the shares: ${reason(cause)}`;
      onLost(
        cause instanceof VibeError ? cause : new VibeError("SHARE_GUARD_LOST", message, { cause }),
      );
    }
  }, onLost);
}
