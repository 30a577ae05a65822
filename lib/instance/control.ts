/**
 * What supervisor and command say to each other beside frames: JSON in CONTROL frames on stream 0.
 *
 * Both sides begin with HELLO, whose text holds {@link CONTROL_VERSION}. A command that uses the VM
 * then asks to `attach`: it is told `vm` and `state`, and another `state` at each change, and opens
 * streams once that is `ready`. The VM lives while anyone is attached. A command that only asks, or
 * stops the VM, does not attach. Each request is answered by one `reply`, but for `attach`.
 */

import type { VmExit, VmUsage } from "../driver/driver.ts";
import { printable } from "../errors.ts";
import type { Instance } from "../paths.ts";
import type { PlacedShare } from "../share/git_guard.ts";
import type { GitMode } from "../share/git_mode.ts";
import type { Repository } from "../share/git_scan.ts";
import { VERSION } from "../version.ts";

/**
 * Counts the changes after which supervisor and command of two builds would not understand each
 * other. Version 1 had no requests, and did not say so in its HELLO.
 */
export const CONTROL_VERSION = 3;

/** The text of our HELLO. */
export const helloText = () => `vibe ${VERSION} control ${CONTROL_VERSION}`;

/** What a HELLO's text says about the build it comes from. */
export function parseHello(text: string): { control: number; version: string } {
  const [, version, control] = text.match(/^vibe (\S{1,40}) control (\d{1,9})$/) ?? [];
  return version
    ? { control: Number(control), version: printable(version) }
    : { control: 1, version: "older than 0.1.0" };
}

/** Where a VM is in its life. */
export type VmState = "booting" | "ready" | "stopping";

/** A share as the user sees it. */
export interface MountInfo {
  /** Absolute path on the host. */
  host: string;
  /** Absolute path in the guest. */
  guest: string;
  /** Whether the guest cannot change what is on the host. */
  readOnly: boolean;
  /** The guest may change what it sees all the same, and the host does not see that. */
  copy?: boolean;
}

/** How commands reach a guest: over our agent, or by logging in at its console. */
export type Login = "agent" | "console";

/** What a running VM was started with. */
export interface VmInfo {
  instance: Instance;
  /** Null, both, for a disk that is used in place. */
  image: string | null;
  base: string | null;
  login: Login;
  /** Size of its disk. */
  diskBytes: number;
  /** Which command's `--reset` made its disk anew; null if none did. */
  reset: string | null;
  cpus: number;
  memoryMiB: number;
  git: GitMode;
  /** As `--network` names it. */
  network: string;
  /** The repositories in the project before the VM started. */
  repositories: Repository[];
  mounts: MountInfo[];
  /** The `--mount` values it was started with, as they were given. */
  mountSpecs: string[];
  /** Whether the project directory is shared by default. */
  defaultMounts: boolean;
  /** Whether the user's own directories are shared. */
  homeMounts: boolean;
  /** Working directory of new sessions in the guest; null is the user's home. */
  workdir: string | null;
}

/** Why a VM goes on although no command is attached: it was told to, or the guest has work. */
export type HeldBy = "keep" | "tmux";

/** One program that a command runs in the guest. */
export interface SessionInfo {
  /** Program and arguments; empty for a login shell. */
  argv: string[];
  tty: boolean;
  /** ISO 8601. */
  since: string;
}

/** How a running VM is doing. */
export interface VmStatus {
  vm: VmInfo;
  /** `paused`: its CPUs stand still, as after a write error of the host's disk. */
  state: VmState | "paused";
  /** When it was started, ISO 8601. */
  since: string;
  /** Of the supervisor, the process that the VM lives and dies with. */
  pid: number;
  version: string;
  /** Stays without anyone attached. */
  keep: boolean;
  /** After how many minutes without anyone attached it stops all the same; null is never. */
  idleMinutes: number | null;
  heldBy: HeldBy | null;
  sessions: SessionInfo[];
  usage: VmUsage | null;
  /** How the driver runs it: "qemu 7.2.22, tcg". */
  driver: string;
}

/** Requests of a command, each with the type of its answer. */
export interface Requests {
  /** How is the VM? */
  status: [Record<never, never>, VmStatus];
  /** End it; the connection ends when it is gone and its lock is free. */
  stop: [{ force: boolean }, null];
  /** Whether it stays without anyone attached, and for how many minutes; 0 is for ever. */
  keep: [{ on?: boolean; idleMinutes?: number }, null];
  /** Why does the VM stay when the one who asks leaves? `others` are attached, too. */
  leave: [Record<never, never>, HeldBy | "others" | null];
  /** Share one directory or file more. */
  mountAdd: [{ mount: PlacedShare }, null];
  /** Share what is at a guest path no longer; `force`: also if it is in use there. */
  mountRemove: [{ guest: string; force: boolean }, null];
}

/** A request's name. */
export type RequestName = keyof Requests;
/** What comes with a request. */
export type RequestArgs<N extends RequestName> = Requests[N][0];
/** The value of its reply. */
export type RequestResult<N extends RequestName> = Requests[N][1];

/** From a command. */
export type ControlRequest =
  | { request: "attach" }
  | { [N in RequestName]: { request: N; id: number } & RequestArgs<N> }[RequestName];

/** An error in transit; it becomes a VibeError again on the other side. */
export interface Failure {
  code: string;
  message: string;
  hint?: string;
}

/** From the supervisor. */
export type SupervisorEvent =
  | { event: "vm"; vm: VmInfo }
  | { event: "state"; state: VmState }
  /** Something the user should know, one line. */
  | { event: "note"; text: string }
  /** The answer to request `id`. */
  | { event: "reply"; id: number; value: unknown }
  | { event: "reply"; id: number; failure: Failure }
  /** The VM could not be started or has broken down; the connection ends. */
  | { event: "failed"; failure: Failure }
  /** The VM has ended; the connection ends. `console`: its last lines, if it ended badly. */
  | { event: "ended"; exit: VmExit; console?: string };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The payload of a CONTROL frame. */
export function encodeControl(message: SupervisorEvent | ControlRequest): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** @throws {SyntaxError} if it is not JSON; both sides of one version are one program. */
export function decodeControl<T extends SupervisorEvent | ControlRequest>(payload: Uint8Array): T {
  return JSON.parse(decoder.decode(payload));
}
