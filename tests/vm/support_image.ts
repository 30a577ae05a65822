/** Images for tests: the shared real one, and small ones that are built by a process of their own. */

import { fileURLToPath } from "node:url";
import type { VibeError } from "../../lib/errors.ts";
import type { Base } from "../../lib/image/base.ts";
import { type BuildOptions, ensureImage } from "../../lib/image/build.ts";
import { NO_SETTINGS } from "../../lib/image/host_settings.ts";
import { buildImage } from "../../lib/image/layered.ts";
import type { Contents } from "../../lib/image/recipe.ts";
import { SUPERVISE } from "../../lib/instance/attach.ts";
import { supervise } from "../../lib/instance/supervise.ts";
import { run, which } from "../../lib/process.ts";
import { silentProgress } from "../../lib/progress.ts";
import { TEST_CACHE } from "../support/vibe.ts";

/** As little as the recipe can make an image of: 70 packages, a third of the time. */
const SMALL: Contents = { variant: "apt", packages: [], roomBytes: 0 };

/** The default image in the cache that all VM tests share; built if it is not there. */
export async function testImage(): Promise<Base> {
  Deno.env.set("VIBE_CACHE", TEST_CACHE);
  return await ensureImage("default", { yes: true, progress: silentProgress });
}

/** What a {@link SmallBuild} prints, one JSON line each. */
export type BuildEvent =
  | { event: "step" | "detail" | "done"; text: string }
  | { event: "built"; id: string }
  | { event: "failed"; code: string; message: string; hint: string };

/** A process that ensures a small default image in a cache. SIGTERM aborts it in good order. */
export class SmallBuild {
  readonly events: BuildEvent[] = [];
  readonly child: Deno.ChildProcess;
  /** Resolves to the last event when the process is gone. */
  readonly ended: Promise<BuildEvent>;
  #seen = Promise.withResolvers<void>();

  constructor(cache: string, env: Record<string, string> = {}) {
    this.child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", fileURLToPath(import.meta.url)],
      env: { ...env, VIBE_CACHE: cache },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.ended = this.#read();
  }

  /** Waits for an event with a text that matches; fails if the process ends before. */
  async seen(pattern: RegExp): Promise<void> {
    for (;;) {
      const { promise } = this.#seen;
      if (this.events.some((e) => "text" in e && pattern.test(e.text))) return;
      const end = this.ended.then((last) => {
        throw new Error(`The build never said ${pattern}, but ${JSON.stringify(last)}`);
      });
      await Promise.race([promise, end]);
    }
  }

  async #read(): Promise<BuildEvent> {
    let rest = "";
    for await (const chunk of this.child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      this.events.push(...lines.map((line) => JSON.parse(line)));
      this.#seen.resolve();
      this.#seen = Promise.withResolvers();
    }
    await this.child.status;
    return this.events.at(-1)!;
  }
}

/** A small tmpfs, mounted until it is disposed of. Needs root, or sudo that does not ask. */
export async function smallDisk(megabytes: number): Promise<{ dir: string } & AsyncDisposable> {
  const sudo = Deno.uid() === 0 ? [] : ["sudo", "-n"];
  if (sudo.length > 0 && !await which("sudo")) {
    throw new Error("This test mounts a small disk: run it as root, or install sudo");
  }
  const dir = await Deno.makeTempDir();
  const must = async (argv: string[]) => {
    const { success, stderr } = await run([...sudo, ...argv]);
    if (!success) throw new Error(`${argv.join(" ")}: ${stderr}`);
  };
  await must(["mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=1777`, "tmpfs", dir]);
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await must(["umount", dir]);
      await Deno.remove(dir);
    },
  };
}

function tell(event: BuildEvent): void {
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(event) + "\n"));
}

/** In a VM of the image `default`; the result is called `small`. */
async function buildInVm(options: BuildOptions): Promise<Base> {
  const request = { base: "debian", layers: [], agents: [], packages: ["tree"], scripts: [] };
  const { base } = await buildImage("small", request, false, {
    ...options,
    builder: "vm",
    settings: () => Promise.resolve(NO_SETTINGS),
    timeoutMs: 60 * 60_000,
    note: (text) => tell({ event: "done", text }),
  });
  return base;
}

if (import.meta.main && Deno.args[0] === SUPERVISE) await supervise();
else if (import.meta.main) {
  const controller = new AbortController();
  Deno.addSignalListener("SIGTERM", () => controller.abort());
  const options: BuildOptions = {
    yes: true,
    contents: SMALL,
    signal: controller.signal,
    progress: {
      step: (text) => tell({ event: "step", text }),
      detail: (text) => tell({ event: "detail", text }),
      done: (text) => tell({ event: "done", text: text ?? "" }),
    },
  };
  try {
    const { id } = Deno.env.get("BUILD_IN_VM")
      ? await buildInVm(options)
      : await ensureImage("default", options);
    tell({ event: "built", id });
  } catch (error) {
    const { code, message, hint } = error as VibeError;
    tell({ event: "failed", code, message, hint: hint ?? "" });
  }
  Deno.exit();
}
