/** A VM's life between terminals: kept, held by tmux, stopped, started again. */

import { deepStrictEqual, match, notStrictEqual, strictEqual } from "node:assert/strict";
import { Project, vibeCommand } from "../support/vibe.ts";
import { TestTerminal } from "../support/terminal.ts";

const AT_PROMPT = /root@vibe:~\/project#\s*$/;

/** Whatever a test leaves running ends with it. */
function ended(project: Project): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await project.vibe(["stop", "--force"]);
    },
  };
}

const bootId = async (project: Project) =>
  (await project.sh("cat /proc/sys/kernel/random/boot_id")).stdout;

Deno.test("a VM that is kept, restarted, held by tmux, stopped", async (t) => {
  await using project = await Project.create();
  await using _ended = ended(project);
  let boot = "";

  await t.step("vibe start keeps it without terminals", async () => {
    deepStrictEqual(await said(project, "start"), [0, ""]);
    boot = await bootId(project);
    strictEqual(await bootId(project), boot);
  });

  await t.step("vibe restart is another boot, and kept as well", async () => {
    deepStrictEqual(await said(project, "restart"), [0, ""]);
    const again = await bootId(project);
    notStrictEqual(again, boot);
    strictEqual(await bootId(project), again);
  });

  await t.step("vibe stop ends it in good order; sessions are told", async () => {
    const session = project.vibe(["run", "--", "sleep", "1000"]);
    await project.sh("until pgrep -xf 'sleep 1000'; do sleep 0.1; done");
    deepStrictEqual(await said(project, "stop"), [0, ""]);
    const { code, stderr } = await session;
    strictEqual(code, 125);
    strictEqual(stderr, "vibe: The VM was stopped\n");
    match(await Deno.readTextFile(project.state("supervisor.log")), /ending: \{"why":"asked"\}/);
    strictEqual((await project.processes(`${project.env.VIBE_RUNTIME}/`)).length, 0);
    deepStrictEqual(await said(project, "stop"), [0, ""]);
  });

  await t.step(
    "a tmux session goes on when its terminal leaves, and the VM ends with it",
    async () => {
      using terminal = new TestTerminal(vibeCommand("shell"), {
        cwd: project.dir,
        env: project.env,
      });
      await terminal.waitFor(AT_PROMPT);
      terminal.type("tmux new-session -d -s work 'until test -e finish; do sleep 0.2; done'\r");
      terminal.type("exit\r");
      await terminal.waitFor(/the VM goes on running, for tmux has sessions in it; `vibe stop`/);
      strictEqual(await terminal.exited, 0);
      match((await project.sh("tmux list-sessions")).stdout, /^work: 1 windows/);
      await project.write("finish", "");
      await project.stopped();
      match(await Deno.readTextFile(project.state("supervisor.log")), /ending: \{"why":"unused"\}/);
    },
  );

  await t.step("--keep keeps it as well; vibe stop --all ends it", async () => {
    strictEqual((await project.sh("true", ["--keep"])).code, 0);
    boot = await bootId(project);
    strictEqual(await bootId(project), boot);
    deepStrictEqual(await said(project, "stop", "--all", "--force"), [0, ""]);
    await project.stopped();
  });
});

/** Its status and stdout; what takes long on a busy host, it says on stderr. */
async function said(project: Project, ...args: string[]): Promise<[number, string]> {
  const { code, stdout } = await project.vibe(args);
  return [code, stdout];
}
