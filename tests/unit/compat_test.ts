/**
 * Command lines of the original vibe (lynaghk/vibe), as its readme, its help and its source tell what
 * they do, and what they do here. What differs on purpose is told in docs/differences.md.
 */

import { deepStrictEqual, match, ok } from "node:assert/strict";
import type { PlanReport } from "../../lib/plan/report.ts";
import { run } from "../../lib/process.ts";
import { MAIN } from "../support/vibe.ts";
import { plan, Scene } from "./plan_support.ts";

/** What a command line does here. */
type Here =
  /** It is planned so. */
  | ((plan: PlanReport) => unknown)
  /** It is refused, with this in the message. */
  | RegExp;

interface Row {
  /** DIR is a directory beside the project. */
  typed: string[];
  /** Where it is typed, if not in the project. */
  at?: "home";
  /** What the original does. */
  original: string;
  here: Here;
  /** The heading in docs/differences.md, if it is not the same. */
  differs?: string;
}

const shared = (guest: string, readOnly = false) => (plan: PlanReport) =>
  plan.shares.some((share) => share.guest === guest && share.readOnly === readOnly);
const done = (...actions: string[][]) => (plan: PlanReport) =>
  JSON.stringify(plan.login.actions) === JSON.stringify(actions);
const project = "/root/my: project";

const ROWS: Row[] = [
  { typed: [], original: "shares the directory below /root, by its name", here: shared(project) },
  { typed: [], original: "begins in the project", here: (p) => p.workdir === project },
  {
    typed: [],
    original: "2 CPUs",
    here: (p) => p.cpus === Math.min(2, navigator.hardwareConcurrency),
  },
  { typed: [], original: "2048 MiB", here: (p) => p.memoryMiB === 2048 },
  { typed: [], original: "network by NAT", here: (p) => p.network === "nat" },
  {
    typed: [],
    original: "a disk of its own, of the image default",
    here: (p) => p.image?.name === "default",
  },
  {
    typed: [],
    original: "the disk is .vibe/instance.raw, a whole copy",
    here: (p) => p.disk.path.endsWith("/.vibe/disk.qcow2"),
    differs: "Files",
  },
  {
    typed: [],
    at: "home",
    original: "shares the home directory",
    here: /Cannot share ".*\/home"/,
    differs: "The home directory",
  },
  {
    typed: ["--no-default-mounts", "--mount", "DIR/../home:/mnt/home"],
    at: "home",
    original: "shares it, too",
    here: shared("/mnt/home"),
  },
  {
    typed: [],
    original: "mounts a tmpfs over .git in the guest, where root can unmount it",
    here: (p) =>
      p.shares.some(({ guards }) =>
        guards.some(({ path, rule }) => path === ".git/config" && rule === "read-only")
      ),
    differs: ".git and .vibe",
  },
  {
    typed: [],
    original: "mounts a tmpfs over .vibe in the guest, where root can unmount it",
    here: (p) =>
      p.shares.some(({ guards }) => guards.some((g) => g.path === ".vibe" && g.rule === "hide")),
    differs: ".git and .vibe",
  },
  {
    typed: [],
    original: "shares ~/.claude and the like for the guest to write",
    here: (p) => p.shares.some(({ guest, copy }) => guest === "/root/.claude" && copy),
    differs: "Your own directories",
  },
  {
    typed: [],
    original: "shares ~/.m2 if it exists",
    here: (p) => p.shares.some((s) => s.guest === "/root/.m2"),
  },
  {
    typed: [],
    original: "leaves out what does not exist",
    here: (p) => !p.shares.some((s) => s.guest === "/root/.codex"),
  },
  { typed: ["--cpus", "1"], original: "so many CPUs", here: (p) => p.cpus === 1 },
  { typed: ["--cpus=1"], original: "the same", here: (p) => p.cpus === 1 },
  { typed: ["--cpus", "0"], original: "an error", here: /at least 1/ },
  { typed: ["--cpus", "two"], original: "an error", here: /whole number/ },
  {
    typed: ["--cpus", "9999"],
    original: "the framework refuses it when the VM starts",
    here: /at most \d+: this host has/,
    differs: "Limits",
  },
  { typed: ["--ram", "512"], original: "so many MiB", here: (p) => p.memoryMiB === 512 },
  { typed: ["--ram", "0"], original: "an error", here: /at least 256/ },
  {
    typed: ["--ram", "100"],
    original: "a VM that cannot boot Debian",
    here: /at least 256/,
    differs: "Limits",
  },
  {
    typed: ["--mount", "DIR:/workspace"],
    original: "shared at that place, to write",
    here: shared("/workspace"),
  },
  { typed: ["--mount", "DIR:data"], original: "below /root", here: shared("/root/data") },
  {
    typed: ["--mount", "src:/src"],
    original: "a host path of the directory's",
    here: shared("/src"),
  },
  { typed: ["--mount", "DIR:/x:read-only"], original: "read-only", here: shared("/x", true) },
  { typed: ["--mount", "DIR:/x:read-write"], original: "read-write", here: shared("/x") },
  {
    typed: ["--mount", "DIR:/x:ro"],
    original: "an error: the mode has its long name only",
    here: shared("/x", true),
    differs: "--mount",
  },
  {
    typed: ["--mount", "file.txt:/etc/f:read-only"],
    original: "the framework shares directories only",
    here: shared("/etc/f", true),
    differs: "--mount",
  },
  {
    typed: ["--mount", "DIR:../x"],
    original: "mounted at /root/../x",
    here: /has "\.\."/,
    differs: "--mount",
  },
  {
    typed: ["--mount", "DIR:/x", "--mount", "src:/x"],
    original: "one hides the other",
    here: /mounted at "\/x" already/,
    differs: "--mount",
  },
  { typed: ["--mount", "DIR"], original: "an error", here: /two or three fields/ },
  { typed: ["--mount", "DIR:/x:rx"], original: "an error", here: /"rx" is no mode/ },
  { typed: ["--mount", "DIR:/x:read-only:y"], original: "an error", here: /fields/ },
  { typed: ["--mount", "/no/such:/x"], original: "an error", here: /no such file/ },
  {
    typed: ["--mount", "DIR:/a", "--mount", "src:/b"],
    original: "both",
    here: (p) => shared("/a")(p) && shared("/b")(p),
  },
  {
    typed: ["--no-default-mounts"],
    original: "nothing is shared",
    here: (p) => p.shares.length === 0,
  },
  {
    typed: ["--no-default-mounts"],
    original: "a shell in root's home",
    here: (p) => p.workdir === null,
  },
  {
    typed: ["--no-default-mounts", "--mount", ".:/work"],
    original: "only that, and a shell in root's home",
    here: (p) => p.shares.length === 1 && p.workdir === "/work",
    differs: "--mount",
  },
  {
    typed: ["--network", "nat"],
    original: "NAT, by a helper of its own",
    here: (p) => p.network === "nat",
  },
  {
    typed: ["--network", "vznat"],
    original: "NAT, by the framework",
    here: (p) => p.network === "nat",
    differs: "--network",
  },
  {
    typed: ["--network", "no-such-0"],
    original: "the helper says that there is no such interface",
    here: /no such interface/,
  },
  {
    typed: ["--network", "none"],
    original: "taken for an interface of that name",
    here: (p) => !p.devices.some(({ kind }) => kind === "network"),
    differs: "--network",
  },
  { typed: ["--send", "ls -l"], original: "typed with a newline", here: done(["--send", "ls -l"]) },
  {
    typed: ["--expect", "x"],
    original: "waits for 30 seconds",
    here: done(["--expect", "x", "30"]),
  },
  {
    typed: ["--expect", "x", "5"],
    original: "5 is taken for a disk image",
    here: done(["--expect", "x", "5"]),
    differs: "--expect",
  },
  {
    typed: ["--send", "a", "--expect", "b", "--send", "c"],
    original: "in this order",
    here: done(["--send", "a"], ["--expect", "b", "30"], ["--send", "c"]),
  },
  {
    typed: ["--script", "file.txt", "--send", "a"],
    original: "the script first",
    here: (p) => p.login.actions[0][0] === "--script" && p.login.actions[1][0] === "--send",
  },
  {
    typed: ["--mount", "DIR:/workspace", "--script", "file.txt", "group.raw"],
    original: "an error if the disk image does not exist",
    here: /no such file/,
  },
  { typed: ["no.raw"], original: "an error if it does not exist", here: /no such file/ },
  {
    typed: ["lss"],
    original: "a disk image that does not exist",
    here: /There is no command "lss"/,
    differs: "A disk image as an argument",
  },
  {
    typed: ["a.raw", "b.raw"],
    original: "an error: one disk image only",
    here: /one disk image is enough/,
  },
  { typed: ["--nonsense"], original: "an error", here: /unknown option/ },
  { typed: ["--mount"], original: "an error", here: /argument missing/ },
];

Deno.test("command lines of the original vibe", async () => {
  await using scene = await Scene.make();
  ok(ROWS.length >= 40);
  for (const { typed, at, original, here } of ROWS) {
    Deno.chdir(at ? `${scene.root}/${at}` : scene.project);
    const args = typed.map((word) => word.replace("DIR", `${scene.root}/data dir`));
    const what = `${typed.join(" ")}: ${original}`;
    if (here instanceof RegExp) {
      const error = await plan(args).then(() => null, (error: Error) => error);
      match(error?.message ?? "it was planned", here, what);
    } else ok(here(await plan(args)), what);
  }
});

Deno.test("what differs from the original is told in docs/differences.md, and nothing else", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/differences.md", import.meta.url));
  const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading]) =>
    heading.replaceAll("`", "")
  );
  const told = new Set(ROWS.flatMap(({ differs }) => differs ?? []));
  // What no single command line shows.
  const general = ["How long a VM runs", "Exit codes", "--version"];
  deepStrictEqual(headings.sort(), [...told, ...general].sort());
});

Deno.test("--help and --version answer and exit with 0", async () => {
  for (
    const [flag, text] of [["--help", /Usage: vibe/], ["-h", /Usage: vibe/], ["--version", /^\d/]]
  ) {
    const { code, stdout } = await run([Deno.execPath(), "run", "-A", MAIN, flag as string]);
    deepStrictEqual(code, 0);
    match(stdout, text as RegExp);
  }
});
