/** What went wrong when the share's namespaces were opened, and what helps. */

import { printable, VibeError } from "../errors.ts";
import { usernsRemedy } from "../host/userns.ts";

/**
 * The error for a namespace that ended before it was ready.
 *
 * @param stderr the last that was said in it.
 * @param readSetting see {@link usernsRemedy}.
 */
export async function startFailure(
  stderr: string,
  uid: number | null = Deno.uid(),
  readSetting?: (name: string) => Promise<string | null>,
): Promise<VibeError> {
  const lines = stderr.split("\n").filter((line) => line !== "" && !line.includes("dmesg(1)"));
  const said = printable(lines.at(-1) ?? "") || "its file server ended at once";
  const cause = new Error(stderr);
  if (uid !== 0 && /^(unshare: |mount: .*(permitted|denied))/m.test(stderr)) {
    return new VibeError(
      "SHARE_NEEDS_USERNS",
      `Cannot share directories with the VM: this system forbids user namespaces (${said})`,
      { hint: await usernsRemedy(readSetting), cause },
    );
  }
  if (uid !== 0 && stderr.includes("setgroups() failed")) {
    return new VibeError(
      "SHARE_NEEDS_SUBIDS",
      "Cannot share directories with the VM: you have no sub-group ids, and virtiofsd needs one",
      {
        hint: "Install the package uidmap, and give yourself some:\n" +
          "  sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
        cause,
      },
    );
  }
  return new VibeError("SHARE_FAILED", `Cannot share directories with the VM: ${said}`, {
    hint: /^(unshare|mount): /m.test(stderr)
      ? "vibe makes bind mounts here; a container needs CAP_SYS_ADMIN for that."
      : undefined,
    cause,
  });
}
