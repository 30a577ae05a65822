/** A plan for people and programs: what `--plan` prints. Pure. */

import { AGENT_PORT, type Disk, type Driver, SHARED_TAG, type VmConfig } from "../driver/driver.ts";
import { networkName } from "./network.ts";
import type { VmOptions } from "./options.ts";
import type { VmOutline } from "./plan.ts";
import { attached, diskOf } from "./vm_config.ts";

/** A device of the machine beside processors and memory. */
export type Device =
  | { kind: "disk"; path: string; format: Disk["format"]; backing: string | null }
  | { kind: "console"; name: "hvc0" }
  | { kind: "port"; name: string }
  | { kind: "shares"; tag: string }
  | { kind: "network"; mode: string };

/** `--plan --json`. */
export interface PlanReport {
  /** Which VM, and where its state is. */
  vm: { kind: string; title: string; dir: string };
  driver: Driver["name"];
  /** Null for a disk image that is used in place. */
  image: { name: string; base: string | null } | null;
  /** Its size is null before its image is built. */
  disk: { path: string; format: Disk["format"]; bytes: number | null; reset: boolean };
  /** Null before the image is built. */
  boot: VmOutline["boot"];
  cpus: number;
  memoryMiB: number;
  network: string;
  /** By where they are in the guest. */
  shares: {
    host: string;
    guest: string;
    readOnly: boolean;
    /** The guest writes to a copy of its own. */
    copy: boolean;
    /** What of it the guest cannot see, write or rename. */
    guards: { path: string; rule: string }[];
  }[];
  devices: Device[];
  /** Scripts of the host that are run in the guest before anything else. */
  hooks: string[];
  /** Where sessions begin in the guest; null is the user's home. */
  workdir: string | null;
  /** How it is logged in, and what is done then, in order. */
  login: { via: VmOutline["login"]; actions: string[][] };
  /** What is run; null for a login shell. */
  run: string[] | null;
  /** No shell either: the VM is started, and that is all. */
  startOnly: boolean;
  timeoutSeconds: number | null;
  keep: boolean;
  idleMinutes: number | null;
  /** The VM is removed after its session. */
  ephemeral: boolean;
  /** What this host lacks yet and would be installed or built, in words. */
  missing: string[];
  /** A command line that says all of this explicitly. */
  command: string[];
}

/** What of a command line is no part of a {@link VmOutline}. */
export interface Invocation {
  options: VmOptions & { name?: string; timeout?: number };
  /** Path of a disk image. */
  diskImage?: string;
  /** Words after `run`; null for a shell. */
  run: string[] | null;
  startOnly?: boolean;
  /** `--send`, `--expect` and `--script` with their values, in order. */
  actions: string[][];
}

/** The report on a plan. */
export function reportPlan(
  outline: VmOutline,
  invocation: Invocation,
  driver: Driver["name"],
  missing: string[],
): PlanReport {
  const disk = diskOf(outline, driver);
  const { instance, base } = outline;
  return {
    vm: { kind: instance.kind, title: instance.title, dir: instance.dir },
    driver,
    image: outline.image === null ? null : { name: outline.image, base: base?.id ?? null },
    disk: {
      path: disk.path,
      format: disk.format,
      bytes: outline.diskBytes,
      reset: outline.reset !== null,
    },
    boot: outline.boot,
    cpus: outline.cpus,
    memoryMiB: outline.memoryMiB,
    network: networkName(outline.network),
    shares: outline.mounts.map(({ source, guestPath, readOnly, copy = false, guards }) => ({
      host: source,
      guest: guestPath,
      readOnly,
      copy,
      guards,
    })).sort((a, b) => a.guest < b.guest ? -1 : 1),
    devices: devices({ disks: [disk], ...attached(outline) }),
    hooks: outline.hooks.map(({ path }) => path),
    workdir: outline.workdir,
    login: { via: outline.login, actions: invocation.actions },
    run: invocation.run,
    startOnly: invocation.startOnly ?? false,
    timeoutSeconds: invocation.options.timeout || null,
    keep: outline.keep,
    idleMinutes: outline.idleMinutes,
    ephemeral: outline.ephemeral,
    missing,
    command: explicitCommand(outline, invocation),
  };
}

/** In the order in which drivers attach them. */
function devices({ disks, shares, network }: Pick<VmConfig, "disks" | "shares" | "network">) {
  const found: Device[] = disks.map(({ path, format, backing = null }) => ({
    kind: "disk",
    path,
    format,
    backing,
  }));
  found.push({ kind: "console", name: "hvc0" }, { kind: "port", name: AGENT_PORT });
  if (shares.length > 0) found.push({ kind: "shares", tag: SHARED_TAG });
  if (network !== "none") found.push({ kind: "network", mode: networkName(network) });
  return found;
}

/** Says all that a plan holds, so that neither defaults nor settings add to it. */
function explicitCommand(outline: VmOutline, invocation: Invocation): string[] {
  const { options, diskImage, run, startOnly, actions } = invocation;
  const { image, cpus, memoryMiB, network } = outline;
  const words = ["vibe", "--no-default-mounts", "--cpus", `${cpus}`, "--ram", `${memoryMiB}`];
  words.push("--network", networkName(network));
  if (image !== null) words.push("--image", image);
  if (options.disk !== undefined) words.push("--disk", `${options.disk}`);
  if (outline.reset !== null) words.push("--reset");
  if (outline.homeMounts) words.push("--home-mounts");
  for (const spec of outline.explicit) words.push("--mount", spec);
  if (outline.keep) words.push("--keep");
  words.push("--idle", `${outline.idleMinutes ?? 0}`);
  if (outline.ephemeral) words.push("--rm");
  words.push("--timeout", `${options.timeout ?? 0}`);
  if (options.name !== undefined) words.push("--name", options.name);
  words.push(...actions.flat());
  if (diskImage !== undefined) words.push(diskImage);
  if (startOnly) words.push("start");
  if (run) words.push("run", "--", ...run);
  return words;
}
