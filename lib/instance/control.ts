/**
 * What supervisor and command say to each other beside frames: JSON in CONTROL frames on stream
 * 0. Both sides begin with HELLO. The supervisor then sends `vm` and `state`, and another `state`
 * at each change; a command opens streams once the state is `ready`.
 */

import type { VmExit } from "../driver/driver.ts";
import type { Instance } from "../paths.ts";
import type { GitMode } from "../share/git_guard.ts";
import type { Repository } from "../share/git_scan.ts";

/** Where a VM is in its life. */
export type VmState = "booting" | "ready" | "stopping";

/** A share as the user sees it. */
export interface MountInfo {
  host: string;
  guest: string;
  readOnly: boolean;
}

/** What a running VM was started with. */
export interface VmInfo {
  instance: Instance;
  image: string;
  base: string;
  cpus: number;
  memoryMiB: number;
  git: GitMode;
  /** The repositories in the project before the VM started. */
  repositories: Repository[];
  mounts: MountInfo[];
  /** The `--mount` values it was started with, as they were given. */
  mountSpecs: string[];
  /** Whether the project directory is shared by default. */
  defaultMounts: boolean;
  /** Working directory of new sessions in the guest; null is the user's home. */
  workdir: string | null;
}

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
  /** The VM could not be started or has broken down; the connection ends. */
  | { event: "failed"; failure: Failure }
  /** The VM has ended; the connection ends. */
  | { event: "ended"; exit: VmExit };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The payload of a CONTROL frame. */
export function encodeEvent(event: SupervisorEvent): Uint8Array {
  return encoder.encode(JSON.stringify(event));
}

/** @throws {SyntaxError} if it is not JSON; supervisor and command are one program. */
export function decodeEvent(payload: Uint8Array): SupervisorEvent {
  return JSON.parse(decoder.decode(payload));
}
