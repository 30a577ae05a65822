/** What vibe needs of a Linux host, and what brings it, as plain tables. */

import { EFI_FIRMWARE } from "./efi.ts";

/** The package managers vibe can use. */
export type PackageManager = "apt" | "dnf" | "pacman" | "zypper";

/**
 * When something is needed: to run a VM, to build a base image, to compile the guest agent, or to boot
 * a disk that needs UEFI.
 */
export type Purpose = "run" | "image" | "agent" | "efi";

/** What a host is, as far as package names depend on it. */
export interface HostKind {
  arch: typeof Deno.build.arch;
  /** Code names of the distribution and those it is made from, from os-release: "bookworm". */
  codenames: string[];
}

/** One thing a host must have. */
export interface Requirement {
  /** What it is called in messages: a program, or what it is for. */
  name: string;
  purpose: Purpose;
  /** Any of these will do: a program's name to look for on PATH, or the absolute path of a file. */
  anyOf: string[];
  /** A library that the C compiler must know instead. */
  library?: string;
  /** Needed only by users other than root. */
  unprivileged?: boolean;
  /** The package that brings it; null where a distribution has none. */
  packages: Record<PackageManager, string | null>;
}

/** Releases whose QEMU packages carry the C virtiofsd; later ones have a package for the Rust one. */
const C_VIRTIOFSD = ["bullseye", "bookworm", "focal", "jammy", "kinetic", "lunar"];

/** Where virtiofsd is; it is rarely on PATH: Debian 13 and Fedora, Arch, Debian 12. */
const VIRTIOFSD = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** The keys that Debian's archive is signed with. */
const DEBIAN_KEYS = [
  "/usr/share/keyrings/debian-archive-keyring.gpg",
  "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/** All that vibe needs on a host of this kind, whatever is there already. */
export function requirements(host: HostKind): Requirement[] {
  const arm = host.arch === "aarch64";
  const qemu = arm ? "qemu-system-aarch64" : "qemu-system-x86_64";
  const cVirtiofsd = host.codenames.some((name) => C_VIRTIOFSD.includes(name));
  const everywhere = (name: string) => ({ apt: name, dnf: name, pacman: name, zypper: name });
  const of = (
    purpose: Purpose,
    name: string,
    packages: Requirement["packages"],
    anyOf: string[] = [name],
  ): Requirement => ({ name, purpose, anyOf, packages });
  return [
    of("run", qemu, {
      apt: arm ? "qemu-system-arm" : "qemu-system-x86",
      dnf: arm ? "qemu-system-aarch64-core" : "qemu-system-x86-core",
      pacman: arm ? "qemu-system-aarch64" : "qemu-system-x86",
      zypper: arm ? "qemu-arm" : "qemu-x86",
    }),
    of("run", "qemu-img", {
      apt: "qemu-utils",
      dnf: "qemu-img",
      pacman: "qemu-img",
      zypper: "qemu-tools",
    }),
    of("run", "virtiofsd", {
      ...everywhere("virtiofsd"),
      apt: cVirtiofsd ? "qemu-system-common" : "virtiofsd",
    }, [...VIRTIOFSD, "virtiofsd"]),
    of("run", "unshare", everywhere("util-linux")),
    of("run", "setpriv", everywhere("util-linux")),
    of("efi", "UEFI firmware", {
      apt: arm ? "qemu-efi-aarch64" : "ovmf",
      dnf: arm ? "edk2-aarch64" : "edk2-ovmf",
      pacman: arm ? "edk2-aarch64" : "edk2-ovmf",
      zypper: arm ? "qemu-uefi-aarch64" : "qemu-ovmf-x86_64",
    }, (EFI_FIRMWARE[host.arch] ?? []).map(({ code }) => code)),
    of("image", "mmdebstrap", { apt: "mmdebstrap", dnf: "mmdebstrap", pacman: null, zypper: null }),
    of("image", "Debian's archive keys", {
      apt: "debian-archive-keyring",
      dnf: "debian-keyring",
      pacman: "debian-archive-keyring",
      zypper: null,
    }, DEBIAN_KEYS),
    // mmdebstrap finds out with it which keys a release is signed with.
    of("image", "gpg", { apt: "gpg", dnf: "gnupg2", pacman: "gnupg", zypper: "gpg2" }),
    of("image", "mke2fs", everywhere("e2fsprogs")),
    of("image", "xz", { ...everywhere("xz"), apt: "xz-utils" }),
    of("agent", "cc", everywhere("gcc"), ["cc", "gcc"]),
    {
      ...of("agent", "a static C library", {
        apt: "libc6-dev",
        dnf: "glibc-static",
        pacman: "glibc",
        zypper: "glibc-devel-static",
      }),
      library: "libc.a",
    },
    {
      ...of("image", "newuidmap", {
        apt: "uidmap",
        dnf: "shadow-utils",
        pacman: "shadow",
        zypper: "shadow",
      }),
      unprivileged: true,
    },
  ];
}

/** The distinct packages for what is missing, and the names of what no package brings. */
export function packagesFor(
  missing: Requirement[],
  manager: PackageManager,
): { packages: string[]; unavailable: string[] } {
  const packages = new Set<string>();
  const unavailable: string[] = [];
  for (const { name, packages: { [manager]: found } } of missing) {
    if (found) packages.add(found);
    else unavailable.push(name);
  }
  return { packages: [...packages], unavailable };
}

/** The commands that install packages, in order, without sudo. */
export function installCommands(manager: PackageManager, packages: string[]): string[][] {
  switch (manager) {
    case "apt":
      return [
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", ...packages],
      ];
    case "dnf":
      return [["dnf", "install", "-y", "--setopt=install_weak_deps=False", ...packages]];
    case "pacman":
      return [["pacman", "-S", "--needed", "--noconfirm", ...packages]];
    case "zypper":
      return [["zypper", "--non-interactive", "install", "--no-recommends", ...packages]];
  }
}

/** The code names in the text of /etc/os-release: "bookworm", "jammy" also for what is made of it. */
export function codenames(osRelease: string): string[] {
  const pattern = /^(?:VERSION|UBUNTU|DEBIAN)_CODENAME="?([a-z]+)"?$/gm;
  return [...new Set([...osRelease.matchAll(pattern)].map((match) => match[1]))];
}
