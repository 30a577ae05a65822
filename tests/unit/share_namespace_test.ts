/** The tree of shares in a real mount namespace, looked at from where virtiofsd would be. */

import { deepStrictEqual as assertEquals, ok as assert, rejects } from "node:assert/strict";
import type { VibeError } from "../../lib/errors.ts";
import { keepGuards } from "../../lib/share/keeper.ts";
import { ShareNamespace } from "../../lib/share/namespace.ts";
import { run } from "../../lib/process.ts";
import { startFailure } from "../../lib/share/start_failure.ts";
import { namespaceTest, shareOf } from "./share_support.ts";

/** For scripts: says whether a command worked. */
const TRY = `try() { if "$@" >/dev/null 2>&1; then echo "did $*"; else echo "no $*"; fi; }\n`;

namespaceTest("shares: read-only ones and guards hold", async (place) => {
  await place.make({
    "p/.git/config": "c",
    "p/.git/hooks/pre-commit": "h",
    "p/.git/HEAD": "h",
    "p/.vibe/disk": "secret",
    "p/secret": "secret",
    "ro/file": "r",
  });
  const share = shareOf(`${place.dir}/p`, {
    guards: [
      { path: ".vibe", rule: "hide" },
      { path: "secret", rule: "hide" },
      { path: ".git", rule: "pin" },
      { path: ".git/config", rule: "read-only" },
      { path: ".git/hooks", rule: "read-only" },
    ],
  });
  const readOnly = shareOf(`${place.dir}/ro`, { name: "r", readOnly: true });
  const said = await place.inTree(
    [share, readOnly],
    TRY + `
    try touch new; try mkdir new
    try touch r/new; try rm r/file; try mount -o remount,rw,bind r/none
    try touch s/new; try touch s/.git/index.lock; try mv s/.git/HEAD s/.git/HEAD2
    try sh -c 'echo x >>s/.git/config'; try mv s/.git/config s/.git/c; try rm s/.git/config
    try touch s/.git/hooks/post-commit; try rm s/.git/hooks/pre-commit
    try mv s/.git/hooks s/.git/h; try mv s/.git s/g; try rm -rf s/.git/hooks
    try rmdir s/.vibe; try mv s/.vibe s/v; try touch s/.vibe/x
    echo "vibe: $(ls -A s/.vibe)"; echo "secret: $(cat s/secret)"; try sh -c 'echo x >s/secret'
    cat s/.git/config s/.git/hooks/pre-commit; echo`,
  );
  assertEquals(said, [
    "no touch new",
    "no mkdir new",
    "no touch r/new",
    "no rm r/file",
    "no mount -o remount,rw,bind r/none",
    "did touch s/new",
    "did touch s/.git/index.lock",
    "did mv s/.git/HEAD s/.git/HEAD2",
    "no sh -c echo x >>s/.git/config",
    "no mv s/.git/config s/.git/c",
    "no rm s/.git/config",
    "no touch s/.git/hooks/post-commit",
    "no rm s/.git/hooks/pre-commit",
    "no mv s/.git/hooks s/.git/h",
    "no mv s/.git s/g",
    "no rm -rf s/.git/hooks",
    "no rmdir s/.vibe",
    "no mv s/.vibe s/v",
    "no touch s/.vibe/x",
    "vibe: ",
    "secret: ",
    "no sh -c echo x >s/secret",
    "ch",
  ]);
  assertEquals((await Deno.stat(`${place.dir}/p/new`)).uid, place.as.uid);
  assertEquals([...Deno.readDirSync(`${place.dir}/rt`)], []);
});

namespaceTest("shares: any name, of directories and of files", async (place) => {
  const names = [
    "-leading dash",
    "comma,equals=UUID=x",
    "quote\"s'and`s$(id)",
    "new\nline ",
    "back\\slash \\040",
    "colon:hash#tab\t",
    "snow☃\u00a0ümlaut",
    "gone (deleted)",
    "none",
  ];
  await place.make(Object.fromEntries(names.flatMap((name) => [
    [`in/${name}/${name}/text`, name],
    [`files/${name}`, name],
  ])));
  const shares = names.flatMap((name, index) => [
    shareOf(`${place.dir}/in/${name}`, {
      name: `d${index}`,
      guards: [{ path: name, rule: "pin" }, { path: `${name}/text`, rule: "read-only" }],
    }),
    shareOf(`${place.dir}/files/${name}`, { name: `f${index}`, readOnly: true }),
  ]);
  const said = await place.inTree(
    shares,
    TRY + `for d in d*; do cat "$d"/*/text && echo; try sh -c "echo >$d/*/text"; done
    for f in f*; do cat "$f" && echo; try sh -c "echo >$f"; done`,
  );
  const expected = ["d", "f"].flatMap((kind) =>
    names.flatMap((name, index) => [
      ...name.split("\n"),
      kind === "d" ? `no sh -c echo >d${index}/*/text` : `no sh -c echo >f${index}`,
    ])
  );
  assertEquals(said, expected);
});

namespaceTest(
  "shares: file systems mounted in them are in them, and read-only as they are",
  async (place) => {
    await place.make({ "p/disk/below": "", "rt/x": "" });
    const look =
      `exec 2>&1; cd shares/tree; for d in rw ro; do echo $d: $(ls $d/disk); touch $d/disk/n
    touch $d/disk/inner/n; done; ls rw/disk/inner; echo the end >&2`;
    const config = {
      shares: [
        shareOf(`${place.dir}/p`, { name: "rw" }),
        shareOf(`${place.dir}/p`, { name: "ro", readOnly: true }),
      ],
      runtimeDir: `${place.dir}/rt`,
      command: ["sh", "-c", look],
      ready: "the end",
      launcher: place.as.launcher,
    };
    const module = new URL("../../lib/share/namespace.ts", import.meta.url).href;
    const program = `const { ShareNamespace } = await import(${JSON.stringify(module)});
    await using namespace = await ShareNamespace.start(${JSON.stringify(config)});
    console.log(await namespace.exited);`;
    // An ordinary user may not lift what these are mounted with.
    const mount = `mount -t tmpfs -o nosuid,nodev,noexec,noatime tmpfs "$0/p/disk" &&
    mkdir "$0/p/disk/inner" && mount -t tmpfs tmpfs "$0/p/disk/inner" && exec "$@"`;
    const { code, stdout, stderr } = await run([
      ...["unshare", Deno.uid() === 0 ? "-m" : "-Urm", "--", "sh", "-c", mount, place.dir],
      ...[Deno.execPath(), "eval", program],
    ]);
    assertEquals(code, 0, stderr);
    assertEquals(stdout.trim().split("\n"), [
      "rw: inner",
      "ro: inner n",
      "touch: cannot touch 'ro/disk/n': Read-only file system",
      "touch: cannot touch 'ro/disk/inner/n': Read-only file system",
      "n",
      "the end",
    ]);
  },
);

namespaceTest("shares: a symbolic link is not followed", async (place) => {
  await place.make({ "p/sub/hooks/x": "", "outside/hooks/secret": "", "outside/file": "" });
  await Deno.symlink(`${place.dir}/outside`, `${place.dir}/p/link`);
  await Deno.symlink(`${place.dir}/outside/file`, `${place.dir}/p/file`);
  const guarded = (path: string) =>
    shareOf(`${place.dir}/p`, { guards: [{ path, rule: "read-only" }] });
  for (
    const share of [
      guarded("link"),
      guarded("link/hooks"),
      guarded("file"),
      guarded("none"),
      shareOf(`${place.dir}/p/link`),
    ]
  ) {
    await rejects(place.inTree([share], "echo ran"), { code: "SHARE_SOURCE" });
  }
});

namespaceTest("shares: a link that comes after the look is noticed", async (place) => {
  await place.make({ "a/hooks/x": "", "b/hooks/x": "", "outside/hooks/secret": "" });
  const swap = (path: string) => [
    ...["sh", "-c", `mv "$1" "$1.old"; ln -s "$2" "$1"; shift 2; exec "$@"`, "sh"],
    ...[`${place.dir}/${path}`, `${place.dir}/outside`, ...place.as.launcher],
  ];
  const share = (path: string) =>
    shareOf(`${place.dir}/${path}`, { guards: [{ path: "hooks", rule: "read-only" }] });
  const ran = `touch ${place.dir}/ran`;
  await rejects(place.inTree([share("a")], ran, swap("a/hooks")), { code: "SHARE_CHANGED" });
  await rejects(place.inTree([share("b")], ran, swap("b")), { code: "SHARE_CHANGED" });
  await rejects(Deno.stat(`${place.dir}/ran`), Deno.errors.NotFound);
});

namespaceTest("shares: a guard that the host took away comes back", async (place) => {
  await place.make({ "p/.git/config": "old", "p/.git/hooks/x": "", "one": "old", "rt/x": "" });
  const shares = [
    shareOf(`${place.dir}/p`, {
      guards: [{ path: ".git", rule: "pin" }, { path: ".git/config", rule: "read-only" }],
    }),
    shareOf(`${place.dir}/one`, { name: "one" }),
  ];
  // As virtiofsd does: it looks from another namespace, to which mounts must spread.
  const look = `echo ready >&2; read -r _ <"${place.dir}/fifo"; cd shares/tree || exit
    cat s/.git/config one; echo x >s/.git/config; cat s/.git/config`;
  await new Deno.Command("mkfifo", { args: ["-m", "666", `${place.dir}/fifo`] }).output();
  await using namespace = await ShareNamespace.start({
    shares,
    runtimeDir: `${place.dir}/rt`,
    command: ["unshare", "-m", "--propagation", "slave", "--", "sh", "-c", look],
    ready: "ready",
    launcher: place.as.launcher,
  });
  const restored: string[] = [];
  const all = Promise.withResolvers<void>();
  await using _keeper = keepGuards(namespace, shares, {
    restored: (paths) => {
      restored.push(...paths);
      if (restored.length === 2) all.resolve();
    },
    lost: all.reject,
  });
  for (const path of ["p/.git/config", "one"]) {
    await place.make({ [`${path}.lock`]: "new\n" });
    await Deno.rename(`${place.dir}/${path}.lock`, `${place.dir}/${path}`);
  }
  await all.promise;
  assertEquals(restored.toSorted(), [`${place.dir}/one`, `${place.dir}/p/.git/config`]);
  await Deno.writeTextFile(`${place.dir}/fifo`, "go\n");
  const said = (await namespace.exited).split("\n").slice(1);
  assertEquals(said.map((line) => line.replace(/.*: /, "")), [
    ...["new", "new"],
    ...["Read-only file system", "new"],
  ]);
});

namespaceTest("shares: a killed supervisor leaves nothing behind", async (place) => {
  await place.make({ "p/x": "", "rt/x": "", "lock": "" });
  await Deno.chmod(`${place.dir}/lock`, 0o666);
  const config = {
    shares: [shareOf(`${place.dir}/p`)],
    runtimeDir: `${place.dir}/rt`,
    command: ["flock", "-F", `${place.dir}/lock`, "sh", "-c", "echo ready >&2; exec sleep 1000"],
    ready: "ready",
    launcher: place.as.launcher,
  };
  const module = new URL("../../lib/share/namespace.ts", import.meta.url).href;
  const supervisor = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `const { ShareNamespace } = await import(${JSON.stringify(module)});
      await ShareNamespace.start(${JSON.stringify(config)});
      console.log("running");`,
    ],
    stdout: "piped",
  }).spawn();
  const { value } = await supervisor.stdout.getReader().read();
  assertEquals(new TextDecoder().decode(value), "running\n");
  supervisor.kill("SIGKILL");
  await supervisor.status;
  // The kernel gives the lock when the last holder is gone, and not before.
  using file = await Deno.open(`${place.dir}/lock`);
  await file.lock(true);
});

Deno.test("shares: what keeps namespaces away is said, with the remedy", async () => {
  const settings = (set: Record<string, string>) => (name: string) =>
    Promise.resolve(set[name] ?? null);
  const denied = "unshare: unshare failed: Operation not permitted\n";
  const cases: [stderr: string, uid: number, set: Record<string, string>, RegExp][] = [
    [denied, 1000, { "kernel.unprivileged_userns_clone": "0\n" }, /userns_clone=1/],
    ["unshare: unshare failed: No space left on device", 1000, {
      "user.max_user_namespaces": "0\n",
    }, /max_user_namespaces=15000/],
    ["mount: /x: permission denied.\n       dmesg(1) may have more", 1000, {
      "kernel.apparmor_restrict_unprivileged_userns": "1\n",
    }, /apparmor_restrict_unprivileged_userns=0/],
    [denied, 1000, {}, /run vibe as root/],
  ];
  for (const [stderr, uid, set, hint] of cases) {
    const error = await startFailure(stderr, uid, settings(set));
    assertEquals(error.code, "SHARE_NEEDS_USERNS");
    assert(hint.test(error.hint!), error.hint);
    assert(!error.message.includes("dmesg"));
  }
  const asRoot: VibeError = await startFailure(denied, 0, settings({}));
  assertEquals([asRoot.code, /CAP_SYS_ADMIN/.test(asRoot.hint!)], ["SHARE_FAILED", true]);
});

namespaceTest(
  "shares: one more is seen whole in a running tree, one less not at all",
  async (place) => {
    await place.make({
      "p/x": "",
      "q/.vibe/disk": "secret",
      "q/file": "content\n",
      "q/sub/y": "",
      "file": "one file\n",
      "rt/x": "",
    });
    const { dir } = place;
    // As virtiofsd does: it looks from another namespace, to which mounts must spread.
    const look = `echo ready >&2; cd shares/tree
    for turn in 1 2; do read -r script <"${dir}/ask"; sh -c "$script" >"${dir}/told" 2>&1; done`;
    await run(["mkfifo", "-m", "666", `${dir}/ask`, `${dir}/told`]);
    await using namespace = await ShareNamespace.start({
      shares: [shareOf(`${dir}/p`)],
      runtimeDir: `${dir}/rt`,
      command: ["unshare", "-m", "--propagation", "slave", "--", "sh", "-c", look],
      ready: "ready",
      launcher: place.as.launcher,
    });
    const inTree = async (script: string) => {
      await Deno.writeTextFile(`${dir}/ask`, `${script}\n`);
      const said = (await Deno.readTextFile(`${dir}/told`)).trimEnd().split("\n");
      return said.map((line) => line.replace(/.*: /, ""));
    };
    await namespace.add(shareOf(`${dir}/q`, {
      name: "added-1",
      guards: [{ path: ".vibe", rule: "hide" }, { path: "sub", rule: "read-only" }],
    }));
    await namespace.add(shareOf(`${dir}/file`, { name: "added-2", readOnly: true }));
    await rejects(namespace.add(shareOf(`${dir}/none`, { name: "x" })), { code: "SHARE_SOURCE" });
    assertEquals(await namespace.brokenMounts(), []);
    const script = "ls -A added-1/.vibe; cat added-1/file; (echo z >added-1/sub/z); " +
      "echo new >added-1/new; cat added-2; (echo x >added-2); ls";
    assertEquals(await inTree(script), [
      ...["content", "Read-only file system", "one file", "Read-only file system"],
      ...["added-1", "added-2", "s"],
    ]);
    assertEquals(await Deno.readTextFile(`${dir}/q/new`), "new\n");
    await namespace.remove("added-1");
    assertEquals(await namespace.brokenMounts(), []);
    assertEquals(await inTree("ls; cat added-1/file"), [
      ...["added-2", "s", "No such file or directory"],
    ]);
    assertEquals(await Deno.readTextFile(`${dir}/q/.vibe/disk`), "secret");
  },
);
