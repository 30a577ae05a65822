/** What a VM gets of the home directory: caches and agents' settings as copies, logins to write. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { TestTerminal } from "../support/terminal.ts";
import { Project, vibeCommand } from "../support/vibe.ts";

/** Files below the host's home directory. */
const FILES: Record<string, string> = {
  ".m2/settings.xml": "<settings/>\n",
  ".m2/repository/a/a.jar": "host's jar\n",
  ".cargo/registry/src/crate/build.rs": "host's build script\n",
  ".cargo/config.toml": "not shared\n",
  ".claude/settings.json": '{"model":"m"}\n',
  ".claude/.credentials.json": '{"token":1}\n',
  ".claude/projects/other/talk.jsonl": "a secret of another project\n",
  ".claude/history.jsonl": "what was typed elsewhere\n",
};

Deno.test("caches and agents' directories", async (t) => {
  await using project = await Project.create();
  const home = project.env.HOME;
  for (const [path, text] of Object.entries(FILES)) {
    await Deno.mkdir(`${home}/${path}`.replace(/\/[^/]+$/, ""), { recursive: true });
    await Deno.writeTextFile(`${home}/${path}`, text);
  }
  const host = (path: string) => Deno.readTextFile(`${home}/${path}`);

  await t.step(
    "they are in the table, and in the guest, without other projects' talk",
    async () => {
      await using _hold = await project.hold();
      using terminal = new TestTerminal(vibeCommand(), { cwd: project.dir, env: project.env });
      await terminal.waitFor(/:~\/project#/);
      // Long lines are broken on the screen.
      const table = terminal.text.replaceAll("\n", "");
      for (
        const [path, mode] of [
          [".m2", "copy"],
          [".cargo/registry", "copy"],
          [".claude", "copy"],
          [".claude/.credentials.json", "read-write"],
        ]
      ) match(table, new RegExp(`${home}/${path} +/root/${path} +${mode}`));
      ok(!table.includes(".codex"));
      terminal.type("exit\r");
      await terminal.exited;
      const { stdout, stderr } = await project.sh(
        "cd; cat .m2/settings.xml .m2/repository/a/a.jar .cargo/registry/src/crate/build.rs " +
          ".claude/settings.json .claude/.credentials.json; ls .cargo; " +
          "cat .claude/history.jsonl .claude/projects/*/* 2>/dev/null; ls -A .claude/projects",
      );
      strictEqual(
        stdout,
        "<settings/>\nhost's jar\nhost's build script\n" + '{"model":"m"}\n{"token":1}\nregistry\n',
        stderr,
      );
    },
  );

  await t.step("what the guest writes stays in the guest, but for logins", async () => {
    const write = await project.sh(
      "cd; echo evil > .m2/repository/a/a.jar; echo evil > .cargo/registry/src/crate/build.rs; " +
        "echo new > .m2/repository/new.jar; rm .claude/settings.json; " +
        `echo '{"hooks":1}' > .claude/settings.local.json; mkdir -p .claude/projects/mine; ` +
        "echo talk > .claude/projects/mine/t; mv .m2/settings.xml .m2/gone; " +
        `echo '{"token":2}' > .claude/.credentials.json`,
    );
    deepStrictEqual([write.code, write.stderr.replace("vibe: Booting\n", "")], [0, ""]);
    for (const attack of ATTACKS) await project.sh(attack);
    for (const [path, text] of Object.entries(FILES)) {
      strictEqual(await host(path), path.includes(".credentials") ? '{"token":2}\n' : text, path);
    }
    const names = (dir: string) =>
      [...Deno.readDirSync(`${home}/${dir}`)].map((e) => e.name).sort();
    deepStrictEqual(names(".claude"), [
      ".credentials.json",
      "history.jsonl",
      "projects",
      "settings.json",
    ]);
    deepStrictEqual([names(".m2"), names(".claude/projects")], [
      ["repository", "settings.xml"],
      ["other"],
    ]);
    await project.stopped();
  });

  await t.step("the next start still has it; what is asked for comes first", async () => {
    const options = ["--mount", "/usr/share/doc:.cargo/registry:read-only"];
    const { stdout } = await project.sh(
      "cd; cat .m2/repository/*.jar .m2/repository/a/a.jar .claude/projects/mine/t " +
        ".claude/.credentials.json; ls .claude; test -e .cargo/registry/src || echo other",
      options,
    );
    strictEqual(
      stdout,
      'new\nevil\ntalk\n{"token":2}\nhistory.jsonl\nprojects\nsettings.local.json\nother\n',
    );
    await project.stopped();
  });

  await t.step("--no-default-mounts leaves all of it out", async () => {
    const { stdout } = await project.sh("mount -t overlay; ls -A ~/.m2", ["--no-default-mounts"]);
    strictEqual(stdout, "");
  });
});

/** Ways around, for root in the guest. */
const ATTACKS = [
  "mkdir -p /m && mount -t virtiofs shared /m && for d in /m/home-*; do echo x > $d/new; done",
  "echo x > /m/home-m2/settings.xml; rm -rf /m/home-claude/*; touch /run/vibe/shared/home-m2/x",
  "umount -l ~/.claude; echo x > ~/.claude/settings.json",
  "mount -o remount,rw /run/vibe/shared; echo x > /run/vibe/shared/home-claude/settings.json",
  "cat /m/home-claude/projects/*/* /m/home-claude/history.jsonl > ~/project/leak; rm ~/project/leak",
];
