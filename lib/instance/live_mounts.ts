/** Shares that come and go while a VM runs. */

import type { Vm } from "../driver/driver.ts";
import { ExitCode, printable, VibeError } from "../errors.ts";
import type { PlannedMount } from "../plan/plan.ts";
import type { Guest } from "./guest.ts";

/** The mounts of a VM that runs; changes are made one after another. */
export class LiveMounts {
  readonly #mounts: PlannedMount[];
  #last: Promise<void> = Promise.resolve();
  #added = 0;

  /** `mounts`: those it was started with. What is added is added to them, too. */
  constructor(mounts: PlannedMount[]) {
    this.#mounts = mounts;
  }

  /** @throws {VibeError} `MOUNT_*`, `SHARE_*`; nothing has changed then. */
  add(vm: Vm, guest: Guest, mount: PlannedMount): Promise<void> {
    return this.#next(async () => {
      if (this.#at(mount.guestPath)) {
        const place = printable(mount.guestPath);
        throw new VibeError("MOUNT_DUPLICATE", `Something is mounted at "${place}" already`, {
          hint: "Choose another guest path, or `vibe mount rm` it first.",
          exitCode: ExitCode.usage,
        });
      }
      const { guestPath: _, ...share } = mount;
      // Unique for the VM's life: a hostile guest may hold on to what had a name before.
      share.name = `added-${++this.#added}`;
      await vm.addShare(share);
      const placed = { ...mount, name: share.name };
      try {
        await guest.mount(placed);
      } catch (error) {
        await vm.removeShare(share.name);
        throw error;
      }
      this.#mounts.push(placed);
    });
  }

  /** @throws {VibeError} `MOUNT_*`, `SHARE_*`. */
  remove(vm: Vm, guest: Guest, guestPath: string, force: boolean): Promise<void> {
    return this.#next(async () => {
      const mount = this.#at(guestPath);
      if (!mount) {
        throw new VibeError("MOUNT_NONE", `Nothing is shared at "${printable(guestPath)}"`, {
          hint: "`vibe mount ls` lists what is.",
          exitCode: ExitCode.usage,
        });
      }
      await guest.unmount(mount, force);
      await vm.removeShare(mount.name);
      this.#mounts.splice(this.#mounts.indexOf(mount), 1);
    });
  }

  #at(guestPath: string): PlannedMount | undefined {
    return this.#mounts.find((mount) => mount.guestPath === guestPath);
  }

  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
