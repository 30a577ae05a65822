/** The error for a build that was interrupted. */

import { ExitCode, VibeError } from "../errors.ts";

/** Ctrl-C. */
export function interrupted(): VibeError {
  return new VibeError("INTERRUPTED", "Cannot finish the image: interrupted", {
    exitCode: ExitCode.interrupted,
  });
}
