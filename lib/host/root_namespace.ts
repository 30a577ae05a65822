/**
 * Running something as root of namespaces of its own: its mounts are seen by nobody else, and its
 * processes all die with the first of them. An ordinary user is root there over a range of user ids
 * from /etc/subuid; files of root are their own.
 */

import { basename, dirname } from "node:path";
import { reason, VibeError } from "../errors.ts";
import { dieWithParent, run } from "../process.ts";
import { follow, type Followed, type FollowOptions } from "./follow.ts";
import { ID_COUNT, ownSubids, usernsRemedy } from "./userns.ts";

/** What {@link runAsRoot} runs. */
export interface RootRun extends FollowOptions {
  argv: string[];
  /** A directory on the host. It is the program's working directory, and is called /mnt there. */
  dir: string;
  /** The whole environment. */
  env: Record<string, string>;
}

/**
 * Says that it is there, waits until its user ids are known, and executes another shell: only that
 * has the rights of root. Gaining them clears the parent-death signal, so it is set again there.
 */
const WAIT = 'echo "$1"; read -r go && shift && exec setpriv --pdeathsig KILL -- sh -c "$@"';
const READY = "vibe: namespace is ready";

/** Binding `dir` to a fixed path spares the program spaces, quotes and parents it may not enter. */
const ENTER = 'mount -t proc proc /proc && mount --bind "$1" /mnt && cd /mnt && shift && ' +
  'echo "$0" && exec "$@"';
const ENTERED = "vibe: namespace is entered";

/**
 * Runs a program to its end, whether it succeeds or not.
 *
 * @throws {VibeError} `HOST_NO_NAMESPACES` if it could not be started there.
 */
export async function runAsRoot(config: RootRun): Promise<Followed> {
  const user = Deno.uid() === 0 ? null : await subids();
  const argv = [
    "unshare",
    ...(user ? ["--user"] : []),
    ...["--mount", "--pid", "--fork", "--kill-child", "--"],
    ...["sh", "-c", WAIT, "sh", READY, ENTER, ENTERED, config.dir, ...config.argv],
  ];
  // unshare(1) is killed when we die, and the first process in there when unshare dies.
  const [program, ...args] = dieWithParent(argv);
  const child = new Deno.Command(program, {
    args,
    env: config.env,
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  let entered = false;
  let failure: string | null = null;
  const onLine = (line: string) => {
    if (line === READY) begin();
    else if (line === ENTERED) entered = true;
    else config.onLine?.(line);
  };
  const begin = async () => {
    try {
      if (user) await mapIds(child.pid, user);
      await stdin.write(new TextEncoder().encode("go\n"));
    } catch (error) {
      failure = reason(error);
    } finally {
      // Without "go" the shell reads the end of input, and ends.
      await stdin.close().catch(() => {});
    }
  };
  const result = await follow(child, { ...config, onLine });
  if (!entered && !config.signal?.aborted) throw await cannotEnter(failure ?? result.tail);
  return result;
}

/** Removes a directory, also one with files of a user's sub-ids, which only their root may remove. */
export async function removeTree(dir: string, options: FollowOptions): Promise<void> {
  try {
    await Deno.remove(dir, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (!(error instanceof Deno.errors.PermissionDenied) || Deno.uid() === 0) throw error;
    const argv = ["rm", "-rf", "--", `./${basename(dir)}`];
    const env = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" };
    const { success, tail } = await runAsRoot({ ...options, argv, dir: dirname(dir), env });
    if (!success) throw new Error(`Cannot remove "${dir}": ${tail}`);
  }
}

interface Ids {
  name: string;
  uid: number;
  gid: number;
}

async function subids(): Promise<Ids> {
  const name = (await run(["id", "-un"])).stdout.trim();
  const ids = await ownSubids(name);
  if (ids) return { name, ...ids };
  throw new VibeError("HOST_NO_SUBIDS", `Cannot build an image: "${name}" has no sub-user ids`, {
    hint: "`vibe` on a terminal, or `vibe --yes`, adds them.",
  });
}

/** Inside, root is the user, and every other id is one of theirs. */
async function mapIds(pid: number, { uid, gid }: Ids): Promise<void> {
  const maps: [string, number | null, number][] = [
    ["newuidmap", Deno.uid(), uid],
    ["newgidmap", Deno.gid(), gid],
  ];
  for (const [program, own, first] of maps) {
    const { success, stderr } = await run(
      [program, ...[pid, 0, own, 1, 1, first, ID_COUNT - 1].map(String)],
    );
    if (!success) throw new Error(`${program}: ${stderr.trim()}`);
  }
}

async function cannotEnter(tail: string): Promise<VibeError> {
  const said = tail.split("\n").filter((line) => line !== READY && !line.includes("dmesg(1)"))
    .at(-1) ?? "it ended at once";
  const hint = Deno.uid() === 0
    ? "A container needs CAP_SYS_ADMIN for that."
    : await usernsRemedy();
  return new VibeError(
    "HOST_NO_NAMESPACES",
    `Cannot build an image: this system forbids ${
      Deno.uid() === 0 ? "" : "user "
    }namespaces (${said})`,
    { hint },
  );
}
