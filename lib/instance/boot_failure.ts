/** What is said of a guest that does not come up, or not right. */

import type { ProtocolError } from "../agent/frame.ts";
import type { Vm, VmExit } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import type { ConsoleLog } from "./console_log.ts";

/** The VM ended before its agent said anything. */
export function exitBeforeHello(exit: VmExit, hint: string): VibeError {
  const what = exit.reason === "failed" ? `: ${exit.detail}` : ` (${exit.reason})`;
  return new VibeError("BOOT_FAILED", `The VM ended while it was booting${what}`, { hint });
}

/** Its agent said nothing for so long. */
export function noSignOfLife(
  milliseconds: number,
  vm: Vm,
  console: ConsoleLog,
  hint: string,
): VibeError {
  const kvm = vm.description.includes("kvm") && console.silent;
  return new VibeError(
    "BOOT_TIMEOUT",
    `The guest did not answer within ${milliseconds / 1000} seconds`,
    {
      hint: kvm
        ? "It gave no sign of life: KVM may not work here. VIBE_ACCEL=tcg does without it."
        : hint,
    },
  );
}

/** What the guest said last. */
export function consoleHint(path: string, console: ConsoleLog): string {
  return `Last lines of its console ("${path}"):\n${console.tail()}`;
}

/** The agent does what it must not. */
export function agentError(error: ProtocolError): VibeError {
  return new VibeError(
    "AGENT_PROTOCOL",
    `Stopped the VM: its agent broke the protocol (${printable(error.message)})`,
    { hint: "Something in the guest tampered with the agent, or it is of another version." },
  );
}
