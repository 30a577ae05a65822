/** The tables of what a host needs. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  codenames,
  installCommands,
  packagesFor,
  requirements,
} from "../../lib/host/requirements.ts";

const x86 = (...names: string[]) => requirements({ arch: "x86_64", codenames: names });

Deno.test("Debian 12 has everything for running in three packages", () => {
  const missing = x86("bookworm").filter(({ purpose, name }) =>
    purpose === "run" && !["unshare", "setpriv"].includes(name)
  );
  deepStrictEqual(packagesFor(missing, "apt"), {
    packages: ["qemu-system-x86", "qemu-utils", "qemu-system-common"],
    unavailable: [],
  });
});

Deno.test("virtiofsd has a package of its own where QEMU's is too new for the one in C", () => {
  const apt = (...names: string[]) =>
    x86(...names).find(({ name }) => name === "virtiofsd")!.packages.apt;
  strictEqual(apt("trixie"), "virtiofsd");
  strictEqual(apt("noble"), "virtiofsd");
  strictEqual(apt(), "virtiofsd");
  strictEqual(apt("jammy"), "qemu-system-common");
  // Linux Mint 21 is made from Ubuntu 22.04.
  strictEqual(apt("vera", "jammy"), "qemu-system-common");
});

Deno.test("an ARM host needs the ARM emulator", () => {
  const [qemu] = requirements({ arch: "aarch64", codenames: [] });
  strictEqual(qemu.name, "qemu-system-aarch64");
  deepStrictEqual(packagesFor([qemu], "apt").packages, ["qemu-system-arm"]);
});

Deno.test("what a distribution has no package for is named, once; packages are named once", () => {
  const all = x86("trixie");
  deepStrictEqual(packagesFor(all, "pacman").unavailable, ["mmdebstrap"]);
  deepStrictEqual(packagesFor(all, "zypper").unavailable, ["mmdebstrap", "Debian's archive keys"]);
  const { packages, unavailable } = packagesFor(all, "apt");
  deepStrictEqual(unavailable, []);
  strictEqual(new Set(packages).size, packages.length);
  strictEqual(packages.filter((name) => name === "util-linux").length, 1);
});

Deno.test("each package manager installs without questions and without extras", () => {
  deepStrictEqual(installCommands("apt", ["a", "b"]), [
    ["apt-get", "update"],
    ["apt-get", "install", "-y", "--no-install-recommends", "a", "b"],
  ]);
  for (const manager of ["dnf", "pacman", "zypper"] as const) {
    const commands = installCommands(manager, ["a"]);
    strictEqual(commands.length, 1);
    ok(commands[0].some((word) => /^(-y|--noconfirm|--non-interactive)$/.test(word)), manager);
    strictEqual(commands[0].at(-1), "a");
  }
});

Deno.test("code names of a system and of what it is made from", () => {
  deepStrictEqual(
    codenames('NAME="Linux Mint"\nVERSION_CODENAME=vera\nUBUNTU_CODENAME=jammy\n'),
    ["vera", "jammy"],
  );
  deepStrictEqual(codenames('VERSION_CODENAME="bookworm"\nID=debian\n'), ["bookworm"]);
  deepStrictEqual(codenames("ID=arch\n"), []);
});
