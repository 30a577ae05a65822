/** `vibe doctor`: a host that lacks something, and a guest that is not well. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Project } from "../support/vibe.ts";

/** The findings by name, as `--json` has them. */
async function findings(project: Project, env: Record<string, string> = {}) {
  const { code, stdout } = await project.vibe(["doctor", "--json"], { env });
  const list: { check: string; state: string; text: string; remedy?: string }[] =
    JSON.parse(stdout).findings;
  return { code, of: (name: string) => list.filter(({ check }) => check === name) };
}

Deno.test("doctor: a host that has everything, and no VM", async () => {
  await using project = await Project.create();
  const { code, of } = await findings(project);
  strictEqual(code, 0);
  strictEqual(of("programs")[0].state, "ok");
  match(of("QEMU")[0].text, /version \d/);
  match(of("VM")[0].text, /does not run/);
  const { stdout } = await project.vibe(["doctor"]);
  match(stdout, /^ok +programs: /m);
});

Deno.test("doctor: a host without QEMU, and a runtime directory that others may enter", async () => {
  await using project = await Project.create();
  const bin = `${project.dir}/../bin`;
  await Deno.mkdir(bin);
  for await (const { name } of Deno.readDir("/usr/bin")) {
    if (!name.startsWith("qemu-system-")) await Deno.symlink(`/usr/bin/${name}`, `${bin}/${name}`);
  }
  await Deno.mkdir(project.env.VIBE_RUNTIME, { mode: 0o755 });
  await Deno.chmod(project.env.VIBE_RUNTIME, 0o755);
  const { code, of } = await findings(project, { PATH: bin });
  strictEqual(code, 1);
  deepStrictEqual([of("programs")[0].state, of("QEMU")[0].state], ["problem", "problem"]);
  match(of("programs")[0].remedy!, /install .*qemu-system/);
  strictEqual(of("runtime directory")[0].state, "problem");
  match(of("runtime directory")[0].remedy!, /700/);

  // A package manager that brings QEMU, whoever runs the tests.
  const scripts = {
    sudo: 'case $1 in -v) exit ;; esac\nexec "$@"',
    "apt-get": `case $1 in install) ln -s /usr/bin/qemu-system-* '${bin}' ;; esac`,
  };
  for (const [name, script] of Object.entries(scripts)) {
    await Deno.remove(`${bin}/${name}`).catch(() => {});
    await Deno.writeTextFile(`${bin}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  await Deno.chmod(project.env.VIBE_RUNTIME, 0o700);
  const fixed = await project.vibe(["doctor", "--fix"], { env: { PATH: bin } });
  strictEqual(fixed.code, 0, fixed.stdout + fixed.stderr);
  match(fixed.stdout, /^ok +programs: /m);
});

Deno.test("doctor: a guest that is well, and one that is not", async () => {
  await using project = await Project.create();
  await Deno.mkdir(`${project.dir}/../data-of-mine`);
  await using _hold = await project.hold(["--mount", `${project.dir}/../data-of-mine:/mnt/data`]);
  await project.online();
  const well = await findings(project);
  strictEqual(well.code, 0, JSON.stringify(well.of("network")));
  for (const check of ["VM", "agent", "clock", "room"]) strictEqual(well.of(check)[0].state, "ok");
  // The test's cache may add a share to each VM.
  const shares = ({ of }: typeof well) =>
    of("share").filter(({ text }) => !text.includes("/root/.cache/"));
  strictEqual(shares(well).length, 2);

  const broken = await project.sh(
    "date -s @$(( $(date +%s) - 3600 )) && ip route del default && umount /mnt/data && rmdir /mnt/data",
  );
  strictEqual(broken.code, 0, broken.stderr);
  const ill = await findings(project);
  strictEqual(ill.code, 1);
  // Whoever attaches finds it set right.
  strictEqual(ill.of("clock")[0].state, "ok");
  strictEqual(ill.of("network")[0].state, "problem");
  deepStrictEqual(shares(ill).map(({ state }) => state), ["ok", "problem"]);
  ok(shares(ill)[1].text.includes("/mnt/data"));
});
