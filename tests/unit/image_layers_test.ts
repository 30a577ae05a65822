/** Layers and what they say, before any VM runs. */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { LogFile } from "../../lib/host/follow.ts";
import { GuestOutput } from "../../lib/image/guest_output.ts";
import { hostSettings, pemCertificates, proxyForGuest } from "../../lib/image/host_settings.ts";
import {
  AGENTS,
  parseAgents,
  parseLayers,
  parsePackageNames,
  parseScript,
  readLayers,
} from "../../lib/image/layers.ts";

async function inDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const NONE = { layers: [], agents: [], packages: [], scripts: [] };

Deno.test("layers: names, in their own order; what is none is said", () => {
  deepStrictEqual(parseLayers("agents, base,base"), ["base", "agents"]);
  deepStrictEqual(parseLayers("none"), []);
  deepStrictEqual(parseAgents("pi,codex"), ["codex", "pi"]);
  throws(() => parseLayers("base,extra\x1b[2J"), {
    code: "LAYER_UNKNOWN",
    message: 'There is no layer "extra\\x1b[2J"',
  });
  throws(() => parseAgents("clippy"), { code: "AGENT_UNKNOWN" });
});

Deno.test("layers: packages are names, not words for a shell", () => {
  deepStrictEqual(parsePackageNames("jq, g++,libc6:amd64,git=1:2.3-4~x"), [
    "jq",
    "g++",
    "libc6:amd64",
    "git=1:2.3-4~x",
  ]);
  for (const wrong of ["-y", "jq;reboot", "a b", "$(x)", "./x.deb"]) {
    throws(() => parsePackageNames(wrong), { code: "PACKAGE_NAME" }, wrong);
  }
});

Deno.test("layers: base, packages, the others, the user's, scripts", () =>
  inDir(async (dir) => {
    Deno.env.set("XDG_CONFIG_HOME", dir);
    try {
      await Deno.writeTextFile(`${dir}/extra one.sh`, "echo 1");
      const scripts = [await parseScript(`${dir}/extra one.sh`)];
      const choice = {
        layers: parseLayers("base,tools,agents,user"),
        agents: ["codex"],
        packages: ["jq", "tree"],
        scripts,
      };
      const names = async () => (await readLayers(choice)).map(({ name }) => name);
      deepStrictEqual(await names(), ["base", "packages", "tools", "agents", "extra_one.sh"]);
      await Deno.mkdir(`${dir}/vibe`);
      await Deno.writeTextFile(`${dir}/vibe/setup.sh`, "echo mine");
      deepStrictEqual(
        await names(),
        ["base", "packages", "tools", "agents", "user", "extra_one.sh"],
      );
      const [base, packages, , agents] = await readLayers(choice);
      ok(base.env.PACKAGES.split(" ").includes("ripgrep"));
      deepStrictEqual(packages.env, { PACKAGES: "jq tree" });
      deepStrictEqual(agents.env, { AGENTS: "codex" });
      await rejects(parseScript(`${dir}/none.sh`), { code: "SCRIPT_MISSING" });
    } finally {
      Deno.env.delete("XDG_CONFIG_HOME");
    }
  }));

Deno.test("layers: each is another as soon as its script or what it is given changes", () =>
  inDir(async (dir) => {
    const digest = async (choice: Partial<Parameters<typeof readLayers>[0]>) =>
      (await readLayers({ ...NONE, ...choice })).map((layer) => layer.digest).join();
    const agents = { layers: parseLayers("agents") };
    ok(await digest({ ...agents, agents: ["pi"] }) !== await digest({ ...agents, agents: AGENTS }));
    ok(await digest({ packages: ["a"] }) !== await digest({ packages: ["b"] }));
    await Deno.writeTextFile(`${dir}/x.sh`, "echo 1");
    const one = await digest({ scripts: [`${dir}/x.sh`] });
    strictEqual(one, await digest({ scripts: [`${dir}/x.sh`] }));
    await Deno.writeTextFile(`${dir}/x.sh`, "echo 2");
    ok(one !== await digest({ scripts: [`${dir}/x.sh`] }));
  }));

Deno.test("layers: what the guest says is made harmless, bounded, and understood", () =>
  inDir(async (dir) => {
    using log = await LogFile.create(dir, "log");
    const details: string[] = [];
    const output = new GuestOutput(log, (text) => details.push(text));
    const { take, end } = output.sink();
    const say = (text: string) => take(new TextEncoder().encode(text));
    await say("one\ntw");
    await say("o\r\n\x1b[31mred\x1b[0m \x1b]0;title\x07\n");
    await say(
      "vibe: installed node 20.1.2\nvibe: missing uv its server\x1b[2J cannot be reached\n",
    );
    await say("vibe: installed __proto__ x\nGet:1 http://x trixie InRelease [43.4 kB]\n");
    await say("x".repeat(10_000));
    for (let i = 0; i < 300; i++) await say(`\nvibe: missing tool-${i} why`);
    await say("\nno end");
    end();
    strictEqual(output.installed.node, "20.1.2");
    strictEqual(output.missing.uv, "its server cannot be reached");
    strictEqual(Object.getPrototypeOf(output.installed), null);
    strictEqual(Object.keys(output.missing).length, 100);
    const tail = output.tail.split("\n");
    ok(tail.length <= 15 && tail.every((line) => line.length <= 300));
    strictEqual(tail.at(-1), "no end");
    ok(details.includes("reading package lists"));
    const text = await Deno.readTextFile(log.path);
    match(text, /^one\ntwo\nred \\x1b\]0;title\\x07\n/);
    ok(!/[\x00-\x09\x0b-\x1f]/.test(text));
  }));

Deno.test("layers: a guest that prints without end does not fill the host's disk", () =>
  inDir(async (dir) => {
    using log = await LogFile.create(dir, "log");
    const { take } = new GuestOutput(log, () => {}).sink();
    const chunk = new TextEncoder().encode(("y".repeat(4000) + "\n").repeat(250));
    for (let i = 0; i < 80; i++) await take(chunk);
    const { size } = await Deno.stat(log.path);
    ok(size > 60 << 20 && size < 65 << 20, `${size}`);
  }));

Deno.test("host settings: proxies on this host are reached from the guest; no keys are lent", () => {
  strictEqual(proxyForGuest("http://localhost:3128"), "http://10.0.2.2:3128");
  strictEqual(proxyForGuest("http://me:pw@127.0.0.1:8/x"), "http://me:pw@10.0.2.2:8/x");
  strictEqual(proxyForGuest("http://[::1]:8"), "http://10.0.2.2:8");
  strictEqual(proxyForGuest("http://localhost.example"), "http://localhost.example");
  const pem = (name: string, body: string) =>
    `-----BEGIN ${name}-----\n${body}\n-----END ${name}-----\n`;
  const text = pem("CERTIFICATE", "AAAA") + pem("PRIVATE KEY", "SECRET") +
    pem("CERTIFICATE", "AAAA").replaceAll("\n", "\r\n") + pem("CERTIFICATE", "BBBB");
  deepStrictEqual(pemCertificates(text), [pem("CERTIFICATE", "AAAA"), pem("CERTIFICATE", "BBBB")]);
});

Deno.test("host settings: what the environment says", () =>
  inDir(async (dir) => {
    const pem = "-----BEGIN CERTIFICATE-----\nOWN0\n-----END CERTIFICATE-----\n";
    await Deno.writeTextFile(`${dir}/ca.pem`, pem);
    const variables: Record<string, string> = {
      NODE_EXTRA_CA_CERTS: `${dir}/ca.pem`,
      HTTPS_PROXY: "http://127.0.0.1:9",
      NPM_CONFIG_REGISTRY: "http://localhost:4873",
    };
    const { certificates, env } = await hostSettings({ get: (name) => variables[name] });
    ok(certificates.includes(pem));
    deepStrictEqual(env, {
      https_proxy: "http://10.0.2.2:9",
      HTTPS_PROXY: "http://10.0.2.2:9",
      NPM_CONFIG_REGISTRY: "http://10.0.2.2:4873/",
      COREPACK_NPM_REGISTRY: "http://10.0.2.2:4873",
    });
    const odd = await hostSettings({ get: (name) => name === "NPM_CONFIG_REGISTRY" ? "-x" : "" });
    deepStrictEqual(odd.env, {});
  }));
