/** The work that people do in it: packages that stay, a C project, an npm project. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Project } from "../support/vibe.ts";

Deno.test("packages install and are still there in the next VM; make and npm work", async (t) => {
  await using project = await Project.create();

  await t.step("apt-get install in a VM that has just been made", async () => {
    const { code, stderr } = await project.sh("apt-get install -y cowsay >/dev/null");
    strictEqual(code, 0, stderr);
    await project.stopped();
  });

  await using _hold = await project.hold();

  await t.step("it is still there", async () => {
    const { stdout, code } = await project.sh("/usr/games/cowsay moo");
    strictEqual(code, 0);
    match(stdout, /< moo >/);
  });

  await t.step("a make of a C project", async () => {
    await project.write(
      "Makefile",
      "OBJS = main.o sum.o\nprog: $(OBJS)\n\t$(CC) -o $@ $(OBJS)\ntest: prog\n\t./prog\n",
    );
    await project.write(
      "main.c",
      '#include <stdio.h>\nint sum(int, int);\nint main(void) { printf("%d\\n", sum(40, 2)); }\n',
    );
    await project.write("sum.c", "int sum(int a, int b) { return a + b; }\n");
    const { stdout, code, stderr } = await project.vibe(["run", "--", "make", "-s", "-j2", "test"]);
    deepStrictEqual([stdout, code], ["42\n", 0], stderr);
    ok((await Deno.stat(project.path("prog"))).isFile);
  });

  await t.step("npm install of a real package", async () => {
    const install = await project.sh(
      "apt-get install -y --no-install-recommends npm >/dev/null 2>&1 || exit 9; " +
        "npm init -y >/dev/null && npm install --no-fund --no-audit is-odd",
    );
    strictEqual(install.code, 0, install.stderr);
    const { stdout } = await project.sh("node -p 'require(\"is-odd\")(3)'");
    strictEqual(stdout, "true\n");
    ok((await Deno.stat(project.path("node_modules/is-odd/package.json"))).isFile);
  });
});
