/**
 * Which hypervisor the VM tests run over. `VIBE_TEST_DRIVER=vz` has the whole suite run on the Mac's
 * driver, which here drives a double of Apple's framework; the assertions are the same.
 */

import { fileURLToPath } from "node:url";
import { build, buildDylib } from "../mac/build.ts";

/** A driver by its name in the plan. */
export type DriverName = "qemu" | "vz";

/** The driver under test. */
export const DRIVER: DriverName = chosenDriver(Deno.env.get("VIBE_TEST_DRIVER") ?? "qemu");

function chosenDriver(name: string): DriverName {
  if (name === "qemu" || name === "vz") return name;
  throw new Error(`VIBE_TEST_DRIVER is "${name}", neither "qemu" nor "vz"`);
}

/**
 * What a test or a step begins with that cannot hold on the other driver: there it is ignored, and
 * its name says why.
 */
export function onlyOn(driver: DriverName, why: string, name: string) {
  const ignore = driver !== DRIVER;
  return { name: ignore ? `${name} (only on ${driver}: ${why})` : name, ignore };
}

/** Why what is about rules inside a share is not tried over the Mac's driver. */
export const NO_GUARDS = "macOS enforces no rules inside a share";

/** The name of a VM's disk among its state. */
export const DISK = { qemu: "disk.qcow2", vz: "disk.raw" }[DRIVER];

const GUEST = fileURLToPath(new URL("../mac/double/guest.ts", import.meta.url));

/**
 * What makes the real command and its supervisor run on the double, whose guests QEMU runs.
 *
 * @param bytes the bridge as compiled for Linux, or the very x86_64 code that ships.
 */
export async function onTheDouble(bytes: "elf" | "macho" = "elf"): Promise<Record<string, string>> {
  return {
    PATH: `${await codesign()}:${Deno.env.get("PATH")}`,
    VIBE_DRIVER: "vz",
    VIBE_VZ_LIBRARY: await build(bytes),
    VIBE_DOUBLE_LIVE: "1",
    VIBE_DOUBLE_GUEST: `exec '${Deno.execPath()}' run -A '${GUEST}'`,
    ...bytes === "macho" ? { VIBE_MACHO: await buildDylib() } : {},
  };
}

/** A directory with a codesign that says it signed: Linux runs the copy without. */
async function codesign(): Promise<string> {
  const dir = fileURLToPath(new URL("../../dist/mac/bin", import.meta.url));
  await Deno.mkdir(dir, { recursive: true });
  await Deno.symlink("/bin/true", `${dir}/codesign`).catch((error) => {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  });
  return dir;
}

/** The environment of every vibe that is tested. */
export async function driverEnv(): Promise<Record<string, string>> {
  return DRIVER === "vz" ? await onTheDouble() : {};
}
