/** Where settings can be, and whether any are: all that a start without settings pays for. */

import { join } from "node:path";
import { isThere } from "../files.ts";
import { configDir } from "../paths.ts";

/** What settings are called in the environment. */
export const VARIABLES = {
  image: "VIBE_IMAGE",
  cpus: "VIBE_CPUS",
  ram: "VIBE_RAM",
  timeout: "VIBE_TIMEOUT",
  nocloud: "VIBE_NOCLOUD",
} as const;

/** The user's own file. */
export function userConfigPath(): string {
  return join(configDir(), "config.toml");
}

/** The file of a project. */
export function projectConfigPath(project: string): string {
  return join(project, "vibe.toml");
}

/** Whether anything but the command line says anything. 0.1 ms. `project`: null if there is none. */
export function hasSettings(project: string | null): boolean {
  return Object.values(VARIABLES).some((name) => Deno.env.get(name)) || isThere(userConfigPath()) ||
    project !== null && isThere(projectConfigPath(project));
}

/** `VIBE_DEBUG`, which means the same as `--verbose`. */
export function isDebugging(): boolean {
  return !["", "0", "false"].includes(Deno.env.get("VIBE_DEBUG") ?? "");
}
