/** What is made of the output of a build. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import type { LogFile } from "../../lib/host/follow.ts";
import { BuildOutput } from "../../lib/image/build_output.ts";
import { buildError } from "../../lib/image/debian.ts";
import type { Recipe } from "../../lib/image/recipe.ts";

function details(lines: string[]): (string | null)[] {
  const output = new BuildOutput();
  return lines.map((line) => output.line(line));
}

Deno.test("packages are counted through both rounds of apt", () => {
  deepStrictEqual(
    details([
      "Get:1 http://mirror/debian trixie InRelease [140 kB]",
      "Get:2 http://mirror/debian trixie/main amd64 Packages [9678 kB]",
      "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
      "Get:1 http://mirror/debian trixie/main amd64 libc6 amd64 2.41-12 [2846 kB]",
      "Get:2 http://mirror/debian trixie/main amd64 netbase all 6.5 [12.4 kB]",
      "Unpacking libc6:amd64 (2.41-12) ...",
      "Setting up libc6:amd64 (2.41-12) ...",
      "0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.",
      "Get:1 http://mirror/debian trixie/main amd64 git amd64 1:2.47.3 [862 B]",
      "vibe: disk",
    ]),
    [
      "reading package lists",
      "reading package lists",
      null,
      "downloading 1 of 2",
      "downloading 2 of 2",
      "unpacking 1 of 2",
      "setting up 1 of 2",
      null,
      "downloading 3 of 3",
      "writing the disk",
    ],
  );
});

Deno.test("a full disk and an unreachable mirror are noticed", () => {
  const unreachable = (line: string) => {
    const output = new BuildOutput();
    output.line(line);
    return output.unreachable;
  };
  strictEqual(unreachable("  Could not resolve 'mirror.invalid'"), "mirror.invalid");
  strictEqual(unreachable("W: Temporary failure resolving 'mirror'"), "mirror");
  strictEqual(
    unreachable("  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: refused)"),
    "127.0.0.1:9",
  );
  strictEqual(
    unreachable("E: Failed to fetch http://mirror/debian/x.deb  404  Not Found [IP: ::1 80]"),
    "http://mirror/debian/x.deb",
  );
  strictEqual(unreachable("Unpacking resolvconf (1.94) ..."), null);
  const noSpace = (line: string) => {
    const output = new BuildOutput();
    output.line(line);
    return output.noSpace;
  };
  strictEqual(noSpace("tar: ./usr/bin/git: Cannot write: No space left on device"), true);
  strictEqual(noSpace("E: You don't have enough free space in /mnt/work/root/var."), true);
  strictEqual(
    noSpace("After this operation, 114 MB of additional disk space will be used."),
    false,
  );
});

Deno.test("the first unreachable place is kept: the rest follows from it", () => {
  const output = new BuildOutput();
  output.line("  Could not resolve 'one'");
  output.line("  Could not resolve 'two'");
  strictEqual(output.unreachable, "one");
});

Deno.test("lists from another time are told apart from a mirror that is away", () => {
  const otherTime = (line: string) => {
    const output = new BuildOutput();
    output.line(line);
    return output.otherTime;
  };
  const list = "http://mirror/debian/dists/trixie/InRelease";
  for (const how of ["not valid yet (invalid for another 50d)", "expired (invalid since 185d)"]) {
    strictEqual(otherTime(`E: Release file for ${list} is ${how}. Updates will not`), list);
  }
  const gpg = "W: GPG error: http://mirror/debian trixie InRelease: signatures were invalid: ";
  strictEqual(otherTime(`${gpg}EXPKEYSIG 54404762 Debian`), "http://mirror/debian");
  strictEqual(otherTime(`${gpg}BADSIG 54404762 Debian`), null);

  const output = new BuildOutput();
  output.line(`W: Failed to fetch ${list}  The following signatures were invalid`);
  output.line(`E: Release file for ${list} is not valid yet (invalid for another 1d).`);
  const log = { path: "/log" } as LogFile;
  const { message, hint } = buildError(output, "", "/b/1", {} as Recipe, log);
  match(message, /^Cannot build the image: "http:.*InRelease" is not valid on \d{4}-\d\d-\d\d$/);
  match(hint!, /^Set this machine's clock/);
});
