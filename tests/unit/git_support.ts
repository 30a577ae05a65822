/** Git repositories for tests, untouched by the settings of whoever runs them. */

import { run } from "../../lib/process.ts";

const SETTINGS = {
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
};

/** Submodules from a directory, and commits by nobody in particular. */
const OPTIONS = ["protocol.file.allow=always", "user.name=t", "user.email=t@example.org"]
  .flatMap((option) => ["-c", option]);

/** A test in a directory of its own, with the environment put back afterwards. */
export function gitTest(name: string, test: (dir: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const before = Object.keys(SETTINGS).map((key) => [key, Deno.env.get(key)] as const);
    for (const [key, value] of Object.entries(SETTINGS)) Deno.env.set(key, value);
    const dir = await Deno.realPath(await Deno.makeTempDir());
    try {
      await test(dir);
    } finally {
      await Deno.remove(dir, { recursive: true });
      for (const [key, value] of before) {
        if (value === undefined) Deno.env.delete(key);
        else Deno.env.set(key, value);
      }
    }
  });
}

/** A repository with one commit. */
export class Repo {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Makes one, with these files committed beside a README. */
  static async init(path: string, files: Record<string, string> = {}): Promise<Repo> {
    const repo = new Repo(path);
    for (const [name, text] of Object.entries({ README: "read\n", ...files })) {
      const full = `${path}/${name}`;
      await Deno.mkdir(full.slice(0, full.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(full, text);
    }
    await repo.git("init", "-b", "main");
    await repo.git("add", "-f", ...Object.keys({ README: "", ...files }));
    await repo.git("commit", "-m", "first");
    return repo;
  }

  /** Runs git there and resolves to what it printed. @throws what it said, if it fails. */
  async git(...args: string[]): Promise<string> {
    const output = await run(["git", ...OPTIONS, "-C", this.path, ...args]);
    if (!output.success) throw new Error(`git ${args.join(" ")}: ${output.stderr}`);
    return output.stdout;
  }
}
