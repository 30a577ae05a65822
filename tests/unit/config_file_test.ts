/** Reading settings: files, the environment, and which files are trusted. */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { loadHere, loadSettings, readEnvironment, readProjectFile } from "../../lib/config/load.ts";
import { keyLines, parseConfig } from "../../lib/config/parse.ts";
import { hasSettings, VARIABLES } from "../../lib/config/places.ts";
import { KEYS, SETTING_NAMES } from "../../lib/config/settings.ts";
import { revoke, trust, trusted, trustedDigest } from "../../lib/config/trust.ts";
import type { VibeError } from "../../lib/errors.ts";
import { parseBase } from "../../lib/image/sources.ts";

/** Where a newer nocloud disk is. */
const PIN = `https://host.example/new.tar.xz#sha512=${"ab".repeat(64)}`;

const CONTEXT = { path: "/p/vibe.toml", directory: "/p", home: "/home/me" };

/** A project and a home of their own; everything that says something else is out of the way. */
function configTest(name: string, test: (dirs: { p: string; root: string }) => Promise<void>) {
  Deno.test(name, async () => {
    const root = await Deno.realPath(await Deno.makeTempDir());
    const set: Record<string, string> = {
      XDG_CONFIG_HOME: `${root}/config`,
      VIBE_DATA: `${root}/data`,
      HOME: `${root}/home`,
      ...Object.fromEntries(Object.values(VARIABLES).map((name) => [name, ""])),
    };
    const before = Object.keys(set).map((key) => [key, Deno.env.get(key)] as const);
    for (const [key, value] of Object.entries(set)) Deno.env.set(key, value);
    await Deno.mkdir(`${root}/p`);
    await Deno.mkdir(`${root}/config/vibe`, { recursive: true });
    try {
      await test({ p: `${root}/p`, root });
    } finally {
      for (const [key, value] of before) {
        if (value === undefined) Deno.env.delete(key);
        else Deno.env.set(key, value);
      }
      await Deno.remove(root, { recursive: true });
    }
  });
}

Deno.test("every setting, its path made absolute, and the line of its key", () => {
  const text = `# first
image = "x"
cpus = 2

ram = 512
timeout = 60.5
mount = [
  "src:src:ro",   # in the project
  "~/data:/data",
  "/a\\\\:b:/c",
]
"default-mounts" = false
git = 'ro'
network = "none"
nocloud = "${PIN}"
`;
  const { values, lines } = parseConfig(text, CONTEXT);
  deepStrictEqual(values, {
    image: "x",
    cpus: 2,
    ram: 512,
    timeout: 60.5,
    mount: [
      "/p/src:/root/src:read-only",
      "/home/me/data:/data:read-write",
      "/a\\:b:/c:read-write",
    ],
    defaultMounts: false,
    git: "ro",
    network: "none",
    nocloud: PIN,
  });
  deepStrictEqual(lines, {
    image: 2,
    cpus: 3,
    ram: 5,
    timeout: 6,
    mount: 7,
    defaultMounts: 12,
    git: 13,
    network: 14,
    nocloud: 15,
  });
  deepStrictEqual(parseConfig("", CONTEXT).values, {});
});

Deno.test("docs/config.md has every setting, and every variable", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/config.md", import.meta.url));
  const [, example] = /^```toml\n(.*?)^```/ms.exec(page)!;
  const url = `https://example.org/disk.raw#sha512=${"0".repeat(128)}`;
  const { values } = parseConfig(example.replace("https://…#sha512=…", url), CONTEXT);
  deepStrictEqual(Object.keys(values).sort(), [...SETTING_NAMES].sort());
  const [, rules] = page.split("## A project's file");
  for (const key of Object.values(KEYS)) ok(rules.includes(`\`${key}\``), key);
  deepStrictEqual(
    new Set([...page.matchAll(/`(VIBE_\w+)`/g)].map(([, name]) => name)),
    new Set<string>(Object.values(VARIABLES)),
  );
});

Deno.test("the lines of keys, whatever their values look like", () => {
  const text = 'a = """\nb = 1\n"""\nc = [\n1, # ]\n"d = 2"\n]\n\n[e]\nf = 1\r\ng = 2';
  deepStrictEqual([...keyLines(text)], [["a", 1], ["c", 4], ["e", 9], ["f", 10], ["g", 11]]);
});

Deno.test("what is wrong is told with file, line and key", () => {
  const cases: [string, RegExp][] = [
    ["cpus = 0", /"\/p\/vibe.toml", line 1: "cpus": It must be at least 1\.$/],
    ['\n\ncpus = "2"', /, line 3: "cpus": It must be a number, without quotes\.$/],
    ["cpus = 1.5", /line 1: "cpus": It must be a whole number\.$/],
    ["ram = 1", /"ram": It must be at least 256\.$/],
    ["timeout = -1", /"timeout": It must be at most 2000000 seconds; 0 is no limit\.$/],
    ["git = true", /"git": It must be one of hide, ro, guard, rw\.$/],
    ['git = "no"', /"git": It must be one of/],
    ['mount = "a:b"', /"mount": It must be a list/],
    ["mount = [1]", /"mount": It must be a text in quotes\.$/],
    ['image = "a"\nmount = ["a:b", "c"]', /line 2: "mount": Cannot use --mount "c": /],
    ['network = "a b"', /line 1: "network": Cannot use the network "a b"\.$/],
    ['nocloud = "https://host.example/x"', /"nocloud": .* does not say what its digest is\.$/],
    ['nocloud = "./disk.raw"', /line 1: "nocloud": .* is no web address\.$/],
    ['default-mounts = "no"', /"default-mounts": It must be true or false\.$/],
    ['netwrok = "none"', /line 1: "netwrok": There is no such setting\.$/],
    ["yes = true", /There is no such setting/],
    ["[vm]\ncpus = 1", /line 1: "vm": There is no such setting/],
    ["__proto__ = 1", /There is no such setting|redefine|Cannot use/],
    ["cpus = 1\ncpus = 2", /line 2: /],
    ["a = [1,\n2\nb = 3", /line 3: expected comma/],
    ['"\x1b[2J" = 1', /line 1: control characters|There is no such setting/],
  ];
  for (const [text, message] of cases) {
    throws(() => parseConfig(text, CONTEXT), (error: VibeError) => {
      strictEqual(error.code, "CONFIG_INVALID");
      strictEqual(error.exitCode, 2);
      match(error.message, message);
      ok(!/[\x00-\x1f]/.test(error.message), error.message);
      return true;
    });
  }
  const own = { ...CONTEXT, directory: null };
  throws(() => parseConfig('mount = ["a:b"]', own), /"a:b" does not begin with \/ or ~\//);
});

Deno.test("the environment", () => {
  const env = (values: Record<string, string>) => ({ get: (name: string) => values[name] });
  deepStrictEqual(readEnvironment(env({})), {});
  deepStrictEqual(readEnvironment(env({ VIBE_CPUS: "", VIBE_IMAGE: "" })), {});
  deepStrictEqual(
    readEnvironment(env({ VIBE_CPUS: "1", VIBE_RAM: "512", VIBE_TIMEOUT: "9", VIBE_IMAGE: "i" })),
    { image: "i", cpus: 1, ram: 512, timeout: 9 },
  );
  throws(() => readEnvironment(env({ VIBE_CPUS: "two" })), {
    code: "CONFIG_VARIABLE",
    message: 'Cannot use VIBE_CPUS "two": It must be a whole number.',
  });
  throws(() => readEnvironment(env({ VIBE_RAM: "99999999999" })), /this host has/);
});

configTest("where settings are is looked for before anything is loaded", async ({ p, root }) => {
  strictEqual(hasSettings(p), false);
  Deno.env.set("VIBE_CPUS", "1");
  strictEqual(hasSettings(null), true);
  Deno.env.set("VIBE_CPUS", "");
  await Deno.writeTextFile(`${p}/vibe.toml`, "");
  strictEqual(hasSettings(p), true);
  strictEqual(hasSettings(null), false);
  await Deno.writeTextFile(`${root}/config/vibe/config.toml`, "");
  strictEqual(hasSettings(null), true);
});

configTest(
  "a project's file that is a link, a FIFO, huge or no text is refused",
  async ({ p, root }) => {
    const path = `${p}/vibe.toml`;
    const refused = async (what: RegExp) => {
      await rejects(readProjectFile(p), (error: VibeError) => {
        strictEqual(error.code, "CONFIG_INVALID");
        match(error.message, what);
        return true;
      });
      await Deno.remove(path);
    };
    strictEqual(await readProjectFile(p), null);
    await Deno.writeTextFile(`${root}/elsewhere`, "cpus = 1");
    await Deno.symlink(`${root}/elsewhere`, path);
    await refused(/It is a symbolic link\.$/);
    await Deno.symlink("/nowhere", path);
    await refused(/It is a symbolic link\.$/);
    await Deno.mkdir(path);
    await refused(/It is no file/);
    await new Deno.Command("mkfifo", { args: [path] }).output();
    await refused(/It is no file/);
    await Deno.writeTextFile(path, "#".repeat(17 << 10));
    await refused(/more than 16 KiB/);
    await Deno.writeFile(path, new Uint8Array([0x61, 0xff]));
    await refused(/not UTF-8/);
  },
);

configTest("trust is for these bytes at this path", async ({ p, root }) => {
  const path = `${p}/vibe.toml`;
  await Deno.writeTextFile(path, 'git = "rw"\n');
  const read = async () => (await readProjectFile(p))!;
  strictEqual((await read()).trust, "none");
  await trust(path, (await read()).digest);
  strictEqual((await read()).trust, "trusted");
  await Deno.writeTextFile(path, 'git = "rw" \n');
  strictEqual((await read()).trust, "changed");
  await Deno.writeTextFile(path, 'git = "rw"\n');
  strictEqual((await read()).trust, "trusted");

  await Deno.mkdir(`${root}/copy`);
  await Deno.copyFile(path, `${root}/copy/vibe.toml`);
  strictEqual((await readProjectFile(`${root}/copy`))!.trust, "none");

  deepStrictEqual((await trusted()).map((entry) => entry.path), [path]);
  strictEqual(await revoke(path), true);
  strictEqual(await revoke(path), false);
  strictEqual((await read()).trust, "none");
});

configTest("an entry that is damaged trusts nothing", async ({ p, root }) => {
  const path = `${p}/vibe.toml`;
  await trust(path, "00");
  const [{ name }] = [...Deno.readDirSync(`${root}/data/trust`)];
  for (const text of ["", "{", '{"path":1}', '{"path":"/q","digest":"00","since":""}']) {
    await Deno.writeTextFile(`${root}/data/trust/${name}`, text);
    strictEqual(await trustedDigest(path), null);
  }
});

configTest("a share that leaves the project by a link is outside of it", async ({ p, root }) => {
  await Deno.mkdir(`${root}/secret`);
  await Deno.mkdir(`${p}/own`);
  await Deno.symlink(`${root}/secret`, `${p}/link`);
  const mounts = '"own:own:ro", "link:link:ro", "../secret:s:ro", "~/x:x:ro"';
  await Deno.writeTextFile(`${p}/vibe.toml`, `mount = [${mounts}]\n`);
  const { values, ignored } = await loadSettings(p, {});
  deepStrictEqual(values.mount, [`${p}/own:/root/own:read-only`]);
  deepStrictEqual(ignored.map(({ why }) => why), Array(3).fill("it is outside of the project"));
});

configTest("the user's file is held to this host, and may be a link", async ({ root }) => {
  const path = `${root}/config/vibe/config.toml`;
  await Deno.writeTextFile(`${root}/dotfile`, "cpus = 100000\n");
  await Deno.symlink(`${root}/dotfile`, path);
  await rejects(loadSettings(null, {}), /line 1: "cpus": It must be at most \d+: this host has/);
  await Deno.writeTextFile(`${root}/dotfile`, 'cpus = 1\nmount = ["~/d:d"]\n');
  const { values, origins } = await loadSettings(null, {});
  deepStrictEqual(values, { cpus: 1, mount: [`${root}/home/d:/root/d:read-write`] });
  deepStrictEqual(origins.cpus, { from: "user", path, line: 1 });
});

configTest(
  "the disk that nocloud means: environment, a trusted project, the user",
  async (dirs) => {
    const { p, root } = dirs;
    const pin = (name: string) => PIN.replace("new", name);
    const url = async () => {
      const source = await parseBase("nocloud");
      ok(source.kind === "download");
      return source.url;
    };
    const before = Deno.cwd();
    Deno.chdir(p);
    try {
      match(await url(), /\/debian-13-nocloud-/);
      await Deno.writeTextFile(`${root}/config/vibe/config.toml`, `nocloud = "${pin("user")}"\n`);
      strictEqual(await url(), "https://host.example/user.tar.xz");
      await Deno.writeTextFile(`${p}/vibe.toml`, `nocloud = "${pin("project")}"\n`);
      strictEqual(await url(), "https://host.example/user.tar.xz");
      const { origins, ignored } = await loadHere({});
      const path = `${root}/config/vibe/config.toml`;
      deepStrictEqual(origins.nocloud, { from: "user", path, line: 1 });
      deepStrictEqual(ignored.map(({ line }) => line), [1]);
      await trust(`${p}/vibe.toml`, (await readProjectFile(p))!.digest);
      strictEqual(await url(), "https://host.example/project.tar.xz");
      Deno.env.set("VIBE_NOCLOUD", pin("environment"));
      strictEqual(await url(), "https://host.example/environment.tar.xz");
      const variable = { from: "environment", variable: "VIBE_NOCLOUD" };
      deepStrictEqual((await loadHere({})).origins.nocloud, variable);
    } finally {
      Deno.chdir(before);
    }
  },
);
