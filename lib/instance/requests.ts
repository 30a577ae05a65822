/** The supervisor's answers to requests. */

import { reason, VibeError } from "../errors.ts";
import type { PlannedMount } from "../plan/plan.ts";
import type {
  ControlRequest,
  RequestArgs,
  RequestName,
  RequestResult,
  SupervisorEvent,
  VmStatus,
} from "./control.ts";

/** What a supervisor lets itself be asked. */
export interface Answerer {
  status(): Promise<VmStatus>;
  stop(force: boolean): void;
  keep(how: RequestArgs<"keep">): void;
  addMount(mount: PlannedMount): Promise<void>;
  removeMount(guest: string, force: boolean): Promise<void>;
}

/** A request that has an answer. */
export type Question = Exclude<ControlRequest, { request: "attach" }>;

/**
 * Does what is asked; resolves to the reply, which may be a failure.
 *
 * @param after why the VM stays when the one who asks leaves.
 */
export async function answer(
  vm: Answerer,
  question: Question,
  after: () => Promise<RequestResult<"leave">>,
): Promise<SupervisorEvent> {
  const { id } = question;
  try {
    return { event: "reply", id, value: await valueOf(vm, question, after) };
  } catch (error) {
    const { code, message, hint } = error instanceof VibeError
      ? error
      : new VibeError("SUPERVISOR_FAILED", `The VM's supervisor failed: ${reason(error)}`);
    return { event: "reply", id, failure: { code, message, hint } };
  }
}

async function valueOf(
  vm: Answerer,
  question: Question,
  after: () => Promise<RequestResult<"leave">>,
): Promise<RequestResult<RequestName>> {
  switch (question.request) {
    case "status":
      return await vm.status();
    case "leave":
      return await after();
    case "stop":
      vm.stop(question.force);
      return null;
    case "keep":
      vm.keep(question);
      return null;
    case "mountAdd":
      await vm.addMount(question.mount);
      return null;
    case "mountRemove":
      await vm.removeMount(question.guest, question.force);
      return null;
  }
}
