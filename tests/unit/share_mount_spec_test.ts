/** What `--mount` takes, and what it refuses. */

import { deepStrictEqual as assertEquals, rejects, throws } from "node:assert/strict";
import type { VibeError } from "../../lib/errors.ts";
import { formatMount, mountSource, parseMount, parseMounts } from "../../lib/share/mount_spec.ts";

Deno.test("--mount: fields, modes and relative paths", () => {
  const cases: [spec: string, host: string, guest: string, readOnly: boolean][] = [
    ["/data:/data", "/data", "/data", false],
    ["data:work", "/home/me/data", "/root/work", false],
    ["../up:sub/dir", "/home/up", "/root/sub/dir", false],
    [".:.", "/home/me", "/root", false],
    ["/a:/b:read-only", "/a", "/b", true],
    ["/a:/b:read-write", "/a", "/b", false],
    ["/a:/b:ro", "/a", "/b", true],
    ["/a:/b:rw", "/a", "/b", false],
    ["/a:/b//c/./d/", "/a", "/b/c/d", false],
    ["~/x:/b", "/home/me/~/x", "/b", false],
    ['/with space:/it\'s "so",ok', "/with space", '/it\'s "so",ok', false],
    ["-dash:/b", "/home/me/-dash", "/b", false],
    ["/a\\:b:/c\\:d:ro", "/a:b", "/c:d", true],
    ["/a\\\\:/c", "/a\\", "/c", false],
    ["/a\\n:/c", "/a\\n", "/c", false],
    ["/snow☃:/snow☃", "/snow☃", "/snow☃", false],
    ["/running:/running", "/running", "/running", false],
  ];
  for (const [spec, host, guest, readOnly] of cases) {
    assertEquals(parseMount(spec, "/home/me"), { host, guest, readOnly }, spec);
  }
});

Deno.test("--mount: what is refused, with the spec and the form in the error", () => {
  const cases: [spec: string, code: string][] = [
    ["", "MOUNT_SYNTAX"],
    ["/a", "MOUNT_SYNTAX"],
    [":/b", "MOUNT_SYNTAX"],
    ["/a:", "MOUNT_SYNTAX"],
    ["/a::ro", "MOUNT_SYNTAX"],
    ["/a:/b:ro:more", "MOUNT_SYNTAX"],
    ["/a\0:/b", "MOUNT_SYNTAX"],
    ["/a:/b:", "MOUNT_MODE"],
    ["/a:/b:readonly", "MOUNT_MODE"],
    ["/a:/b:RO", "MOUNT_MODE"],
    ["/a:/b:constructor", "MOUNT_MODE"],
    ["/a:/", "MOUNT_GUEST_PATH"],
    ["/a://", "MOUNT_GUEST_PATH"],
    ["/a:/b/../c", "MOUNT_GUEST_PATH"],
    ["/a:..", "MOUNT_GUEST_PATH"],
    ["/a:~/b", "MOUNT_GUEST_PATH"],
    ...["/proc", "/sys/fs", "/dev", "/dev/shm", "/run", "/run/x", "/var/run"].map((path) =>
      [`/a:${path}`, "MOUNT_GUEST_PATH"] as [string, string]
    ),
  ];
  for (const [spec, code] of cases) {
    throws(() => parseMount(spec, "/"), (error: VibeError) => {
      assertEquals(error.code, code, spec);
      assertEquals(error.exitCode, 2);
      assertEquals(error.message.includes(`"${spec.replace("\0", "\\x00")}"`), true, error.message);
      return (error.hint ?? "") !== "";
    });
  }
});

Deno.test("--mount: one guest path, one mount", () => {
  assertEquals(parseMounts(["/a:/x", "/b:/x/y"], "/").map(({ guest }) => guest), ["/x", "/x/y"]);
  const duplicate = { code: "MOUNT_DUPLICATE" };
  throws(() => parseMounts(["/a:/x", "/b:/x/"], "/"), duplicate);
  throws(() => parseMounts(["/a:proj"], "/", ["/root/proj"]), duplicate);
});

Deno.test("--mount: the source is there, and a directory or a file", async () => {
  const dir = await Deno.realPath(await Deno.makeTempDir());
  try {
    await Deno.mkdir(`${dir}/real`);
    await Deno.writeTextFile(`${dir}/file`, "");
    await Deno.symlink("real", `${dir}/link`);
    const source = (host: string) => mountSource({ host, guest: "/x", readOnly: false });
    assertEquals(await source(`${dir}/link`), `${dir}/real`);
    assertEquals(await source(`${dir}/file`), `${dir}/file`);
    await rejects(source(`${dir}/none`), { code: "MOUNT_SOURCE" });
    await rejects(source(`${dir}/file/below`), { code: "MOUNT_SOURCE" });
    await rejects(source("/dev/null"), { code: "MOUNT_SOURCE" });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("--mount: git= after the mode, or alone", () => {
  const cases: [string, object][] = [
    ["/a:/b:rw,git=guard", { readOnly: false, git: "guard" }],
    ["/a:/b:read-only,git=hide", { readOnly: true, git: "hide" }],
    ["/a:/b:git=ro", { readOnly: false, git: "ro" }],
  ];
  for (const [spec, mode] of cases) {
    assertEquals(parseMount(spec, "/"), { host: "/a", guest: "/b", ...mode });
  }
  for (const mode of ["git=", "git=x", "git=ro,rw", "rw,rw", "git=ro,git=rw", "rw,", "rw,ro"]) {
    throws(() => parseMount(`/a:/b:${mode}`, "/"), { code: "MOUNT_MODE" }, mode);
  }
});

Deno.test("--mount: what was parsed can be typed again, whatever bytes paths have", () => {
  let seed = 1;
  const random = (below: number) => (seed = seed * 48271 % 0x7fffffff) % below;
  for (let round = 0; round < 2000; round++) {
    const path = () =>
      "/" + Array.from({ length: 1 + random(6) }, () => "a:\\,~ \n"[random(7)]).join("");
    const spec = {
      host: path(),
      guest: `/g${path()}`.replace(/\/~(?=$|\/)/g, "/a"),
      readOnly: random(2) === 0,
      ...random(2) === 0 ? { git: (["hide", "ro", "guard", "rw"] as const)[random(4)] } : {},
    };
    assertEquals(parseMount(formatMount(spec), "/elsewhere"), spec, formatMount(spec));
  }
});
