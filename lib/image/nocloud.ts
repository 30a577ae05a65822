/**
 * Debian's published nocloud disks: a partitioned disk with a system that boots to a login prompt
 * and lets root in without a password. Pinned: what is used is what was looked at.
 */

import type { Wanted } from "./downloads.ts";

/** The release of the images; part of their names. */
const BUILD = "20260112-2355";

function pinned(architecture: string, bytes: number, hex: string): Wanted {
  const name = `debian-13-nocloud-${architecture}-${BUILD}.tar.xz`;
  return {
    url: `https://cloud.debian.org/images/cloud/trixie/${BUILD}/${name}`,
    bytes,
    digest: { algorithm: "sha512", hex },
  };
}

/** By Debian's name for the processor. */
export const NOCLOUD: Record<"amd64" | "arm64", Wanted> = {
  amd64: pinned(
    "amd64",
    300592428,
    "765890bb31a071be829a64d086923447476b94b9c02faecff80f787a7e261f20" +
      "88449f94ce362e5cb752901b188c443a284cb91bc98991fdcf375beca4a54eb9",
  ),
  arm64: pinned(
    "arm64",
    280901576,
    "6ab9be9e6834adc975268367f2f0235251671184345c34ee13031749fdfbf66f" +
      "e4c3aafd949a2d98550426090e9ac645e79009c51eb0eefc984c15786570bb38",
  ),
};
