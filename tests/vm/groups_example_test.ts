/** The worked example in docs/, run by Node.js as its readers would run it. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { run, which } from "../../lib/process.ts";
import { libraryHome } from "../support/library.ts";
import { vibeCommand } from "../support/vibe.ts";

const EXAMPLE = fileURLToPath(new URL("../../docs/examples/groups.mjs", import.meta.url));

Deno.test("docs/examples/groups.mjs: three groups side by side, under Node.js", async (t) => {
  const node = await which("node");
  if (!node) throw new Error("Node.js is not installed; README.md starts with it");
  await using home = await libraryHome();
  const env = { VIBE_COMMAND: vibeCommand().join(" "), GROUP_FILES: `${home.root}/groups` };

  await t.step("one is done, one fails, one is late", async () => {
    const { success, stdout, stderr } = await run([node, EXAMPLE], { env });
    deepStrictEqual([success, stderr], [true, ""]);
    deepStrictEqual(stdout.trimEnd().split("\n").sort(), [
      'blue: late: Cannot finish "env": it took longer than 5 s and was ended',
      "green: failed: exit status 7",
      'red: done: {"runs":1,"host":"vibe"}',
    ]);
    strictEqual(await Deno.readTextFile(`${home.root}/groups/red/count`), "1\n");
  });

  await t.step("jobs of a group wait for each other; a reset takes all but its files", async () => {
    const program = `
      import { resetGroup, runJob } from ${JSON.stringify(EXAMPLE)};
      const red = { name: "red", ram: 512, timeout: 120 };
      const answer = (text) => 'echo "$BEGIN"; ' + text + '; echo "$END"';
      const jobs = [
        runJob(red, "echo 2 >count; echo kept >/root/kept; sleep 2; echo 3 >count; " + answer("echo 1")),
        runJob(red, answer("cat count /root/kept | tr '\\\\n' ' ' | sed 's/.*/\\"&\\"/'")),
        runJob(red, "cat /no/such/file; " + answer("echo no JSON")),
      ];
      console.log(JSON.stringify(await Promise.all(jobs)));
      await resetGroup(red);
      console.log(JSON.stringify(await runJob(red, answer("ls /root | wc -l; cat >&2 count"))));
      console.log(JSON.stringify(await runJob({ name: "No/Name" }, "true")));`;
    const argv = [node, "--input-type=module", "--eval", program];
    const { stdout, stderr } = await run(argv, { env });
    strictEqual(stderr, "");
    const [jobs, fresh, broken] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    const answers = jobs.map((job: { answer: unknown }) => job.answer);
    deepStrictEqual(answers, [1, "3 kept ", null], JSON.stringify(jobs));
    strictEqual(jobs[2].outcome, "failed");
    match(jobs[2].log, /No such file or directory/);
    deepStrictEqual([fresh.answer, fresh.log], [0, "3\n"]);
    deepStrictEqual([broken.outcome, broken.problem.slice(0, 8)], ["broken", "VM_NAME:"]);
  });
});
