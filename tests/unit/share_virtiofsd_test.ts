/** Which virtiofsd is there, and how it is called. */

import { deepStrictEqual as assertEquals, ok as assert, rejects } from "node:assert/strict";
import {
  inspectVirtiofsd,
  startShares,
  type Virtiofsd,
  virtiofsdCommand,
} from "../../lib/share/virtiofsd.ts";

const C_HELP = "usage: virtiofsd [options]\n -o source=PATH shared directory tree\n";
const RUST_HELP = "Usage: virtiofsd --shared-dir <SHARED_DIR> [OPTIONS]\n";

function daemon(help: string): Virtiofsd {
  return { path: "/x/virtiofsd", kind: help === C_HELP ? "c" : "rust", help };
}

Deno.test("virtiofsd in C: no device nodes, a /run of its own", () => {
  for (const uid of [0, 1000]) {
    const command = virtiofsdCommand(daemon(C_HELP), "shares/tree", "v.sock", uid);
    assertEquals(command.slice(-5), [
      "shares/tree",
      "/x/virtiofsd",
      "--socket-path=v.sock",
      "-o",
      "source=/run/shared,cache=auto,sandbox=namespace,modcaps=-mknod",
    ]);
    assertEquals(command.slice(0, 4), ["unshare", "-m", "--propagation", "slave"]);
  }
});

Deno.test("virtiofsd in Rust: mounts are not announced, an ordinary user's files are all theirs", () => {
  const old = virtiofsdCommand(daemon(RUST_HELP), "shares/tree", "v.sock", 1000);
  assertEquals(old, [
    ...["/x/virtiofsd", "--shared-dir", "shares/tree", "--socket-path", "v.sock"],
    ...["--cache", "auto", "--sandbox", "namespace", "--modcaps=-mknod"],
  ]);
  const help = `${RUST_HELP}--no-announce-submounts\n--translate-uid 'squash-guest'\n`;
  const asRoot = virtiofsdCommand(daemon(help), "shares/tree", "v.sock", 0);
  assertEquals(asRoot, [...old, "--no-announce-submounts"]);
  assertEquals(virtiofsdCommand(daemon(help), "shares/tree", "v.sock", 1000), [
    ...asRoot,
    ...["--translate-uid", "squash-guest:0:0:4294967295"],
    ...["--translate-gid", "squash-guest:0:0:4294967295"],
  ]);
});

/** A program in virtiofsd's place: it shows its tree and waits for its end. */
async function fakeDaemon(dir: string, help: string, body: string): Promise<string> {
  const path = `${dir}/virtiofsd`;
  const text = `#!/bin/sh
if [ "$1" = --help ]; then cat <<'END'\n${help}END\nexit; fi
${body}\n`;
  await Deno.writeTextFile(path, text, { mode: 0o755 });
  return path;
}

const SERVE = `touch "\${1#--socket-path=}"
echo "Waiting for vhost-user socket connection..." >&2
exec sleep 1000`;

if (Deno.build.os === "linux") {
  Deno.test("startShares: serves until it is disposed of, and cleans up", async () => {
    const dir = await Deno.makeTempDir();
    // Where XDG_RUNTIME_DIR is: below the /run that the one in C gets another of.
    const runtimeDir = await Deno.makeTempDir({ dir: Deno.uid() === 0 ? "/run" : undefined });
    try {
      const virtiofsd = await fakeDaemon(dir, C_HELP, `ls /run/shared >>"${dir}/seen"\n${SERVE}`);
      assertEquals((await inspectVirtiofsd(virtiofsd)).kind, "c");
      const shares = [{ name: "it", source: await Deno.realPath(dir), readOnly: true, guards: [] }];
      const server = await startShares({ shares, runtimeDir }, { virtiofsd });
      assertEquals(server.socket, `${runtimeDir}/virtiofs.sock`);
      assert((await Deno.stat(server.socket)).isFile);
      assertEquals(await Deno.readTextFile(`${dir}/seen`), "it\n");
      await server[Symbol.asyncDispose]();
      assert((await server.exited).includes("Waiting for"));
      assertEquals([...Deno.readDirSync(runtimeDir)], []);
    } finally {
      await Deno.remove(dir, { recursive: true });
      await Deno.remove(runtimeDir, { recursive: true });
    }
  });

  Deno.test("startShares: a virtiofsd that ends at once is quoted", async () => {
    const dir = await Deno.makeTempDir();
    try {
      const virtiofsd = await fakeDaemon(dir, RUST_HELP, `echo "no socket for you" >&2; exit 1`);
      await rejects(startShares({ shares: [], runtimeDir: dir }, { virtiofsd }), {
        code: "SHARE_FAILED",
        message: "Cannot share directories with the VM: no socket for you",
      });
      assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["virtiofsd"]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
} else {
  console.log("(not on this system, for it needs mount namespaces: startShares)");
}
