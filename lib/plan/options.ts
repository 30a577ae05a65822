/** What may be asked of a VM, before anything is resolved. */

import type { GitMode } from "../share/git_mode.ts";

/** The options that shape a VM, as they were given; what was not given is absent. */
export interface VmOptions {
  cpus?: number;
  ram?: number;
  mount?: string[];
  /** False with `--no-default-mounts`. */
  defaultMounts?: boolean;
  /** Caches, settings and logins of the user's: as the project is shared unless this is given. */
  homeMounts?: boolean;
  git?: GitMode;
  image?: string;
  /** The VM stays when nobody uses it. */
  keep?: boolean;
  /** After how many minutes without anyone it stops all the same; 0 is never. */
  idle?: number;
  /** Size of the VM's disk in GiB; it only ever grows. */
  disk?: number;
  /** Throw the VM's disk away and begin with a fresh one. */
  reset?: boolean;
  /** See `parseNetwork`. */
  network?: string;
  /** The VM is new, and removed when it ends. */
  rm?: boolean;
  /** Tell what hooks say in any case. */
  verbose?: boolean;
  /** Install what this host lacks without asking. */
  yes?: boolean;
}
