/** Scripts that run in the guest at each start: the user's and the project's. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Project } from "../support/vibe.ts";

Deno.test("hooks run once for each start, before sessions, and fail without harm", async (t) => {
  await using project = await Project.create();
  const config = `${project.dir}/../config/vibe`;
  await Deno.mkdir(config, { recursive: true });
  // Without a first line, and reading its stdin, which is empty.
  const user = 'echo user-says; cat; echo "user $PWD" >>/var/hooks; (sleep 1000 &)\n';
  await Deno.writeTextFile(`${config}/runtime.sh`, user);
  await project.write(
    ".vibe.runtime.sh",
    `#!/bin/bash\necho one; echo two >&2; [[ -f vibe-file ]] && echo project >>/var/hooks\nexit 3\n`,
  );
  await project.write("vibe-file", "");

  await t.step("the shares are there, the order is right, a failure is told", async () => {
    await using _hold = await project.hold();
    const { stdout, stderr } = await project.sh("cat /var/hooks");
    strictEqual(stdout, "user /root/project\nproject\n");
    // This command only joined.
    ok(!stderr.includes("failed in the VM"), stderr);
    match(
      await project.read(".vibe/hooks.log"),
      /^# .*runtime\.sh\nuser-says\n# .*\/\.vibe\.runtime\.sh\none\ntwo\n$/,
    );
  });
  await project.stopped();

  await t.step("what fails is told with its output, what does not is quiet", async () => {
    const { stderr, code } = await project.sh("true");
    strictEqual(code, 0);
    const lines = stderr.split("\n").filter((line) => !/Booting|^$/.test(line));
    deepStrictEqual(lines, [
      `vibe: "${project.path(".vibe.runtime.sh")}" failed in the VM: exit code 3. It said:`,
      "vibe:   one",
      "vibe:   two",
      `vibe:   (all of it is in "${project.path(".vibe/hooks.log")}")`,
    ]);
  });
  await project.stopped();

  await t.step("--verbose tells all; a link in a hook's place is not followed", async () => {
    await Deno.remove(project.path(".vibe.runtime.sh"));
    await Deno.symlink("/etc/hostname", project.path(".vibe.runtime.sh"));
    const { stderr, stdout } = await project.vibe(["--verbose", "run", "--", "cat", "/var/hooks"]);
    match(stderr, /runtime\.sh" ran in the VM\. It said:\nvibe: {3}user-says\n/);
    match(stderr, /\.vibe\.runtime\.sh" is not run: it is no regular file/);
    // The third start: the project's ran twice, the user's three times.
    deepStrictEqual(stdout.match(/^(user|project)/gm)!.join(" "), "user project user project user");
  });
});
