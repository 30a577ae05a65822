/** Which build of vibe this is. */

/** The version of deno.json; a test holds the two together. */
export const VERSION = "0.1.0";
