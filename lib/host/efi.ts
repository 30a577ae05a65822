/** Where distributions keep UEFI for QEMU's machines. */

import type { EfiFirmware } from "../driver/driver.ts";

/** Code and variables, by architecture; the first pair that is there is taken. */
export const EFI_FIRMWARE: Partial<Record<typeof Deno.build.arch, EfiFirmware[]>> = {
  x86_64: [
    // Debian, Ubuntu; Fedora; Arch; openSUSE.
    pair("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    pair("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    pair("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    pair("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    pair("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
  ],
  aarch64: [
    pair("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    pair(
      "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
      "/usr/share/edk2/aarch64/vars-template-pflash.raw",
    ),
    pair("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
    pair("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),
  ],
};

function pair(code: string, variables: string): EfiFirmware {
  return { code, variables };
}

/** The firmware on this host, or null if there is none. */
export async function findEfiFirmware(arch: typeof Deno.build.arch): Promise<EfiFirmware | null> {
  for (const firmware of EFI_FIRMWARE[arch] ?? []) {
    const present = [firmware.code, firmware.variables].map((path) =>
      Deno.stat(path).then((info) => info.isFile, () => false)
    );
    if ((await Promise.all(present)).every(Boolean)) return firmware;
  }
  return null;
}
