/** The error for a build that was interrupted. */

import { ExitCode, VibeError } from "../errors.ts";

/** Ctrl-C. */
export function interrupted(what = "image"): VibeError {
  return new VibeError("INTERRUPTED", `Cannot finish the ${what}: interrupted`, {
    exitCode: ExitCode.interrupted,
  });
}
