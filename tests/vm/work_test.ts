/** The work that people do in it: packages that stay, a C project, an npm project. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { run } from "../../lib/process.ts";
import { Project } from "../support/vibe.ts";

Deno.test("packages install and are still there in the next VM; make and npm work", async (t) => {
  await using project = await Project.create();

  await t.step("apt-get install in a VM that has just been made", async () => {
    const { code, stderr } = await project.sh("apt-get install -y cowsay >/dev/null");
    strictEqual(code, 0, stderr);
    await project.stopped();
  });

  // Debian's own npm is 400 packages, 7 minutes without hardware virtualisation, so it is the host's;
  // and so are the certificates: a host behind a TLS proxy has one that the guest does not know.
  const npm = (await run(["npm", "root", "--global"])).stdout.trim();
  await using _hold = await project.hold([
    ...["--mount", `${npm}/npm:npm:read-only`],
    ...["--mount", "/etc/ssl/certs:host-certs:read-only"],
  ]);

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
      "apt-get install -y --no-install-recommends nodejs >/dev/null || exit 9; " +
        'export NODE_EXTRA_CA_CERTS=$HOME/host-certs/ca-certificates.crt; npm() { node ~/npm/bin/npm-cli.js "$@"; }; ' +
        "npm init -y >/dev/null && npm install --no-fund --no-audit --loglevel=error is-odd",
    );
    strictEqual(install.code, 0, install.stderr);
    const { stdout } = await project.sh("node -p 'require(\"is-odd\")(3)'");
    strictEqual(stdout, "true\n");
    const { uid } = await Deno.stat(project.path("node_modules/is-odd/package.json"));
    strictEqual(uid, Deno.uid());
  });
});
