/** `vibe cp`, both ways, in one VM. */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { run } from "../../lib/process.ts";
import { Project } from "../support/vibe.ts";

Deno.test("vibe cp", async (t) => {
  await using project = await Project.create();
  await using _hold = await project.hold();
  const cp = async (...words: string[]) => {
    const { code, stdout, stderr } = await project.vibe(["cp", ...words]);
    return { code, stdout, stderr };
  };
  const quiet = { code: 0, stdout: "", stderr: "" };
  const names = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

  await t.step("a directory there and back is the same, with its modes and links", async () => {
    const dir = project.path("-odd 'dir'");
    await Deno.mkdir(`${dir}/sub/empty`, { recursive: true });
    await Deno.writeTextFile(`${dir}/run`, "#!/bin/sh\n", { mode: 0o751 });
    await Deno.symlink("run", `${dir}/link`);
    await Deno.writeTextFile(`${dir}/sub/ünï`, "x".repeat(100_000));
    const zeros = await Deno.create(`${dir}/sub/sparse`);
    await zeros.truncate(50 << 20);
    zeros.close();
    deepStrictEqual(await cp(dir, "guest:/opt/there"), quiet);
    const { stdout } = await project.sh(
      "cd /opt/there && stat -c '%A %U' run && readlink link && wc -c < sub/ünï && ls /opt -A",
    );
    strictEqual(stdout, "-rwxr-x--x root\nrun\n100000\nthere\n");
    deepStrictEqual(await cp("guest:/opt/there", "host:back"), quiet);
    const diff = await run(["diff", "-r", "--no-dereference", dir, project.path("back")]);
    deepStrictEqual([diff.code, diff.stdout], [0, ""]);
    ok(((await Deno.stat(project.path("back/sub/sparse"))).blocks ?? 0) < 1000);
    strictEqual(((await Deno.stat(project.path("back/run"))).mode ?? 0) & 0o777, 0o751);
  });

  await t.step("into a directory, several at once, over a file", async () => {
    await project.write("a", "A\n");
    await project.write("b", "B\n");
    deepStrictEqual(await cp("a", "b", "guest:/opt"), quiet);
    deepStrictEqual(await cp("a", "guest:/opt/b"), quiet);
    strictEqual((await project.sh("cat /opt/a /opt/b")).stdout, "A\nA\n");
    await Deno.mkdir(project.path("into"));
    deepStrictEqual(await cp("guest:/opt/a", "guest:/etc/hostname", "into"), quiet);
    deepStrictEqual(names(project.path("into")), ["a", "hostname"]);
  });

  await t.step("Tab completes what is in the guest, quoted for the shell", async () => {
    await project.sh("touch '/opt/it is $(odd)'");
    const offered = async (...words: string[]) =>
      (await project.vibe(["__complete", ...words])).stdout;
    strictEqual(await offered("zsh", "cp", "guest:/opt/t"), "none\nguest:/opt/there/\n");
    const line = "vibe cp guest:/opt/it";
    strictEqual(await offered("bash", "9", line, "/opt/it"), "none\n/opt/it\\ is\\ \\$\\(odd\\)\n");
    await project.sh("rm /opt/it*");
  });

  await t.step("what cannot be is said, and leaves nothing behind", async () => {
    const refused = async (pattern: RegExp, ...words: string[]) => {
      const { code, stderr } = await cp(...words);
      ok(code !== 0);
      match(stderr, pattern);
    };
    await refused(/no such file or directory\n/, "none", "guest:/opt/x");
    await refused(/No such file or directory/, "guest:/none", "x");
    await project.sh("mkdir -p /opt/d/back");
    await Deno.mkdir(project.path("into/there"));
    await refused(/"\/opt\/d\/back" is there already/, "back", "guest:/opt/d");
    await refused(/into\/there" is there already/, "guest:/opt/there", "into");
    await refused(/there is no directory/, "a", "guest:/opt/nowhere/");
    await refused(/one side must be the guest/, "a", "b");
    await refused(/a device or a pipe/, "guest:/dev/null", "x");
    await rejects(Deno.stat(project.path("x")));
    strictEqual((await project.sh("ls -A /opt")).stdout, "a\nb\nd\nthere\n");
    deepStrictEqual(names(project.dir).filter((name) => name.startsWith(".vibe-")), []);
  });

  await t.step("a guest whose tar lies writes nowhere else", async () => {
    await project.sh(
      "mkdir -p /usr/local/bin /evil && cd /evil && mkdir x && echo bad > x/y && " +
        "/usr/bin/tar -cPf evil.tar --transform 's,x/y,x/../../escaped,' x && " +
        "printf '#!/bin/sh\\ncat /evil/evil.tar\\n' > /usr/local/bin/tar && " +
        "chmod +x /usr/local/bin/tar",
    );
    const { code, stderr } = await cp("guest:/evil/x", "got");
    strictEqual(code, 125);
    match(stderr, /Refused to copy "x\/..\/..\/escaped" from the guest: its name leads elsewhere/);
    deepStrictEqual(names(project.dir).filter((name) => /got|escaped|\.vibe-/.test(name)), []);
    await project.sh("rm /usr/local/bin/tar");
  });

  await t.step("Ctrl-C leaves nothing, on either side", async () => {
    await project.sh("truncate -s 4G /opt/big");
    const child = project.spawn(["cp", "guest:/opt/big", "big"]);
    const appeared = (async () => {
      for await (const { paths } of Deno.watchFs(project.dir)) {
        if (paths.some((path) => path.includes("/content"))) return;
      }
    })();
    await appeared;
    child.kill("SIGINT");
    strictEqual((await child.status).code, 130);
    await Promise.all([child.stdin.close(), child.stdout.cancel(), child.stderr.cancel()]);
    deepStrictEqual(names(project.dir).filter((name) => /big|\.vibe-/.test(name)), []);
  });
});
