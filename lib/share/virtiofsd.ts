/**
 * virtiofsd, which serves the tree of shares to the guest. There are two programs of that name: the
 * one in C that came with QEMU up to 7.2, and the one in Rust that took its place.
 */

import type { Share, VmConfig } from "../driver/driver.ts";
import { VibeError } from "../errors.ts";
import { isExecutable, run, which } from "../process.ts";
import { type KeeperReport, keepGuards } from "./keeper.ts";
import { ShareNamespace } from "./namespace.ts";

/** Where distributions put it: Debian 12, Debian 13 and Ubuntu, Arch; it is rarely on PATH. */
const PLACES = ["/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** Both say this on stderr once QEMU may connect. */
const READY = "Waiting for vhost-user socket connection";

/** The socket's name in the runtime directory. */
const SOCKET = "virtiofs.sock";

/** A virtiofsd and what it understands. */
export interface Virtiofsd {
  path: string;
  kind: "c" | "rust";
  /** Its `--help`. */
  help: string;
}

/** A running file server. Disposing of it ends it. */
export interface ShareServer extends AsyncDisposable {
  /** The vhost-user socket for QEMU. */
  readonly socket: string;
  /** Resolves to the last of its stderr when it is gone. Never rejects. */
  readonly exited: Promise<string>;
  /** A process in its mount namespace. */
  readonly pid: number;
  /** Serves one share more. @throws {VibeError} `SHARE_*`. */
  add(share: Share): Promise<void>;
  /** Serves a share no longer, by its name. */
  remove(name: string): Promise<void>;
}

/** The path of virtiofsd, or null. */
export async function findVirtiofsd(): Promise<string | null> {
  for (const path of PLACES) {
    if (await isExecutable(path)) return path;
  }
  return await which("virtiofsd");
}

/** Asks a virtiofsd what it is. Takes 2-5 ms. */
export async function inspectVirtiofsd(path: string): Promise<Virtiofsd> {
  const { stdout, stderr } = await run([path, "--help"]);
  const help = stdout + stderr;
  return { path, kind: help.includes("--shared-dir") ? "rust" : "c", help };
}

/**
 * The command that serves directory `tree` on `socket`, both from the working directory.
 *
 * Locks stay in the guest (the default): that is what git, npm and SQLite want of a local disk.
 * Caching is `auto`: what is written on the host is seen in the guest within a second.
 *
 * @param uid whose files the guest's are; an ordinary user has no other ids to give.
 */
export function virtiofsdCommand(
  daemon: Virtiofsd,
  tree: string,
  socket: string,
  uid: number | null,
): string[] {
  if (daemon.kind === "c") {
    const options = "source=/run/shared,cache=auto,sandbox=namespace,modcaps=-mknod";
    const words = [daemon.path, `--socket-path=${socket}`, "-o", options];
    const enter = ["unshare", "-m", "--propagation", "slave", "--", "sh", "-c", OWN_RUN, "sh"];
    return [...enter, tree, ...words];
  }
  const words = [daemon.path, "--shared-dir", tree, "--socket-path", socket];
  words.push("--cache", "auto", "--sandbox", "namespace", "--modcaps=-mknod");
  // Announced, the guards would be file systems of their own in the guest: git would not look for
  // its repository beyond one, and `find -xdev` would stop there.
  const silent = "--no-announce-submounts";
  if (daemon.help.includes(silent)) words.push(silent);
  if (uid !== 0 && daemon.help.includes("squash-guest")) {
    for (const id of ["uid", "gid"]) words.push(`--translate-${id}`, "squash-guest:0:0:4294967295");
  }
  return words;
}

/**
 * The C one keeps a lock file in /run/virtiofsd, which an ordinary user cannot make; so it gets a
 * /run of its own, and there the tree again, for what is in the real /run is out of sight now but
 * for the working directory. `slave`: what is mounted in the tree later comes here, too.
 */
const OWN_RUN = `
tree=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run || exit
mkdir /run/shared || exit
mount --no-canonicalize --rbind "$tree" /run/shared || exit
exec "$@"
`;

/** What {@link startShares} takes beside what a {@link VmConfig} has. */
export interface ShareOptions {
  /** The virtiofsd to use; the one of this host unless given. */
  virtiofsd?: string;
  report?: KeeperReport;
}

/**
 * Serves `config.shares` from a private mount namespace; resolves when QEMU may connect.
 *
 * @throws {VibeError} `SHARE_*`
 */
export async function startShares(
  config: Pick<VmConfig, "shares" | "runtimeDir">,
  options: ShareOptions = {},
): Promise<ShareServer> {
  const path = options.virtiofsd ?? await findVirtiofsd();
  if (!path) {
    throw new VibeError("SHARE_NO_VIRTIOFSD", "Cannot share directories: virtiofsd is missing", {
      hint: "Install the package virtiofsd (Debian 12: qemu-system-common).",
    });
  }
  const daemon = await inspectVirtiofsd(path);
  await using scope = new AsyncDisposableStack();
  scope.defer(() => removeFiles([SOCKET, `${SOCKET}.pid`].map((n) => `${config.runtimeDir}/${n}`)));
  const namespace = scope.use(
    await ShareNamespace.start({
      ...config,
      command: virtiofsdCommand(daemon, "shares/tree", SOCKET, Deno.uid()),
      ready: READY,
    }),
  );
  const report = options.report ?? { restored() {}, lost() {} };
  const keep = () => keepGuards(namespace, [...namespace.shares], report);
  let keeper = keep();
  scope.defer(() => keeper[Symbol.asyncDispose]());
  let last: Promise<void> = Promise.resolve();
  // The keeper mends mounts, too: never both at once.
  const change = (work: () => Promise<void>): Promise<void> => {
    const done = last.then(async () => {
      await keeper[Symbol.asyncDispose]();
      try {
        await work();
      } finally {
        keeper = keep();
      }
    });
    last = done.catch(() => {});
    return done;
  };
  const owned = scope.move();
  return {
    add: (share) => change(() => namespace.add(share)),
    remove: (name) => change(() => namespace.remove(name)),
    socket: `${config.runtimeDir}/${SOCKET}`,
    exited: namespace.exited,
    pid: namespace.pid,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function removeFiles(paths: string[]): Promise<void> {
  for (const path of paths) await Deno.remove(path).catch(() => {});
}
