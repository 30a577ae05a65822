/** How much of Git's own files a guest may write. */

/** From the strictest to the laxest; see {@link GitMode}. */
export const GIT_MODES = ["hide", "ro", "guard", "rw"] as const;

/**
 * - `guard`: all but hooks and settings
 * - `rw`: everything
 * - `ro`: nothing
 * - `hide`: it does not see them
 */
export type GitMode = typeof GIT_MODES[number];
