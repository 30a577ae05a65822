/** Completions as bash, zsh and fish use them, in real shells on a terminal. */

import { match, ok, rejects, strictEqual } from "node:assert/strict";
import { projectInstance } from "../../lib/paths.ts";
import { which } from "../../lib/process.ts";
import { TestTerminal } from "../support/terminal.ts";
import { vibeCommand } from "../support/vibe.ts";

/** Ctrl-U. */
const CLEAR_LINE = "\x15";

/** A project whose name would do something if anybody evaluated it. */
const ODD = "odd $(touch planted) 'it'";

/** A VM of a project, as far as lists of VMs go. */
async function makeVm(data: string, project: string): Promise<void> {
  await Deno.mkdir(`${project}/.vibe`, { recursive: true });
  await Deno.writeTextFile(`${project}/.vibe/instance.json`, "{}");
  const instance = await projectInstance(project);
  await Deno.mkdir(`${data}/registry`, { recursive: true });
  await Deno.writeTextFile(`${data}/registry/${instance.id}.json`, JSON.stringify(instance));
}

/** A home with vibe on PATH, completions installed, and images with names. */
async function withShell(
  shell: "bash" | "zsh" | "fish",
  rc: { path: string; text: (home: string) => string },
  test: (terminal: TestTerminal, home: string) => Promise<void>,
): Promise<void> {
  const home = await Deno.realPath(await Deno.makeTempDir());
  const words = vibeCommand().map((word) => `'${word}'`).join(" ");
  await Deno.mkdir(`${home}/bin`);
  await Deno.writeTextFile(`${home}/bin/vibe`, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  await Deno.mkdir(`${home}/cache/images`, { recursive: true });
  for (const name of ["wonderful", "marvellous"]) {
    await Deno.writeTextFile(`${home}/cache/images/${name}.json`, '{"base":"x"}');
  }
  // Where this is not there, fish makes it at its first start, by a process that outlives it.
  await Deno.mkdir(`${home}/.local/share/fish/generated_completions`, { recursive: true });
  await makeVm(`${home}/data`, `${home}/${ODD}`);
  const env = {
    ...Deno.env.toObject(),
    HOME: home,
    PATH: `${home}/bin:${Deno.env.get("PATH")}`,
    VIBE_CACHE: `${home}/cache`,
    VIBE_DATA: `${home}/data`,
    SHELL: `/bin/${shell}`,
    TERM: "xterm",
    DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
    XDG_DATA_HOME: `${home}/.local/share`,
    XDG_CONFIG_HOME: `${home}/.config`,
  };
  try {
    const { success } = await new Deno.Command(`${home}/bin/vibe`, {
      args: ["completions", "install"],
      env,
      stderr: "null",
    }).output();
    ok(success);
    await Deno.mkdir(`${home}/${rc.path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${home}/${rc.path}`, rc.text(home));
    const program = await which(shell);
    ok(program, `${shell} is missing; \`deno task test\` installs it`);
    const argv = shell === "bash" ? [program, "--noprofile"] : [program];
    const terminal = new TestTerminal(argv, { cwd: home, env });
    try {
      await terminal.waitFor(/READY>/);
      await test(terminal, home);
    } finally {
      terminal[Symbol.dispose]();
      await terminal.exited;
    }
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

const SHELLS = [
  {
    shell: "bash" as const,
    rc: {
      path: ".bashrc",
      text: (home: string) =>
        `PS1='READY> '; . ${home}/.local/share/bash-completion/completions/vibe\n`,
    },
  },
  {
    shell: "zsh" as const,
    rc: {
      path: ".zshrc",
      text: (home: string) =>
        `PS1='READY> '; fpath=(${home}/.local/share/zsh/site-functions $fpath)\n` +
        "autoload -Uz compinit && compinit -u\n",
    },
  },
  {
    shell: "fish" as const,
    rc: {
      path: ".config/fish/config.fish",
      text: () => "set -g fish_greeting; function fish_prompt; echo -n 'READY> '; end\n",
    },
  },
];

for (const { shell, rc } of SHELLS) {
  Deno.test(`${shell}: Tab completes commands, options and image names`, () =>
    withShell(shell, rc, async (terminal, home) => {
      terminal.type("vibe complet\t");
      await terminal.waitFor(/vibe completions$/);
      terminal.type("inst\t");
      await terminal.waitFor(/completions install$/);
      terminal.type(`${CLEAR_LINE}vibe --image wonder\t`);
      await terminal.waitFor(/READY> vibe --image wonderful$/);
      // Words that would do something if anybody evaluated them.
      const hostile = "'$(touch planted)' \"`touch planted`\"";
      terminal.type(`${CLEAR_LINE}vibe --verbose ${hostile} --image marvel\t`);
      await terminal.waitFor(/READY> vibe --verbose .* --image marvellous$/);
      // A name comes out as one word, whatever is in it.
      terminal.type(`${CLEAR_LINE}vibe rm ${home}/od\t\r`);
      await terminal.waitFor(/\/odd \$\(touch planted\) 'it'\nRemove this VM, .*\[y\/N\]$/);
      await rejects(Deno.stat(`${home}/planted`), Deno.errors.NotFound);
    }));
}

Deno.test("completions for a shell that nobody knows", async () => {
  const [program, ...args] = vibeCommand("completions", "install");
  const output = await new Deno.Command(program, { args, env: { SHELL: "/bin/tcsh" } }).output();
  strictEqual(output.code, 2);
  match(new TextDecoder().decode(output.stderr), /"tcsh"\nName one: bash, zsh, fish\n/);
});
