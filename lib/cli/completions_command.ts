/** Installing completions where shells look for them. */

import { basename, dirname, join } from "node:path";
import { ExitCode, VibeError } from "../errors.ts";
import { writeFileWhole } from "../files.ts";
import { type Env, xdgDir } from "../paths.ts";
import { SCRIPTS, type Shell, SHELLS } from "./completion_scripts.ts";
import { printError } from "./output.ts";

/** Where a shell finds a script by itself, or must be told to. */
export interface Place {
  path: string;
  /** What the user must add to a file of theirs, if anything. */
  remark?: string;
}

/** Where the script of a shell belongs. */
export function completionPlace(shell: Shell, env: Env = Deno.env): Place {
  const data = xdgDir(env, "XDG_DATA_HOME", ".local", "share");
  switch (shell) {
    case "bash": {
      const dir = env.get("BASH_COMPLETION_USER_DIR") ?? join(data, "bash-completion");
      return {
        path: join(dir, "completions", "vibe"),
        remark: "It is loaded by the package bash-completion. Without that, add to ~/.bashrc:\n" +
          `  . "${join(dir, "completions", "vibe")}"`,
      };
    }
    case "zsh": {
      const dir = join(data, "zsh", "site-functions");
      return {
        path: join(dir, "_vibe"),
        remark: `Add to ~/.zshrc, before compinit, unless it is there:\n  fpath=("${dir}" $fpath)`,
      };
    }
    case "fish":
      return {
        path: join(xdgDir(env, "XDG_CONFIG_HOME", ".config"), "fish", "completions", "vibe.fish"),
      };
  }
}

/** `vibe completions install`. @throws {VibeError} `SHELL_UNKNOWN`. */
export async function installCompletions(name: string | undefined): Promise<number> {
  const shell = chosenShell(name);
  const { path, remark } = completionPlace(shell);
  await Deno.mkdir(dirname(path), { recursive: true });
  await writeFileWhole(path, SCRIPTS[shell]);
  printError(`vibe: completions for ${shell} are in "${path}"; new shells have them.\n`);
  if (remark) printError(`${remark}\n`);
  return 0;
}

/** `vibe completions show`. @throws {VibeError} `SHELL_UNKNOWN`. */
export async function showCompletions(name: string | undefined): Promise<number> {
  await Deno.stdout.write(new TextEncoder().encode(SCRIPTS[chosenShell(name)]));
  return 0;
}

function chosenShell(name: string | undefined): Shell {
  const wanted = name ?? basename(Deno.env.get("SHELL") ?? "");
  const known = SHELLS.find((shell) => shell === wanted);
  if (known) return known;
  throw new VibeError("SHELL_UNKNOWN", `Cannot tell which shell completions are for: "${wanted}"`, {
    hint: `Name one: ${SHELLS.join(", ")}`,
    exitCode: ExitCode.usage,
  });
}
