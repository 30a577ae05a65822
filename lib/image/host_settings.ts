/**
 * How this host reaches the network, lent to a build in a VM: proxies, certificate authorities that
 * were added to the host (a company's proxy that signs TLS connections itself) and the npm registry.
 * None of it stays in the image. No passwords: npm's tokens are not lent, and a proxy's are part of
 * its address.
 */

import { join } from "node:path";
import { readTextIfPresent } from "../files.ts";
import type { Env } from "../paths.ts";
import { run, which } from "../process.ts";
import type { BuildVm } from "./build_vm.ts";

/** What is lent. */
export interface HostSettings {
  /** Certificates in PEM form, one after the other; empty if none were added. */
  certificates: string;
  /** Variables for everything that runs in the guest. */
  env: Record<string, string>;
}

/** Lends nothing. */
export const NO_SETTINGS: HostSettings = { certificates: "", env: {} };

/** Where distributions keep the authorities that somebody added. */
const ADDED = [
  "/usr/local/share/ca-certificates",
  "/etc/pki/ca-trust/source/anchors",
  "/etc/ca-certificates/trust-source/anchors",
  "/etc/pki/trust/anchors",
];
/** Variables of programs that name a file with authorities, whole bundles as a rule. */
const NAMED = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "NPM_CONFIG_CAFILE", "CURL_CA_BUNDLE"];

const PROXIES = ["http_proxy", "https_proxy", "no_proxy"];
/** In the guest; it is gone when that is off. */
const CERTIFICATES = "/run/vibe-build/ca.crt";

/** The host's own loopback, as QEMU's user network shows it to the guest. */
const HOST_IN_GUEST = "10.0.2.2";
const MAX_CERTIFICATES = 4 << 20;

/** What this host has. Takes as long as asking npm does, where there is one: 0.3 s. */
export async function hostSettings(env: Env = Deno.env): Promise<HostSettings> {
  const [certificates, registry] = await Promise.all([
    findCertificates(env),
    findRegistry(env),
  ]);
  const lent: Record<string, string> = {};
  for (const name of PROXIES) {
    const value = env.get(name) ?? env.get(name.toUpperCase());
    // Programs differ in which they look at.
    if (value) lent[name] = lent[name.toUpperCase()] = proxyForGuest(value);
  }
  if (registry) {
    lent.NPM_CONFIG_REGISTRY = proxyForGuest(registry);
    // corepack puts a slash of its own behind it, and registries refuse two.
    lent.COREPACK_NPM_REGISTRY = lent.NPM_CONFIG_REGISTRY.replace(/\/+$/, "");
  }
  return { certificates, env: lent };
}

/** An address on this host's loopback, as the guest reaches it. */
export function proxyForGuest(text: string): string {
  return text.replace(
    /^([a-z]+:\/\/(?:[^/@]*@)?)(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/i,
    `$1${HOST_IN_GUEST}`,
  );
}

async function findCertificates(env: Env): Promise<string> {
  const paths = NAMED.flatMap((name) => env.get(name) ?? []);
  for (const dir of ADDED) {
    const names = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name).catch(() => []);
    paths.push(...names.sort().map((name) => join(dir, name)));
  }
  const found = new Set<string>();
  for (const path of new Set(paths)) {
    const text = await readTextIfPresent(path).catch(() => null) ?? "";
    pemCertificates(text).forEach((pem) => found.add(pem));
  }
  if (Deno.build.os === "darwin") {
    const argv = ["security", "find-certificate", "-a", "-p", "/Library/Keychains/System.keychain"];
    const { stdout } = await run(argv).catch(() => ({ stdout: "" }));
    pemCertificates(stdout).forEach((pem) => found.add(pem));
  }
  return [...found].join("").slice(0, MAX_CERTIFICATES);
}

/** The certificates in a text, each once; keys and what else may be in it are left out. */
export function pemCertificates(text: string): string[] {
  const pattern = /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----/g;
  return [...new Set(text.replaceAll("\r", "").match(pattern) ?? [])].map((pem) => `${pem}\n`);
}

/** The npm registry that this host is told to use, or null if it is npm's own. */
async function findRegistry(
  env: Env,
): Promise<string | null> {
  const own = env.get("npm_config_registry") || env.get("NPM_CONFIG_REGISTRY");
  const text = own || await npmRegistry();
  const url = text ? URL.parse(text.trim()) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : null;
}

async function npmRegistry(): Promise<string | null> {
  if (!await which("npm")) return null;
  const { success, stdout } = await run(["npm", "config", "get", "registry"]);
  return success ? stdout : null;
}

/** What makes the script reach the network as this host does; for its environment only. */
export async function lend(
  vm: BuildVm,
  { certificates, env }: HostSettings,
): Promise<Record<string, string>> {
  const common: Record<string, string> = { DEBIAN_FRONTEND: "noninteractive", ...env };
  if (!certificates) return common;
  await vm.put("/run/vibe-build/host.crt", new TextEncoder().encode(certificates));
  const script =
    `cat /etc/ssl/certs/ca-certificates.crt /run/vibe-build/host.crt >${CERTIFICATES} ` +
    `2>/dev/null; chmod 644 ${CERTIFICATES}`;
  const content = new TextEncoder().encode(script);
  await vm.run({ name: "certificates", content, env: {} });
  const names = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "CARGO_HTTP_CAINFO",
    "REQUESTS_CA_BUNDLE",
  ];
  return { ...common, ...Object.fromEntries(names.map((name) => [name, CERTIFICATES])) };
}
