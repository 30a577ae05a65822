/** Which source of settings wins, and what a stranger's file may say. */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { type Bounds, mergeSettings, type Sources } from "../../lib/config/merge.ts";
import type { ProjectFile, SettingName, Settings } from "../../lib/config/settings.ts";

const BOUNDS: Bounds = {
  host: { cpus: 8, ram: 16384 },
  isInProject: (host) => host === "/p" || host.startsWith("/p/"),
};

function project(values: Settings, trust: ProjectFile["trust"] = "none"): ProjectFile {
  const lines = Object.fromEntries(Object.keys(values).map((name, i) => [name, i + 1]));
  return { path: "/p/vibe.toml", values, lines, digest: "", trust };
}

function user(values: Settings) {
  return { path: "/u/config.toml", values, lines: {} };
}

function merge(sources: Partial<Sources>) {
  const none = { flags: {}, environment: {}, project: null, user: null };
  return mergeSettings({ ...none, ...sources }, BOUNDS);
}

Deno.test("flag > environment > project > user > default, for every setting and every subset", () => {
  // A project's file is trusted here; what a stranger's may say is the next test's matter.
  const values: [SettingName, unknown[], boolean][] = [
    ["image", ["u", "p", "e", "f"], true],
    ["cpus", [1, 2, 3, 4], true],
    ["ram", [300, 400, 500, 600], true],
    ["timeout", [1, 2, 3, 4], true],
    ["idle", [1, 2, 3, 4], false],
    ["git", ["guard", "rw", "ro", "hide"], false],
    ["network", ["nat", "none", "br0", "br1"], false],
    ["defaultMounts", [true, false, true, false], false],
    ["nocloud", ["u", "p", "e", "f"], true],
  ];
  const from = ["user", "project", "environment", "flag"];
  for (const [name, given, hasVariable] of values) {
    for (let subset = 0; subset < 16; subset++) {
      const has = (layer: number) => (subset & 1 << layer) !== 0 && (layer !== 2 || hasVariable);
      const layer = (index: number): Settings => has(index) ? { [name]: given[index] } : {};
      const merged = merge({
        user: user(layer(0)),
        project: project(layer(1), "trusted"),
        environment: layer(2),
        flags: layer(3),
      });
      const winner = [3, 2, 1, 0].find(has);
      const what = `${name} ${subset.toString(2)}`;
      deepStrictEqual(merged.values[name], winner === undefined ? undefined : given[winner], what);
      strictEqual(
        merged.origins[name].from,
        winner === undefined ? "default" : from[winner],
        what,
      );
      deepStrictEqual(merged.ignored, []);
    }
  }
});

Deno.test("shares add up; at one guest path the later layer's holds", () => {
  const sources = {
    user: user({ mount: ["/u:/a:read-write", "/u:/b:read-write"] }),
    project: project({ mount: ["/p/x:/b:read-write"] }, "trusted"),
    flags: { mount: ["/f:c", "rel:a"] },
  };
  const merged = merge(sources);
  deepStrictEqual(merged.values.mount, [
    "/u:/a:read-write",
    "/p/x:/b:read-write",
    "/f:c",
    "rel:a",
  ]);
  deepStrictEqual(merged.mountOrigins.map(({ from }) => from), ["user", "project", "flag", "flag"]);
  deepStrictEqual(merge({ ...sources, flags: { mount: ["/f:/a"] } }).values.mount, [
    "/p/x:/b:read-write",
    "/f:/a",
  ]);
  const only = merge({ ...sources, flags: { mount: ["/f:c"], defaultMounts: false } });
  deepStrictEqual(only.values.mount, ["/f:c"]);
});

/** A setting of a stranger's file, beside the user's own: what holds, and why it was ignored. */
const STRANGER: [own: Settings, asked: Settings, held: Settings, why: RegExp | null][] = [
  [{}, { image: "default" }, { image: "default" }, null],
  [{}, { image: "mine" }, {}, /image of yours/],
  [{ image: "mine" }, { image: "mine" }, { image: "mine" }, null],
  [{ image: "mine" }, { image: "other" }, { image: "mine" }, /image of yours/],
  [{}, { cpus: 1 }, { cpus: 1 }, null],
  [{}, { cpus: 4 }, { cpus: 4 }, null],
  [{}, { cpus: 5 }, { cpus: 4 }, /half of this host; it is 4/],
  [{ cpus: 2 }, { cpus: 4 }, { cpus: 2 }, /more than you give; it is 2/],
  [{ cpus: 8 }, { cpus: 8 }, { cpus: 8 }, null],
  [{}, { ram: 8192 }, { ram: 8192 }, null],
  [{}, { ram: 99999 }, { ram: 8192 }, /half of this host/],
  [{ ram: 1024 }, { ram: 512 }, { ram: 512 }, null],
  [{}, { timeout: 10 }, { timeout: 10 }, null],
  [{}, { idle: 10 }, { idle: 10 }, null],
  [{ idle: 5 }, { idle: 0 }, { idle: 5 }, /longer than yours, 5/],
  [{ timeout: 5 }, { timeout: 0 }, { timeout: 5 }, /longer than yours, 5/],
  [{ timeout: 0 }, { timeout: 10 }, { timeout: 10 }, null],
  [{ timeout: 5 }, { timeout: 10 }, { timeout: 5 }, /longer than yours, 5/],
  [{}, { git: "hide" }, { git: "hide" }, null],
  [{}, { git: "guard" }, { git: "guard" }, null],
  [{}, { git: "rw" }, {}, /laxer than "guard"/],
  [{ git: "hide" }, { git: "ro" }, { git: "hide" }, /laxer than "hide"/],
  [{ git: "rw" }, { git: "rw" }, { git: "rw" }, null],
  [{}, { network: "none" }, { network: "none" }, null],
  [{}, { network: "br0" }, {}, /opens more than "nat"/],
  [{ network: "none" }, { network: "nat" }, { network: "none" }, /opens more than "none"/],
  [{ network: "br0" }, { network: "br1" }, { network: "br0" }, /opens more than "br0"/],
  [{ network: "br0" }, { network: "nat" }, { network: "nat" }, null],
  [{}, { nocloud: "p" }, {}, /other projects/],
  [{ nocloud: "u" }, { nocloud: "p" }, { nocloud: "u" }, /other projects/],
  [{ nocloud: "u" }, { nocloud: "u" }, { nocloud: "u" }, null],
  [{}, { defaultMounts: false }, { defaultMounts: false }, null],
  [{ defaultMounts: false }, { defaultMounts: true }, { defaultMounts: false }, /do not share/],
  [{}, { mount: ["/p/a:/a:read-only"] }, { mount: ["/p/a:/a:read-only"] }, null],
  [{}, { mount: ["/p/a:/a:read-write"] }, {}, /not read-only/],
  [{}, { mount: ["/p/.git:/a:read-write"] }, {}, /not read-only/],
  [{}, { mount: ["/home/me/.ssh:/a:read-only"] }, {}, /outside of the project/],
  [{}, { mount: ["/px:/a:read-only"] }, {}, /outside of the project/],
  [{ git: "hide" }, { mount: ["/p/.git:/a:read-only"] }, { git: "hide" }, /not their .git/],
  [{}, { git: "hide", mount: ["/p:/a:read-only"] }, { git: "hide" }, /not their .git/],
  [{ defaultMounts: false }, { mount: ["/p:/a:read-only"] }, { defaultMounts: false }, /do not/],
];

Deno.test("a stranger's file tightens and never widens, and it is said why", () => {
  for (const [own, asked, held, why] of STRANGER) {
    const what = JSON.stringify([own, asked]);
    for (const trust of ["none", "changed"] as const) {
      const merged = merge({ user: user(own), project: project(asked, trust) });
      deepStrictEqual(merged.values, held, what);
      strictEqual(merged.ignored.length, why ? 1 : 0, what);
      if (why) match(merged.ignored[0].why, why);
      if (why) ok(merged.ignored[0].line! >= 1);
    }
    // The user's environment counts as the user's word, too.
    const viaEnvironment = merge({ environment: own, project: project(asked) });
    deepStrictEqual(viaEnvironment.ignored.length, why ? 1 : 0, what);
    // And trusted, it does what it says.
    const trusted = merge({ user: user(own), project: project(asked, "trusted") });
    deepStrictEqual(trusted.ignored, []);
  }
});

Deno.test("what hides .git on the command line is not undone by a share of a stranger's", () => {
  const file = project({ mount: ["/p/.git:/a:read-only"] });
  deepStrictEqual(merge({ flags: { git: "hide" }, project: file }).values, { git: "hide" });
});

Deno.test("a trusted file may be from a bigger computer", () => {
  const merged = merge({ project: project({ cpus: 64, ram: 1 << 20 }, "trusted") });
  deepStrictEqual(merged.values, { cpus: 8, ram: 16384 });
});

Deno.test("what a stranger wrote cannot steer the terminal", () => {
  const { ignored } = merge({ project: project({ image: "\x1b[2J\u202e\n" }) });
  match(ignored[0].what, /^image = "\\u001b\[2J\\x202e\\n"$/);
});
