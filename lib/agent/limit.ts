/** Ends a program that takes too long, or that nobody wants any more. */

import type { Exec } from "./client.ts";
import type { ExitStatus } from "./messages.ts";

/** From SIGTERM to SIGKILL, and from there to giving up. */
const GRACE_MS = 5000;

/** When a program has to end, whether or not it has done its work. */
export interface Limit {
  /** Milliseconds from its start; none or 0 for no limit. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Milliseconds from SIGTERM to SIGKILL; 5000 if left out. */
  graceMs?: number;
}

/** The part of an {@link Exec} that this needs. */
type EndableExec = Pick<Exec, "exit" | "terminate">;

/** How a program under a {@link Limit} ended. */
export interface LimitedExit {
  /**
   * Null if the guest did not say that the program was gone as long again after its SIGKILL. It
   * cannot where nobody takes the program's output, or a device holds the program.
   */
  status: ExitStatus | null;
  /** What ended it, if it did not end by itself. */
  endedBy: "timeout" | "signal" | null;
}

/**
 * Waits for the end of a program, and brings it about when its time is up. Start it with
 * {@link ExecRequest.cgroup}: then all that it has started ends with it.
 *
 * @throws whatever {@link Exec.exit} rejects with.
 */
export async function exitWithin(exec: EndableExec, limit: Limit): Promise<LimitedExit> {
  const up = Promise.withResolvers<"timeout" | "signal">();
  const timer = limit.timeoutMs
    ? setTimeout(() => up.resolve("timeout"), limit.timeoutMs)
    : undefined;
  const abort = () => up.resolve("signal");
  if (limit.signal?.aborted) abort();
  limit.signal?.addEventListener("abort", abort);
  try {
    const first = await Promise.race([exec.exit, up.promise]);
    if (typeof first !== "string") return { status: first, endedBy: null };
    return { status: await end(exec, limit.graceMs ?? GRACE_MS), endedBy: first };
  } finally {
    clearTimeout(timer);
    limit.signal?.removeEventListener("abort", abort);
  }
}

async function end(exec: EndableExec, graceMs: number): Promise<ExitStatus | null> {
  exec.terminate(graceMs);
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), 2 * graceMs);
  try {
    return await Promise.race([exec.exit, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
