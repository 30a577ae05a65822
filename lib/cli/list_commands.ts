/** `vibe ls` and `vibe info`. */

import { ExitCode, printable, VibeError } from "../errors.ts";
import type { Observed } from "../instance/observe.ts";
import { observe, observeAll } from "../instance/observe.ts";
import { formatMounts, formatTable, printError, printOut } from "./output.ts";
import { formatBytes, formatDuration } from "./units.ts";
import { findTarget, type Target } from "./target.ts";

/** What the states of a VM are called. */
const STATES: Record<Observed["state"], string> = {
  booting: "booting",
  ready: "running",
  stopping: "stopping",
  paused: "paused",
  stopped: "stopped",
  changing: "starting or stopping",
  silent: "does not answer",
  "other-version": "running (other version)",
};

/** Every VM that is known, one line each. */
export async function ls(options: { json?: boolean }): Promise<number> {
  const here = await findTarget({});
  const all = await observeAll(here);
  if (options.json) {
    printOut(JSON.stringify(all.map((vm) => jsonOf(vm, here.id)), null, 2) + "\n");
    return 0;
  }
  if (all.length === 0) {
    printError("vibe: there is no VM yet; `vibe` makes one for the current directory.\n");
    return 0;
  }
  const head = ["", "VM", "STATE", "IMAGE", "UP", "SESSIONS", "CPU", "MEMORY", "DISK"];
  printOut(formatTable(head, all.map((vm) => rowOf(vm, here.id))));
  return 0;
}

/** One VM in detail. */
export async function info(options: Target & { json?: boolean }): Promise<number> {
  const instance = await findTarget(options);
  const vm = await observe(instance);
  if (vm.created === null && vm.state === "stopped") {
    throw new VibeError("VM_NONE", `There is no VM of "${printable(instance.title)}"`, {
      hint: "`vibe` makes one; `vibe ls` lists those there are.",
      exitCode: ExitCode.failure,
    });
  }
  if (options.json) printOut(JSON.stringify(jsonOf(vm, instance.id), null, 2) + "\n");
  else printOut(detailsOf(vm));
  return 0;
}

function rowOf(vm: Observed, here: string): string[] {
  const { status } = vm;
  return [
    vm.instance.id === here ? "*" : "",
    printable(tilde(vm.instance.title)),
    STATES[vm.state] + (status?.heldBy ? ` (${status.heldBy})` : ""),
    vm.image === null ? "?" : printable(vm.image),
    status ? formatDuration(uptime(status.since)) : "-",
    status ? String(status.sessions.length) : "-",
    status?.usage ? formatDuration(status.usage.cpuSeconds) : "-",
    status?.usage ? formatBytes(status.usage.memoryBytes) : "-",
    formatBytes(vm.diskBytes),
  ];
}

function detailsOf(vm: Observed): string {
  const { status } = vm;
  const rows: [string, string][] = [
    ["VM", printable(vm.instance.title)],
    ["State", STATES[vm.state]],
    ["Image", vm.image === null ? "?" : printable(vm.image)],
    ["Made", vm.created ?? "?"],
    ["Files", `${printable(vm.instance.dir)} (disk: ${formatBytes(vm.diskBytes)})`],
  ];
  if (status) {
    const { vm: { cpus, memoryMiB, git }, usage } = status;
    const idle = status.idleMinutes === null ? "" : `, for ${status.idleMinutes} min`;
    rows.push(
      ["Up", `${formatDuration(uptime(status.since))}, since ${status.since}`],
      [
        "Stays",
        { keep: `until \`vibe stop\`${idle}`, tmux: "while tmux has sessions" }[
          status.heldBy ?? "" as never
        ] ?? "until its last terminal leaves",
      ],
      ["Size", `${cpus} CPU${cpus === 1 ? "" : "s"}, ${memoryMiB} MiB`],
      ["Git", git],
      ["Runs on", `${status.driver}; supervisor ${status.pid}, vibe ${status.version}`],
    );
    if (usage) {
      const cpu = formatDuration(usage.cpuSeconds);
      rows.push(["Uses", `${cpu} of CPU, ${formatBytes(usage.memoryBytes)} of the host's memory`]);
    }
  }
  let text = rows.map(([name, value]) => `${(name + ":").padEnd(9)}${value}\n`).join("");
  if (!status) return text;
  if (status.vm.mounts.length > 0) text += "\n" + formatMounts(status.vm.mounts);
  if (status.sessions.length > 0) {
    text += "\n" + formatTable(
      ["Session", "Terminal", "For"],
      status.sessions.map((session) => [
        printable(session.argv.join(" "), 60) || "login shell",
        session.tty ? "yes" : "no",
        formatDuration(uptime(session.since)),
      ]),
    );
  }
  return text;
}

/** For programs: what is not known is null. */
function jsonOf(vm: Observed, here: string) {
  const { instance, state, status } = vm;
  return {
    ...instance,
    here: instance.id === here,
    state: state === "ready" ? "running" : state,
    image: vm.image,
    created: vm.created,
    diskBytes: vm.diskBytes,
    since: status?.since ?? null,
    keep: status?.keep ?? null,
    idleMinutes: status?.idleMinutes ?? null,
    heldBy: status?.heldBy ?? null,
    sessions: status?.sessions ?? [],
    cpuSeconds: status?.usage?.cpuSeconds ?? null,
    memoryBytes: status?.usage?.memoryBytes ?? null,
    cpus: status?.vm.cpus ?? null,
    memoryMiB: status?.vm.memoryMiB ?? null,
    git: status?.vm.git ?? null,
    mounts: status?.vm.mounts ?? [],
    pid: status?.pid ?? null,
    version: status?.version ?? null,
    driver: status?.driver ?? null,
  };
}

const uptime = (since: string) => Math.max(0, (Date.now() - Date.parse(since)) / 1000);

/** A path as the user would write it. */
function tilde(path: string): string {
  const home = Deno.env.get("HOME");
  return home && path.startsWith(`${home}/`) ? "~" + path.slice(home.length) : path;
}
