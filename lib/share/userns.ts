/** What went wrong when the share's namespaces were opened, and what helps. */

import { printable, VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";

/** Kernel settings that keep user namespaces from ordinary users: name, value that does, remedy. */
const FORBIDDING: [name: string, forbids: string, allows: string][] = [
  // Debian's own, until its kernels of 2021.
  ["kernel.unprivileged_userns_clone", "0", "1"],
  // Ubuntu since 23.10: there is a namespace, but nothing may be mounted in it.
  ["kernel.apparmor_restrict_unprivileged_userns", "1", "0"],
  ["user.max_user_namespaces", "0", "15000"],
];

/**
 * The error for a namespace that ended before it was ready.
 *
 * @param stderr the last that was said in it.
 * @param readSetting a kernel setting by its sysctl name; null if there is none.
 */
export async function startFailure(
  stderr: string,
  uid: number | null = Deno.uid(),
  readSetting: (name: string) => Promise<string | null> = readSysctl,
): Promise<VibeError> {
  const lines = stderr.split("\n").filter((line) => line !== "" && !line.includes("dmesg(1)"));
  const said = printable(lines.at(-1) ?? "") || "its file server ended at once";
  const cause = new Error(stderr);
  if (uid !== 0 && /^(unshare: |mount: .*(permitted|denied))/m.test(stderr)) {
    return new VibeError(
      "SHARE_NEEDS_USERNS",
      `Cannot share directories with the VM: this system forbids user namespaces (${said})`,
      { hint: await remedy(readSetting), cause },
    );
  }
  return new VibeError("SHARE_FAILED", `Cannot share directories with the VM: ${said}`, {
    hint: /^(unshare|mount): /m.test(stderr)
      ? "vibe makes bind mounts here; a container needs CAP_SYS_ADMIN for that."
      : undefined,
    cause,
  });
}

async function remedy(readSetting: (name: string) => Promise<string | null>): Promise<string> {
  for (const [name, forbids, allows] of FORBIDDING) {
    if ((await readSetting(name))?.trim() !== forbids) continue;
    return `Allow them now:  sudo sysctl -w ${name}=${allows}\n` +
      `And after a restart:  echo ${name}=${allows} | sudo tee /etc/sysctl.d/60-vibe.conf`;
  }
  return "They are what an ordinary user makes bind mounts in. In a container, start it with them" +
    " allowed; elsewhere ask whoever administers this machine, or run vibe as root.";
}

function readSysctl(name: string): Promise<string | null> {
  return readTextIfPresent(`/proc/sys/${name.replaceAll(".", "/")}`);
}
