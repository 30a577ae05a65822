/** What `vibe doctor` finds. */

import { reason, VibeError } from "../errors.ts";

/** The result of one check. */
export interface Finding {
  /** What was looked at, a word or two. */
  check: string;
  /**
   * - `ok`: as it should be
   * - `warning`: vibe works, but not as well as it could
   * - `problem`: vibe does not work because of this
   */
  state: "ok" | "warning" | "problem";
  /** What is so, in one line. */
  text: string;
  /** What to do about it, one or a few lines. */
  remedy?: string;
  /** Does it; only where that loses nothing. */
  fix?: () => Promise<void>;
}

/** A check. What it throws becomes a problem. */
export interface Check {
  name: string;
  look(): Promise<Omit<Finding, "check">>;
}

/** Runs checks side by side; the findings are in the order of the checks. */
export async function runChecks(checks: Check[]): Promise<Finding[]> {
  return await Promise.all(checks.map(async ({ name, look }) => {
    try {
      return { check: name, ...await look() };
    } catch (error) {
      const remedy = error instanceof VibeError ? error.hint : undefined;
      return { check: name, state: "problem", text: reason(error), remedy };
    }
  }));
}
