/** The guest as the supervisor sees it: what commands talk to, over an agent or a console. */

import type { AgentClient } from "../agent/client.ts";
import type { FrameConnection } from "../agent/connection.ts";
import type { Frame } from "../agent/frame.ts";
import type { Vm } from "../driver/driver.ts";
import type { PlannedMount } from "../plan/plan.ts";
import type { SessionInfo } from "./control.ts";

/** One command (terminal, script) that is attached. */
export interface GuestClient {
  /** A frame from the command. @throws {ProtocolError} if it is out of place. */
  onFrame(frame: Frame): void;
  /** The command is gone: what it started is hung up. */
  leave(): void;
}

/** What runs in a VM, as far as commands reach it. */
export interface Guest {
  /** Milliseconds that it may take from the start of the VM until {@link serve} resolves. */
  readonly bootTimeout: number;
  /** A command attaches. Streams that it opens before the guest is ready are refused. */
  connect(connection: FrameConnection): GuestClient;
  /**
   * Serves a VM that has just been started; the one before, if there was one, is gone. Resolves when
   * its shares are mounted and {@link open} can be called.
   *
   * @throws {VibeError} if that cannot be.
   */
  serve(vm: Vm): Promise<void>;
  /** Shows a share, which the VM has, at its place. @throws {VibeError} `MOUNT_FAILED`. */
  mount(mount: PlannedMount): Promise<void>;
  /** Takes it away from there. @throws {VibeError} `MOUNT_BUSY`, `MOUNT_FAILED`. */
  unmount(mount: PlannedMount, inUse: boolean): Promise<void>;
  /**
   * Lets commands in, once `first` has run what comes before them. A guest without an agent cannot
   * run that.
   */
  open(first: (agent: AgentClient) => Promise<void>): Promise<void>;
  /** Output of the system console. More of it comes when the promise resolves. */
  onConsole(chunk: Uint8Array): Promise<void> | void;
  /** Asks the guest to power off, and refuses new streams. False if it cannot be asked. */
  powerOff(vm: Vm): Promise<boolean> | boolean;
  /** What commands run in it at the moment. */
  sessions(): SessionInfo[];
  /**
   * Calls `held` if there is work that outlives the terminal it was begun on; resolves when there
   * is none, no more, or no telling.
   */
  waitForWork(held: () => void): Promise<void>;
}
