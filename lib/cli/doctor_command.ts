/** `vibe doctor`. */

import { type Finding, runChecks } from "../doctor/finding.ts";
import { hostChecks } from "../doctor/host.ts";
import { checkVm } from "../doctor/vm.ts";
import { attachRunning } from "../instance/attach.ts";
import { projectInstance } from "../paths.ts";
import type { Progress } from "../progress.ts";
import { printError, style } from "./output.ts";
import { terminalProgress } from "./progress.ts";

/** The exit code when there is a problem; warnings are none. */
const PROBLEMS = 1;

const MARKS = { ok: "ok", warning: "warning", problem: "PROBLEM" };

/** Nothing in the VM can be asked then. */
const STANDS_STILL: Omit<Finding, "check"> = {
  state: "problem",
  text: "it stands still: the host's disk is full, or QEMU was suspended",
  remedy: "With room on the disk it goes on by itself. `vibe stop --force` ends it.",
};

/** Looks, and mends if it may. Resolves to 0, or to 1 if a problem is left. */
export async function doctor(options: { fix?: boolean; json?: boolean }): Promise<number> {
  using progress = terminalProgress(false);
  let findings = await examine(progress);
  const fixable = findings.filter(({ fix }) => fix);
  if (options.fix && fixable.length > 0) {
    for (const { fix } of fixable) await fix!();
    findings = await examine(progress);
  }
  progress.done();
  if (options.json) console.log(JSON.stringify({ findings: findings.map(asJson) }, null, 2));
  else for (const finding of findings) print(finding);
  const problems = findings.filter(({ state }) => state === "problem");
  if (!options.json && problems.some(({ fix }) => fix)) {
    printError("vibe: `vibe doctor --fix` does some of that for you.\n");
  }
  return problems.length > 0 ? PROBLEMS : 0;
}

async function examine(progress: Progress): Promise<Finding[]> {
  progress.step("Looking");
  const host = await runChecks(hostChecks({ progress }));
  return [...host, ...await vmFindings()];
}

/** What is to be said about the VM of the current directory. */
async function vmFindings(): Promise<Finding[]> {
  const instance = await projectInstance(await Deno.realPath(Deno.cwd()));
  const silent = { waiting: () => {}, note: () => {} };
  using vm = await attachRunning(instance, silent);
  if (!vm) return [{ check: "VM", state: "ok", text: "this directory's VM does not run" }];
  const findings = await runChecks([{
    name: "VM",
    look: async () => {
      await vm.ready;
      const { state } = await vm.link.request("status", {});
      return state === "paused" ? STANDS_STILL : { state: "ok", text: "it runs" };
    },
  }]);
  if (findings.some(({ state }) => state === "problem")) return findings;
  return [...findings, ...await checkVm(vm, await vm.info)];
}

function asJson({ check, state, text, remedy }: Finding): Omit<Finding, "fix"> {
  return { check, state, text, remedy };
}

function print({ check, state, text, remedy }: Finding): void {
  const mark = MARKS[state].padEnd(8);
  const shown = state === "ok" ? mark : style(state === "problem" ? "red" : "cyan", mark);
  const indented = remedy?.split("\n").map((line) => `${" ".repeat(9)}${line}\n`).join("") ?? "";
  console.log(`${shown} ${check}: ${text}\n${indented}`.trimEnd());
}
