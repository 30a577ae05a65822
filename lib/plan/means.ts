/** How a plan comes by what a VM needs: it is prepared, or only looked for. */

import { missingTools, prepareHost, type PrepareOptions } from "../host/prepare.ts";
import type { Purpose } from "../host/requirements.ts";
import type { Base } from "../image/base.ts";
import { ensureImage } from "../image/build.ts";
import { DEFAULT_IMAGE, findImage, unknownImage } from "../image/catalog.ts";
import { type BootFiles, ensureBootFiles, findBootFiles } from "../image/initrd.ts";

import { noteUser } from "../instance/base_users.ts";
import type { Instance } from "../paths.ts";

/** What is asked for while a plan is made. */
export interface Means {
  /** Programs of the host. */
  host(purposes: Purpose[]): Promise<void>;
  /** The base that a name means; null if it is yet to be built. @throws {VibeError} if it never is. */
  image(name: string): Promise<Base | null>;
  /** Notes that a VM needs a base, so that nobody removes it. */
  claim(base: Base, instance: Instance): Promise<void>;
  /** What boots a base; null if it is yet to be made. */
  boot(base: Base): Promise<BootFiles | null>;
}

/** Installs, builds and compiles what is missing; nothing is null. */
export function preparing(options: PrepareOptions): Means {
  return {
    host: (purposes) => prepareHost(purposes, options),
    image: (name) => ensureImage(name, options),
    // A cache that we cannot write to cannot be pruned by us, either.
    claim: (base, instance) => noteUser(base.id, instance).catch(() => {}),
    boot: (base) => ensureBootFiles(base, options),
  };
}

/** Changes nothing; what is missing is added to `missing`, in words. */
export function looking(missing: Set<string>): Means {
  return {
    async host(purposes) {
      for (const tool of await missingTools(purposes)) missing.add(tool);
    },
    async image(name) {
      const found = await findImage(name);
      if (!found && name !== DEFAULT_IMAGE) throw await unknownImage(name);
      if (!found) missing.add(`the image "${name}", which is built`);
      return found;
    },
    async claim() {},
    async boot(base) {
      const found = await findBootFiles(base);
      if (!found) missing.add("the guest agent for this image, which is compiled");
      return found;
    },
  };
}
