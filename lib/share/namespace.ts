/**
 * A private mount namespace with the tree of shares in it, and a program that runs there.
 *
 * The tree is bind mounts, so read-only and hidden parts hold against whoever is root in the
 * guest. An ordinary user makes it in a user namespace of their own, in which only they exist.
 */

import { join } from "node:path";
import type { Share } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";
import { ownSubids } from "../host/userns.ts";
import { run, which } from "../process.ts";
import { type EntryKind, entryKind } from "./entry.ts";
import {
  bindsAgain,
  brokenMounts,
  fstab,
  type MountPlan,
  planMounts,
  planShare,
} from "./mount_plan.ts";
import { isWithin, type Mount, parseMountinfo, reachedFrom } from "./mountinfo.ts";
import { startFailure } from "./start_failure.ts";
import { checkShare, type Layout, makePoint, prepareTree, removeTree } from "./tree.ts";

/** What {@link startNamespace} is given. */
export interface NamespaceConfig {
  shares: Share[];
  /** A private directory; `shares/` is made in it, and the program runs in it. */
  runtimeDir: string;
  /** The program, with its arguments. The tree is `shares/tree` from where it runs. */
  command: string[];
  /** What the program writes on stderr once it is ready. */
  ready: string;
  /** Opens the namespaces; as root does it or an ordinary user, unless given. */
  launcher?: string[];
}

/**
 * The words before `sh`. unshare makes the new mounts private by itself and does not fork, so the
 * child we know is the shell. The parent-death signal comes last: a change of credentials, which
 * entering a user namespace is, clears it.
 */
export function namespaceLauncher(
  uid: number | null = Deno.uid(),
  subgid: number | null = null,
): string[] {
  const user = uid === 0 ? [] : ["--map-root-user"];
  // virtiofsd in C drops the groups of its user, as it must. In a user namespace the kernel allows
  // that only if newgidmap(1) has mapped a group that /etc/subgid gives to the user.
  if (user.length > 0 && subgid !== null) user.push(`--map-groups=${subgid},1,1`);
  return ["unshare", "--mount", ...user, "--", "setpriv", "--pdeathsig", "KILL", "--"];
}

async function ownLauncher(): Promise<string[]> {
  if (Deno.uid() === 0 || !await which("newgidmap")) return namespaceLauncher();
  const subids = await ownSubids((await run(["id", "-un"])).stdout.trim());
  return namespaceLauncher(Deno.uid(), subids?.gid);
}

/**
 * All that runs in the namespace before the program; paths come as arguments, never in the text.
 * The shell waits for a word before it starts the program: by then the mounts were checked, and if
 * we died meanwhile it reads the end of input instead and goes. It stays as the program's parent,
 * for it holds the namespace: the program enters another one, to which later mounts spread. The
 * second wait is for a program that the trap killed.
 */
const SCRIPT = `
mount --no-canonicalize --all --fstab "$1" || exit
echo mounted
read -r go || exit
shift
ulimit -n "$(ulimit -H -n)"
setpriv --pdeathsig KILL -- "$@" </dev/null >&2 &
trap 'kill -KILL $!' TERM
wait
wait
`;

/**
 * Mounts, in a tree that is in use. What is to be mounted again goes first: a file that was replaced is still mounted, as what it was,
 * and nothing can be mounted on that; at other points nothing is left and umount fails, as it may.
 */
const REMOUNT = `
fstab=$1
shift
test $# -eq 0 || umount --no-canonicalize --lazy "$@" 2>/dev/null
exec mount --no-canonicalize --all --fstab "$fstab"
`;

/** The bytes of stderr that are kept for an error message. */
const STDERR_TAIL = 4096;

/** The tree, and the program in it. Disposing of it ends both. */
export class ShareNamespace implements AsyncDisposable {
  /** Resolves to the last of stderr once every process in the namespace is gone. */
  readonly exited: Promise<string>;
  readonly #child: Deno.ChildProcess;
  readonly #ready = Promise.withResolvers<void>();
  readonly #plan: MountPlan;
  #shares: Share[];
  readonly #layout: Layout;
  #stderr = "";
  #gone = false;

  private constructor(config: Required<NamespaceConfig>, layout: Layout, plan: MountPlan) {
    const argv = [
      ...config.launcher,
      ...["sh", "-c", SCRIPT, "sh", layout.fstab, ...config.command],
    ];
    this.#plan = plan;
    this.#shares = config.shares;
    this.#layout = layout;
    this.#child = new Deno.Command(argv[0], {
      args: argv.slice(1),
      cwd: config.runtimeDir,
      // Messages are matched, so they must not be translated.
      env: { LC_ALL: "C" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#ready.promise.catch(() => {});
    this.exited = this.#watch(config.ready);
  }

  /**
   * Builds the tree and starts the program; resolves when it is ready.
   *
   * @throws {VibeError} `SHARE_*`.
   */
  static async start(config: NamespaceConfig): Promise<ShareNamespace> {
    const runtimeDir = await Deno.realPath(config.runtimeDir);
    const shares = config.shares.map(checkShare);
    const layout = await prepareTree(runtimeDir, shares);
    const mounts = parseMountinfo(await Deno.readTextFile("/proc/self/mountinfo"));
    const plan = planMounts(shares, layout, mounts);
    await Deno.writeTextFile(layout.fstab, fstab(plan.binds));
    const launcher = config.launcher ?? await ownLauncher();
    const namespace = new ShareNamespace({ ...config, launcher, runtimeDir }, layout, plan);
    try {
      await namespace.#whenMounted();
      await namespace.#begin();
      return namespace;
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A process in the namespace, for nsenter(1). */
  get pid(): number {
    return this.#child.pid;
  }

  /**
   * Mount points that are no longer as planned. One that is a directory entry renamed over or
   * removed on the host is unmounted by the kernel: `git config` does that to `.git/config`.
   */
  async brokenMounts(): Promise<string[]> {
    if (this.#gone) return [];
    const mounts = await this.#mounts();
    // Empty for a process that has ended; its parent, we, may not have heard of it yet.
    if (mounts.length === 0) return [];
    return brokenMounts(this.#plan, mounts);
  }

  /**
   * Puts back the guards that were lost. Resolves to the paths on the host that are guarded again;
   * what does not exist at the moment is left for later.
   *
   * @throws {VibeError} `SHARE_GUARD_LOST` if one cannot be put back.
   */
  async restore(): Promise<string[]> {
    const broken = (await this.brokenMounts()).map((point) => ({ point, ...this.#origin(point) }))
      .filter(({ kind }) => kind !== "missing");
    if (broken.length === 0) return [];
    const solid = broken.filter(({ kind }) => kind !== "link");
    const { again } = this.#layout;
    await Deno.mkdir(again);
    const beside = new Map(solid.map(({ point }, index) => [point, `${again}/${index}`]));
    for (const { point, kind } of solid) await makePoint(beside.get(point)!, kind);
    const binds = bindsAgain(this.#plan, [...beside.keys()], (point) => beside.get(point)!);
    const { stderr } = await this.#mount(binds, [...beside.keys()]);
    // With these directory entries, the mounts on them go.
    await Deno.remove(again, { recursive: true });
    const still = await this.brokenMounts();
    const lost = broken.filter(({ point }) => still.includes(point));
    if (lost.length === 0) return broken.map(({ path }) => path);
    throw new VibeError(
      "SHARE_GUARD_LOST",
      `Cannot protect "${printable(lost[0].path)}" from the VM any more: ` +
        (printable(stderr.trim()) || "it was replaced"),
      { hint: "Stop the VM, look at what is there now, and start it again." },
    );
  }

  /** What is shared now. */
  get shares(): readonly Share[] {
    return this.#shares;
  }

  /**
   * Adds a share while the program runs. It is made whole beside the tree, so that nothing of it is
   * seen before its guards are there.
   *
   * @throws {VibeError} `SHARE_*`; the tree is then as it was.
   */
  async add(share: Share): Promise<void> {
    const checked = checkShare(share);
    const { tree, again } = this.#layout;
    const mounts = await this.#mounts();
    await this.#requireSeen(share.source, mounts);
    const beside = planShare(checked, { ...this.#layout, tree: again }, mounts);
    const plan = planShare(checked, this.#layout, mounts);
    const [from, to] = [again, tree].map((dir) => `${dir}/${share.name}`);
    await Deno.mkdir(again);
    await makePoint(from, checked.kind);
    await makePoint(to, checked.kind);
    const whole = { source: from, target: to, readOnly: false, options: ["rbind"] };
    const { stderr } = await this.#mount([...beside.binds, whole], []);
    await Deno.remove(again, { recursive: true });
    const broken = brokenMounts(plan, await this.#mounts());
    if (broken.length === 0) {
      this.#shares = [...this.#shares, share];
      this.#plan.binds.push(...plan.binds);
      for (const [point, mount] of plan.expected) this.#plan.expected.set(point, mount);
      return;
    }
    await Deno.remove(to);
    throw new VibeError(
      "SHARE_FAILED",
      `Cannot share "${printable(share.source)}": ${printable(stderr.trim()) || "it was replaced"}`,
    );
  }

  /** Takes a share out of the tree. Files of it that are open in the guest stay so until closed. */
  async remove(name: string): Promise<void> {
    const top = `${this.#layout.tree}/${name}`;
    this.#shares = this.#shares.filter((share) => share.name !== name);
    this.#plan.binds = this.#plan.binds.filter(({ target }) => !isWithin(target, top));
    for (const point of [...this.#plan.expected.keys()]) {
      if (isWithin(point, top)) this.#plan.expected.delete(point);
    }
    // With this directory entry, all that other namespaces have mounted on it goes.
    await Deno.remove(top);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.exited;
    await this.#child.stdin.close().catch(() => {});
    await this.#child.stdout.cancel().catch(() => {});
    await removeTree(this.#layout.dir);
  }

  /** What is mounted in the namespace. */
  async #mounts(): Promise<Mount[]> {
    return parseMountinfo(await readTextIfPresent(`/proc/${this.pid}/mountinfo`) ?? "");
  }

  /** Makes mounts in the namespace, after unmounting what is on `points`. */
  async #mount(binds: MountPlan["binds"], points: string[]): Promise<{ stderr: string }> {
    await Deno.writeTextFile(this.#layout.fstab, fstab(binds));
    const user = Deno.uid() === 0 ? [] : ["--user", "--preserve-credentials"];
    const enter = ["nsenter", "--target", `${this.pid}`, "--mount", ...user, "--"];
    return await run([...enter, "sh", "-c", REMOUNT, "sh", this.#layout.fstab, ...points]);
  }

  /** The namespace was split off when the VM started: what was mounted since is not in it. */
  async #requireSeen(source: string, mounts: Mount[]): Promise<void> {
    const own = parseMountinfo(await Deno.readTextFile("/proc/self/mountinfo"));
    if (reachedFrom(own, source) === reachedFrom(mounts, source)) return;
    throw new VibeError(
      "SHARE_LATE_MOUNT",
      `Cannot share "${printable(source)}": it was mounted after the VM was started`,
      { hint: "`vibe restart` with --mount shares it." },
    );
  }

  /** Where on the host a mount point comes from, and what is there now. */
  #origin(point: string): { path: string; kind: EntryKind } {
    const [name, ...rest] = point.slice(this.#layout.tree.length + 1).split("/");
    const share = this.#shares.find((share) => share.name === name);
    if (!share) return { path: point, kind: "directory" };
    const path = rest.join("/");
    return { path: join(share.source, path), kind: entryKind(share.source, path) };
  }

  async #whenMounted(): Promise<void> {
    const reader = this.#child.stdout.getReader();
    const { done } = await reader.read();
    reader.releaseLock();
    if (done) throw await startFailure(await this.exited);
  }

  async #begin(): Promise<void> {
    const broken = await this.brokenMounts();
    if (broken.length > 0) {
      throw new VibeError(
        "SHARE_CHANGED",
        `Cannot share "${printable(this.#origin(broken[0]).path)}": it was replaced meanwhile`,
        { hint: "Another VM or program changes what is there. Start again once it is done." },
      );
    }
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("go\n")).catch(() => {});
    writer.releaseLock();
    await this.#ready.promise;
  }

  async #watch(ready: string): Promise<string> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.#stderr = (this.#stderr + text).slice(-STDERR_TAIL);
      if (this.#stderr.includes(ready)) this.#ready.resolve();
    }
    // Every process that could write there is gone.
    await this.#child.status;
    this.#gone = true;
    const said = this.#stderr.trim();
    this.#ready.reject(await startFailure(said));
    return said;
  }
}
