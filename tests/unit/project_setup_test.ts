/** Whether a project's own setup script gets into an image. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { projectSetup } from "../../lib/cli/project_setup.ts";

Deno.test("a project's setup script is in its images only if somebody agrees", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const asked: string[] = [];
    const answer = (yes: boolean) => (question: string) => {
      asked.push(question);
      return Promise.resolve(yes);
    };
    const common = { builder: "auto", layerTimeout: 60, hostSettings: true, quiet: true } as const;
    const setup = (name: string, options = {}, confirm?: (question: string) => Promise<boolean>) =>
      projectSetup(dir, name, { ...common, ...options }, confirm);

    strictEqual(await setup("mine", {}, answer(true)), null);
    await Deno.symlink("/etc/passwd", `${dir}/.vibe.setup.sh`);
    strictEqual(await setup("mine", {}, answer(true)), null);
    await Deno.remove(`${dir}/.vibe.setup.sh`);
    await Deno.writeTextFile(`${dir}/.vibe.setup.sh`, "true\n");
    strictEqual(await setup("default", {}, answer(true)), null);
    strictEqual(await setup("mine", { resume: true }, answer(true)), null);
    strictEqual(await setup("mine", { layers: "base,tools" }, answer(true)), null);
    strictEqual(await setup("mine", { script: [".vibe.setup.sh"] }, answer(true)), null);
    strictEqual(await setup("mine"), null);
    deepStrictEqual(asked, []);

    strictEqual(await setup("mine", {}, answer(false)), null);
    strictEqual(await setup("mine", { layers: "user" }, answer(true)), `${dir}/.vibe.setup.sh`);
    const question =
      `Run "${dir}/.vibe.setup.sh" in the image "mine", for whoever uses that? [y/N] `;
    deepStrictEqual(asked, [question, question]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
