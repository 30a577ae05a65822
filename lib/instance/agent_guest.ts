/** A guest with our agent: commands reach it through the hub, each with streams of its own. */

import type { AgentClient } from "../agent/client.ts";
import { FrameConnection } from "../agent/connection.ts";
import { Errno } from "../agent/errno.ts";
import { FrameType, PROTOCOL_VERSION, ProtocolError } from "../agent/frame.ts";
import {
  encodeHello,
  encodeMount,
  encodePoweroff,
  encodeUmount,
  type ExitStatus,
  FROM_GUEST,
} from "../agent/messages.ts";
import type { Vm } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import type { PlannedMount } from "../plan/plan.ts";
import { isWithin } from "../share/mountinfo.ts";
import { agentError } from "./boot_failure.ts";
import type { SessionInfo } from "./control.ts";
import type { Guest, GuestClient } from "./guest.ts";
import { GuestClock } from "./guest_clock.ts";
import { waitForGuestWork } from "./guest_work.ts";
import { checkHello, Hub } from "./hub.ts";

/** The text of an agent's HELLO: what it is, and a key that only root in this guest can know. */
const HELLO_TEXT = /^(.*?)( key [0-9a-f]{32})?$/s;

/** See the head of this file. */
export class AgentGuest implements Guest {
  /** 6 s without hardware virtualisation here. */
  readonly bootTimeout = 120_000;
  readonly #hub = new Hub();
  readonly #clock = new GuestClock((clock) => this.#hub.request(FrameType.clock, clock));
  /** Commands may come, and again when the agent was started anew. */
  #isOpen = false;
  readonly #mounts: PlannedMount[];
  readonly #log: (line: string) => void;
  readonly #fail: (error: unknown) => void;

  /** `fail` is told if the guest does, at any time, what ends the VM. */
  constructor(
    mounts: PlannedMount[],
    log: (line: string) => void,
    fail: (error: unknown) => void,
  ) {
    this.#mounts = mounts;
    this.#log = log;
    this.#fail = fail;
  }

  connect(connection: FrameConnection): GuestClient {
    const client = this.#hub.addClient(connection);
    // What it runs finds the clock right, whatever the machine went through before.
    this.#clock.sync();
    return {
      onFrame: (frame) => this.#hub.onClientFrame(client, frame),
      leave: () => this.#hub.removeClient(client),
    };
  }

  onConsole(): void {}

  async serve(vm: Vm): Promise<void> {
    vm.onResume = () => this.#clock.sync();
    const ready = Promise.withResolvers<void>();
    this.#receive(vm, () => this.#onHello().then(ready.resolve, ready.reject));
    await ready.promise;
  }

  async open(first: (agent: AgentClient) => Promise<void>): Promise<void> {
    await first(this.#hub.ownClient());
    this.#isOpen = true;
    this.#hub.accepting = true;
  }

  powerOff(): boolean {
    const accepted = this.#hub.accepting;
    this.#hub.accepting = false;
    // A guest that is still booting has nothing to lose but a clean journal.
    if (!accepted) return false;
    try {
      this.#hub.request(FrameType.poweroff, encodePoweroff(false));
      return true;
    } catch {
      return false;
    }
  }

  async mount(mount: PlannedMount): Promise<void> {
    const { name, source, guestPath } = mount;
    const payload = encodeMount(name, guestPath, mount);
    const status = await this.#hub.request(FrameType.mount, payload);
    if (status.kind === "exited" && status.code === 0) return;
    throw new VibeError(
      "MOUNT_FAILED",
      `Cannot mount "${printable(source)}" at "${printable(guestPath)}" in the guest: ${
        why(status)
      }`,
    );
  }

  async unmount({ guestPath }: PlannedMount, inUse: boolean): Promise<void> {
    const status = await this.#hub.request(FrameType.umount, encodeUmount(guestPath, inUse));
    if (status.kind === "exited" && status.code === 0) return;
    const place = printable(guestPath);
    if (status.kind === "failed" && status.errno === Errno.EBUSY) {
      throw new VibeError("MOUNT_BUSY", `Cannot unmount "${place}" in the guest: it is in use`, {
        hint: "A program there has files open in it, or stands in it. --force takes it away.",
      });
    }
    // What the guest has unmounted by itself is no longer there to be unmounted.
    if (status.kind === "failed" && status.errno === Errno.EINVAL) return;
    const message = `Cannot unmount "${place}" in the guest: ${why(status)}`;
    throw new VibeError("MOUNT_FAILED", message);
  }

  sessions(): SessionInfo[] {
    return this.#hub.sessions();
  }

  waitForWork(held: () => void): Promise<void> {
    return waitForGuestWork(this.#hub, held);
  }

  async #receive(vm: Vm, onHello: () => void): Promise<void> {
    const agent = new FrameConnection(vm.agent, FROM_GUEST);
    try {
      await agent.receive((frame) => {
        if (frame.type !== FrameType.hello) {
          this.#hub.onAgentFrame(frame);
          return;
        }
        const [, build, key] = checkHello(frame, PROTOCOL_VERSION).match(HELLO_TEXT)!;
        this.#log(`agent: ${printable(build)}`);
        if (key) agent.beginsWith(frame);
        this.#hub.attachAgent(agent);
        agent.send(0, FrameType.hello, encodeHello("vibe"));
        onHello();
      });
    } catch (error) {
      this.#fail(error instanceof ProtocolError ? agentError(error) : error);
    }
    this.#clock[Symbol.dispose]();
    this.#hub.loseAgent();
    agent.close();
  }

  /** The agent is there (or there again): clock and shares, then commands may come. */
  async #onHello(): Promise<void> {
    this.#clock.start();
    // What is mounted inside of another mount comes after that.
    const isInner = ({ guestPath }: PlannedMount) =>
      this.#mounts.some((other) =>
        other.guestPath !== guestPath && isWithin(guestPath, other.guestPath)
      );
    const inner = this.#mounts.filter(isInner);
    const outer = this.#mounts.filter((mount) => !isInner(mount));
    await Promise.all(outer.map((mount) => this.mount(mount)));
    for (const mount of inner.sort((a, b) => a.guestPath.length - b.guestPath.length)) {
      await this.mount(mount);
    }
    if (this.#isOpen) this.#hub.accepting = true;
  }
}

function why(status: ExitStatus): string {
  return status.kind === "failed" ? printable(status.message) : status.kind;
}
