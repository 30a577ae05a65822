/** Checks of a VM that runs: its agent, clock, shares, network and room. */

import { Collector } from "../agent/collect.ts";
import { exitWithin } from "../agent/limit.ts";
import { printable } from "../errors.ts";
import type { Attachment } from "../instance/attach.ts";
import type { MountInfo, VmInfo } from "../instance/control.ts";
import type { Finding } from "./finding.ts";

/** A guest that takes longer for a look around is not well. */
const TIMEOUT_MS = 30_000;
const MAX_ANSWER = 64 << 10;

/** Off by more than this, TLS certificates and `make` begin to fail. */
const CLOCK_TOLERANCE_S = 2;
/** Less free space than this, in KiB, is a problem in the guest. */
const LEAST_ROOM_KIB = 200 << 10;

/**
 * One line `name=value` for each thing; the guest paths of the shares are its arguments. A name is
 * looked up that has to exist where there is an Internet.
 */
const LOOK = `
echo "clock=$(date +%s.%N)"
echo "room=$(df -kP / | awk 'END { print $4 }')"
echo "memory=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)"
echo "route=$(ip -o route show default | head -n 1)"
echo "name=$(timeout 10 getent hosts debian.org | head -n 1)"
echo "failed=$(systemctl --failed --plain --no-legend 2>/dev/null | awk '{ printf "%s ", $1 }')"
for path; do
  if [ -d "$path" ]; then ls -A "$path" >/dev/null 2>&1; else head -c 1 "$path" >/dev/null 2>&1; fi
  echo "share=$?"
done
`;

/** Looks at a VM from inside. Resolves to the findings; it does not throw for a guest's failings. */
export async function checkVm(vm: Attachment, info: VmInfo): Promise<Finding[]> {
  const before = Date.now();
  const answer = await look(vm, info.mounts.map(({ guest }) => guest));
  if (answer === null) {
    return [{
      check: "agent",
      state: "problem",
      text: `the guest does not answer within ${TIMEOUT_MS / 1000} s`,
      remedy: "`vibe logs` shows its console; `vibe restart` starts it anew.",
    }];
  }
  const after = Date.now();
  const seconds = ((after - before) / 1000).toFixed(1);
  return [
    { check: "agent", state: "ok", text: `it answers; this look took ${seconds} s` },
    clock(answer.get("clock")?.[0], before / 1000, after / 1000),
    ...shares(info.mounts, answer.get("share") ?? []),
    network(info, answer),
    room(answer.get("room")?.[0]),
    services(answer.get("failed")?.[0]),
  ];
}

/** Null if no answer comes. The values are the guest's own words. */
async function look(vm: Attachment, paths: string[]): Promise<Map<string, string[]> | null> {
  const output = new Collector(MAX_ANSWER);
  const argv = ["sh", "-c", LOOK, "sh", ...paths];
  const exec = vm.agent.exec({ argv, stdin: false, cgroup: true }, {
    stdout: output.sink,
    stderr: () => Promise.resolve(),
  });
  const { status, endedBy } = await exitWithin(exec, { timeoutMs: TIMEOUT_MS });
  if (endedBy || status?.kind !== "exited" || status.code !== 0) return null;
  const answer = new Map<string, string[]>();
  for (const line of new TextDecoder().decode(output.bytes()).split("\n")) {
    const [, name, value] = line.match(/^([a-z]+)=(.*)$/) ?? [];
    if (name) answer.set(name, [...answer.get(name) ?? [], value.trim()]);
  }
  return answer;
}

/** The guest told its time some time between `before` and `after`, in seconds. */
function clock(text: string | undefined, before: number, after: number): Finding {
  const check = "clock";
  const time = Number(text);
  if (!text || !Number.isFinite(time)) {
    return { check, state: "problem", text: "the guest does not tell its time" };
  }
  const off = time < before ? time - before : time > after ? time - after : 0;
  if (Math.abs(off) <= CLOCK_TOLERANCE_S) return { check, state: "ok", text: "it is right" };
  return {
    check,
    state: "problem",
    text: `the guest's clock is off by ${off.toFixed(0)} s`,
    remedy: "`vibe restart` sets it. Something in the guest has changed it.",
  };
}

function shares(mounts: MountInfo[], results: string[]): Finding[] {
  return mounts.map(({ host, guest }, index): Finding => {
    const [from, to] = [printable(host), printable(guest)];
    return results[index] === "0" ? { check: "share", state: "ok", text: `"${to}" is readable` } : {
      check: "share",
      state: "problem",
      text: `"${from}" cannot be read at "${to}" in the guest`,
      remedy: "See whether it is still there on this host; then: vibe restart",
    };
  });
}

function network({ network: mode }: VmInfo, answer: Map<string, string[]>): Finding {
  const check = "network";
  if (mode === "none") return { check, state: "ok", text: "it has none, as asked for" };
  if (!answer.get("route")?.[0]) {
    return { check, state: "problem", text: "the guest has no route", remedy: "vibe restart" };
  }
  return answer.get("name")?.[0]
    ? { check, state: "ok", text: "there is a route, and names are found" }
    : {
      check,
      state: "warning",
      text: "the guest cannot look up debian.org",
      remedy: "See whether this host can: a VPN or a resolver of its own may be in the way.",
    };
}

function room(text: string | undefined): Finding {
  const kib = Number(text);
  const check = "room";
  if (!text || !Number.isFinite(kib)) return { check, state: "problem", text: "df does not tell" };
  const free = `the guest's disk has ${(kib / 1e6).toFixed(1)} GB free`;
  if (kib >= LEAST_ROOM_KIB) return { check, state: "ok", text: free };
  return {
    check,
    state: "problem",
    text: free,
    remedy: "A bigger disk at the next start: --disk GIB",
  };
}

function services(text: string | undefined): Finding {
  const check = "services";
  if (!text) return { check, state: "ok", text: "none has failed" };
  return {
    check,
    state: "warning",
    text: `failed: ${printable(text)}`,
    remedy: "`vibe run -- systemctl status` says more.",
  };
}
