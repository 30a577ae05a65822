/** The real program, in a project of its own. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { debianRecipe } from "../../lib/image/recipe.ts";
import { projectInstance } from "../../lib/paths.ts";
import { driverEnv } from "./driver.ts";

/** The program under test. */
export const MAIN = fileURLToPath(import.meta.resolve("../../main.ts"));

/** All VM tests share one cache, and so one image of the recipe as it is now. */
export const TEST_CACHE = Deno.env.get("VIBE_TEST_CACHE") ??
  `/var/tmp/vibe-tests-${Deno.uid()}-${(await debianRecipe()).digest.slice(0, 8)}`;

/** Deno's own cache, wherever `HOME` is. */
const DENO_DIR = Deno.env.get("DENO_DIR") ??
  `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/deno`;

/** What a finished `vibe` said. */
export interface VibeOutput {
  code: number;
  stdout: string;
  stderr: string;
  bytes: Uint8Array;
}

const UNTIL_ONLINE = `for i in $(seq 1200); do
  ip -o route show default | grep -q via && grep -q ^nameserver /etc/resolv.conf &&
    echo online && exit
  sleep 0.1
done`;

/** How {@link Project.vibe} runs it. */
export interface VibeOptions {
  stdin?: string | Uint8Array<ArrayBuffer>;
  env?: Record<string, string>;
}

/** The words that start vibe from this checkout. */
export function vibeCommand(...args: string[]): string[] {
  return [Deno.execPath(), "run", "--allow-all", MAIN, ...args];
}

/** A temporary project directory. Disposing of it waits for its VM's end and removes it. */
export class Project implements AsyncDisposable {
  readonly dir: string;
  readonly env: Record<string, string>;
  readonly #root: string;
  readonly #state: string;

  private constructor(root: string, dir: string, id: string, env: Record<string, string>) {
    this.#root = root;
    this.dir = dir;
    this.#state = env.VIBE_DRIVER === "vz" ? `${root}/data/projects/${id}` : `${dir}/.vibe`;
    this.env = {
      VIBE_CACHE: TEST_CACHE,
      VIBE_RUNTIME: `${root}/r`,
      VIBE_DATA: `${root}/data`,
      // Whoever runs the tests may have settings, logins and caches of their own.
      HOME: `${root}/home`,
      XDG_CONFIG_HOME: `${root}/config`,
      DENO_DIR,
      NO_COLOR: "1",
      ...env,
    };
  }

  /**
   * @param name of the directory, and so of the share in the guest.
   * @param env chooses the driver; that of the test run unless given.
   */
  static async create(name = "project", env?: Record<string, string>): Promise<Project> {
    const root = await Deno.makeTempDir({ prefix: "vibe-test-" });
    await Deno.mkdir(`${root}/${name}`);
    await Deno.mkdir(`${root}/home`);
    const dir = await Deno.realPath(`${root}/${name}`);
    const { id } = await projectInstance(dir);
    return new Project(root, dir, id, env ?? await driverEnv());
  }

  path(name: string): string {
    return `${this.dir}/${name}`;
  }

  /** A file of the VM's state, which is in `.vibe/` or, on a Mac's driver, outside of the project. */
  state(name = ""): string {
    return join(this.#state, name);
  }

  async write(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(this.path(name), text);
  }

  read(name: string): Promise<string> {
    return Deno.readTextFile(this.path(name));
  }

  /** Starts `vibe` with pipes. */
  spawn(args: string[], env: Record<string, string> = {}): Deno.ChildProcess {
    const [program, ...rest] = vibeCommand(...args);
    return new Deno.Command(program, {
      args: rest,
      cwd: this.dir,
      env: { ...this.env, ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  /** Runs `vibe` to its end. */
  async vibe(args: string[], options: VibeOptions = {}): Promise<VibeOutput> {
    const child = this.spawn(args, options.env);
    const output = child.output();
    const writer = child.stdin.getWriter();
    const input = options.stdin ?? "";
    await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input)
      .catch(() => {});
    await writer.close().catch(() => {});
    const { code, stdout, stderr } = await output;
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
      bytes: stdout,
    };
  }

  /** `vibe run -- sh -c SCRIPT`. */
  sh(script: string, options: string[] = []): Promise<VibeOutput> {
    return this.vibe([...options, "run", "--", "sh", "-c", script]);
  }

  /** Waits until all services of its VM are there. */
  async booted(): Promise<void> {
    // It answers at once, "offline", while it cannot be asked yet.
    const { stdout } = await this.sh(
      "until systemctl is-system-running --wait | grep -E 'running|degraded'; do sleep 0.2; done",
    );
    if (stdout !== "running\n") throw new Error(`the guest is ${stdout}`);
  }

  /** Keeps the VM running until disposed of, so that what follows finds it warm. */
  async hold(options: string[] = []): Promise<Hold> {
    const child = this.spawn([...options, "run", "--", "sh", "-c", "echo up; cat"]);
    const stderr = new Response(child.stderr).text();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    if (!value) throw new Error(`vibe did not start: ${await stderr}`);
    return {
      child,
      async [Symbol.asyncDispose]() {
        await child.stdin.close().catch(() => {});
        await reader.cancel().catch(() => {});
        await child.status;
      },
    };
  }

  /**
   * Waits until the guest has its network. QEMU's has it at once; on a Mac addresses come by DHCP, up
   * to half a minute later in software emulation.
   */
  async online(): Promise<void> {
    if (this.env.VIBE_DRIVER !== "vz") return;
    const { stdout } = await this.sh(UNTIL_ONLINE);
    if (stdout !== "online\n") throw new Error("the guest got no network within two minutes");
  }

  /** Resolves when no supervisor holds the VM any more. */
  async stopped(): Promise<void> {
    using lock = await Deno.open(this.state("lock"), {
      read: true,
      write: true,
      create: true,
    });
    await lock.lock(true);
  }

  /** The processes whose command line holds a text. */
  async processes(pattern: string): Promise<{ pid: number; command: string }[]> {
    const found = [];
    for await (const entry of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(entry.name)) continue;
      const raw = await Deno.readTextFile(`/proc/${entry.name}/cmdline`).catch(() => "");
      const command = raw.replaceAll("\0", " ");
      if (command.includes(pattern)) found.push({ pid: Number(entry.name), command });
    }
    return found;
  }

  /** Those of {@link Project.processes} that were started for this project; other tests may run. */
  async ownProcesses(pattern: string): Promise<{ pid: number; command: string }[]> {
    const own = [];
    for (const process of await this.processes(pattern)) {
      const environ = await Deno.readTextFile(`/proc/${process.pid}/environ`).catch(() => "");
      if (environ.includes(`VIBE_RUNTIME=${this.env.VIBE_RUNTIME}\0`)) own.push(process);
    }
    return own;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const state = await Deno.stat(this.state()).catch(() => null);
    if (state?.isDirectory) await this.stopped();
    await Deno.remove(this.#root, { recursive: true });
  }
}

/** Kills a `vibe` outright, and ends its pipes. */
export async function killOutright(
  child: Deno.ChildProcess,
  stdout: ReadableStreamDefaultReader<Uint8Array>,
): Promise<void> {
  child.kill("SIGKILL");
  await child.status;
  await stdout.cancel();
  await child.stderr.cancel();
  await child.stdin.close().catch(() => {});
}

/** A VM that is kept running. */
export interface Hold extends AsyncDisposable {
  child: Deno.ChildProcess;
}
