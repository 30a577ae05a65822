import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { Collector } from "../../lib/agent/collect.ts";
import { exitWithin } from "../../lib/agent/limit.ts";
import type { ExitStatus } from "../../lib/agent/messages.ts";
import { signalName, signalNumber } from "../../lib/agent/signals.ts";
import { reportOf } from "../../lib/cli/run_report.ts";
import { exitCodeOf, type SessionEnd } from "../../lib/cli/session.ts";
import { VibeError } from "../../lib/errors.ts";

const ENDED: ExitStatus = { kind: "exited", code: 3 };
const KILLED: ExitStatus = { kind: "signaled", signal: 15 };

/** A program that ends when it is told to, or never. */
function program(onTerminate: ExitStatus | null) {
  const { promise: exit, resolve, reject } = Promise.withResolvers<ExitStatus>();
  const graces: number[] = [];
  const terminate = (graceMs: number) => {
    graces.push(graceMs);
    if (onTerminate) resolve(onTerminate);
  };
  return { exit, resolve, reject, graces, terminate };
}

Deno.test("a program that ends by itself is left alone", async () => {
  const exec = program(null);
  const { signal } = new AbortController();
  const end = exitWithin(exec, { timeoutMs: 60_000, signal });
  exec.resolve(ENDED);
  deepStrictEqual(await end, { status: ENDED, endedBy: null });
  deepStrictEqual(exec.graces, []);
});

Deno.test("one that takes too long, or is not wanted any more, is terminated", async () => {
  const late = program(KILLED);
  const end = await exitWithin(late, { timeoutMs: 1 });
  deepStrictEqual([end, late.graces], [{ status: KILLED, endedBy: "timeout" }, [5000]]);
  const controller = new AbortController();
  const unwanted = program(KILLED);
  const waiting = exitWithin(unwanted, { timeoutMs: 60_000, signal: controller.signal });
  controller.abort();
  deepStrictEqual(await waiting, { status: KILLED, endedBy: "signal" });
  deepStrictEqual(
    await exitWithin(program(KILLED), { signal: controller.signal }),
    { status: KILLED, endedBy: "signal" },
  );
});

Deno.test("a guest that never says so is not waited for", async () => {
  const end = await exitWithin(program(null), { timeoutMs: 1, graceMs: 5 });
  deepStrictEqual(end, { status: null, endedBy: "timeout" });
});

Deno.test("a VM that goes away is an error, also while a program is being ended", async () => {
  for (const timeoutMs of [undefined, 1]) {
    const exec = program(null);
    const end = exitWithin(exec, { timeoutMs });
    setTimeout(() => exec.reject(new Error("gone")), 10);
    await rejects(end, /gone/);
  }
});

Deno.test("a collector keeps the beginning and counts all", async () => {
  const collector = new Collector(5);
  for (const part of ["abc", "def", "gh"]) await collector.sink(new TextEncoder().encode(part));
  strictEqual(new TextDecoder().decode(collector.bytes()), "abcde");
  deepStrictEqual([collector.total, collector.truncated], [8, true]);
  strictEqual(new Collector(0).truncated, false);
});

Deno.test("signals have their names", () => {
  const names = [1, 2, 9, 10, 15, 17, 31, 40].map(signalName);
  deepStrictEqual(names, [
    ...["SIGHUP", "SIGINT", "SIGKILL", "SIGUSR1", "SIGTERM", "SIGCHLD", "SIGSYS", "SIG40"],
  ]);
  deepStrictEqual(["SIGTERM", "TERM", "SIGNO", ""].map(signalNumber), [15, 15, null, null]);
});

Deno.test("how a session ended: exit codes and reports", () => {
  const options = { argv: ["make"], tty: false, timeout: 5 };
  const rest = { durationMs: 20, bytes: { stdout: 1, stderr: 2 } };
  const codeOf = (end: SessionEnd) => {
    try {
      return { code: exitCodeOf(end, options), failure: null };
    } catch (error) {
      if (!(error instanceof VibeError)) throw error;
      return { code: error.exitCode, failure: error };
    }
  };
  const missing: ExitStatus = { kind: "failed", errno: 2, message: "run the program" };
  const refused: ExitStatus = { kind: "failed", errno: 13, message: "run the program" };
  const cases: [SessionEnd, number, unknown[]][] = [
    [{ status: ENDED, endedBy: null, ...rest }, 3, [3, null, false, 20, undefined]],
    [{ status: KILLED, endedBy: null, ...rest }, 143, [null, "SIGTERM", false, 20, undefined]],
    [{ status: ENDED, endedBy: "timeout", ...rest }, 124, [3, null, true, 20, "RUN_TIMEOUT"]],
    [{ status: null, endedBy: "timeout", ...rest }, 124, [null, null, true, 20, "RUN_TIMEOUT"]],
    [{ status: missing, endedBy: null, ...rest }, 127, [null, null, false, null, "EXEC_FAILED"]],
    [{ status: refused, endedBy: null, ...rest }, 126, [null, null, false, null, "EXEC_FAILED"]],
  ];
  for (const [end, exitCode, wanted] of cases) {
    const { code, failure } = codeOf(end);
    strictEqual(code, exitCode);
    const { status, signal, timedOut, durationMs, error } = reportOf(end, code, failure);
    deepStrictEqual([status, signal, timedOut, durationMs, error?.code], wanted);
  }
});
