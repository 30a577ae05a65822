/** How much of Git's own files a guest may write. */

/** From the strictest to the laxest; see {@link GitMode}. */
export const GIT_MODES: readonly GitMode[] = ["hide", "ro", "guard", "rw"];

/**
 * - `guard`: all but hooks and settings
 * - `rw`: everything
 * - `ro`: nothing
 * - `hide`: it does not see them
 */
export type GitMode = "guard" | "rw" | "ro" | "hide";
