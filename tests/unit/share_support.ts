/** Real mount namespaces for tests: as whoever runs them, and as an ordinary user. */

import { namespaceLauncher, ShareNamespace } from "../../lib/share/namespace.ts";
import type { Share } from "../../lib/driver/driver.ts";
import { run } from "../../lib/process.ts";

/** Nobody's id on any system. */
const ORDINARY_UID = 64321;

/** Who a test is run as. */
export interface Identity {
  name: string;
  uid: number;
  /** Words that make a command theirs. */
  change: string[];
  launcher: string[];
}

/** A directory for one test, and who owns what is in it. */
export interface Place {
  dir: string;
  as: Identity;
  /** Makes files by their path: text, or null for a directory; gives all to the identity. */
  make(files: Record<string, string | null>): Promise<void>;
  /**
   * Runs a script where virtiofsd would be, over these shares; resolves to what it says. Its
   * working directory is the tree.
   */
  inTree(shares: Share[], script: string, launcher?: string[]): Promise<string[]>;
}

function identities(): Identity[] {
  const uid = Deno.uid()!;
  const name = uid === 0 ? "root" : "an ordinary user";
  const own = { name, uid, change: [], launcher: namespaceLauncher() };
  if (uid !== 0) {
    console.log("(not root: what root's namespace does is not tested in this run)");
    return [own];
  }
  const id = `${ORDINARY_UID}`;
  const change = ["setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"];
  const launcher = [...change, ...namespaceLauncher(ORDINARY_UID)];
  return [own, { name: "an ordinary user", uid: ORDINARY_UID, change, launcher }];
}

/** A test that runs once per identity. Namespaces are Linux's: elsewhere it says so. */
export function namespaceTest(name: string, test: (place: Place) => Promise<void>): void {
  if (Deno.build.os !== "linux") {
    console.log(`(not on this system, for it needs mount namespaces: ${name})`);
    return;
  }
  for (const as of identities()) {
    Deno.test(`${name} (as ${as.name})`, async () => {
      const dir = await Deno.realPath(await Deno.makeTempDir());
      await Deno.chmod(dir, 0o755);
      try {
        await test(new TestPlace(dir, as));
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    });
  }
}

/** A share of a directory, writable and unguarded unless told otherwise. */
export function shareOf(source: string, over: Partial<Share> = {}): Share {
  return { name: "s", source, readOnly: false, guards: [], ...over };
}

class TestPlace implements Place {
  readonly dir: string;
  readonly as: Identity;

  constructor(dir: string, as: Identity) {
    this.dir = dir;
    this.as = as;
  }

  async make(files: Record<string, string | null>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      const full = `${this.dir}/${path}`;
      await Deno.mkdir(text === null ? full : full.slice(0, full.lastIndexOf("/")), {
        recursive: true,
      });
      if (text !== null) await Deno.writeTextFile(full, text);
    }
    await this.give();
  }

  async give(): Promise<void> {
    if (this.as.uid === Deno.uid()) return;
    await run(["chown", "-R", "-h", `${this.as.uid}:${this.as.uid}`, this.dir]);
  }

  async inTree(shares: Share[], script: string, launcher = this.as.launcher): Promise<string[]> {
    const runtimeDir = `${this.dir}/rt`;
    await Deno.mkdir(runtimeDir, { recursive: true });
    const probe = `exec 2>&1; cd shares/tree || exit; ${script}\necho the end >&2`;
    await using namespace = await ShareNamespace.start({
      shares,
      runtimeDir,
      // Without it nobody mounts: a guest can only ask for files.
      command: ["setpriv", "--bounding-set", "-sys_admin", "--", "sh", "-c", probe],
      ready: "the end",
      launcher,
    });
    const said = await namespace.exited;
    return said.split("\n").slice(0, -1);
  }
}
