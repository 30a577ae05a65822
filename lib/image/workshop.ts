/**
 * Where an image is made: `builds/<name>/` in the cache. Whoever holds the lock of the image's name
 * owns it. Steps that are finished lie in directories with numbers, each a base but for its place; so
 * that a build which was interrupted, or killed, can go on from the last one.
 */

import { join } from "node:path";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import type { LogFile } from "../host/follow.ts";
import { removeTree } from "../host/root_namespace.ts";
import { cacheDir } from "../paths.ts";
import { type Base, basesDir, readBase, readBaseIn } from "./base.ts";
import { endVm } from "./build_vm.ts";
import { findImage } from "./catalog.ts";
import { syncPath } from "./finish.ts";
import { type BuildRequest, hasLayers, parseRequest } from "./request.ts";

/** What is kept beside the steps. */
interface WorkshopState {
  version: 1;
  request: BuildRequest;
  /** Set just before a step becomes this base: it may be there, and not have its name yet. */
  result?: string;
}

/** Where workshops are. */
export function buildsDir(): string {
  return join(cacheDir(), "builds");
}

/** The making of one image. */
export class Workshop {
  readonly dir: string;
  readonly #name: string;
  readonly #log: LogFile;
  #last = 0;

  /** Call it with the lock of the image's name held. */
  constructor(name: string, log: LogFile) {
    this.dir = join(buildsDir(), name);
    this.#name = name;
    this.#log = log;
  }

  /** What an earlier build was asked for that has not finished; null if there is none. */
  async unfinished(): Promise<BuildRequest | null> {
    return (await this.#state())?.request ?? null;
  }

  /** The last step that an earlier build has finished; null if there is none. */
  async lastStep(): Promise<Base | null> {
    const last = Math.max(0, ...(await this.#entries()).map(Number).filter(Number.isInteger));
    this.#last = last;
    return last > 0 ? await readBaseIn(join(this.dir, String(last))) : null;
  }

  /** Begins: forgets all of an earlier build, or goes on with it. */
  async begin(request: BuildRequest, { resume }: { resume: boolean }): Promise<void> {
    await Deno.mkdir(this.dir, { recursive: true });
    await this.#dropNameless();
    for (const name of await this.#entries()) {
      if (resume && (name === "state.json" || name === String(this.#last))) continue;
      // The VM of a killed build is still on its way down.
      await endVm(join(this.dir, name === "vm" ? name : `${name}/vm`));
      await removeTree(join(this.dir, name), { log: this.#log });
    }
    if (!resume) this.#last = 0;
    await this.#save({ version: 1, request });
  }

  /** Makes the directory for the VM of a step anew; resolves to its path, which is not there yet. */
  async vmDir(): Promise<string> {
    const dir = join(this.dir, "vm");
    await removeTree(dir, { log: this.#log });
    return dir;
  }

  /** Makes the next step: `fill` puts a finished base into a directory. Steps before it go away. */
  async step(fill: (dir: string) => Promise<unknown>): Promise<Base> {
    const number = this.#last + 1;
    const done = join(this.dir, String(number));
    const aside = `${done}.partial`;
    await Deno.mkdir(aside);
    // Programs in the build that gave up root's rights work in it, too.
    await Deno.chmod(aside, 0o755);
    try {
      await fill(aside);
      await Deno.rename(aside, done);
      await syncPath(this.dir);
    } catch (error) {
      await removeTree(aside, { log: this.#log });
      throw error;
    }
    if (this.#last > 0) await this.#remove(String(this.#last));
    await this.#remove("vm");
    this.#last = number;
    return (await readBaseIn(done))!;
  }

  /** Makes a base of the last step. What it says of itself may be changed before. */
  async publish(step: Base): Promise<Base> {
    const { request } = (await this.#state())!;
    await this.#save({ version: 1, request, result: step.id });
    await writeFileWhole(join(step.dir, "image.json"), JSON.stringify(step.info, null, 2) + "\n");
    await Deno.mkdir(basesDir(), { recursive: true });
    await Deno.rename(step.dir, join(basesDir(), step.id));
    await syncPath(basesDir());
    return (await readBase(step.id))!;
  }

  /** Keeps what a build can go on from: the last step, or the image that there is. */
  async leave(): Promise<void> {
    const state = await this.#state();
    // One that consists of a single step has nothing to go on with.
    if (!state || !hasLayers(state.request)) return await this.close();
    await this.#save({ version: 1, request: state.request });
    await this.#remove("vm");
  }

  /** Nothing of it is needed any more. */
  async close(): Promise<void> {
    await removeTree(this.dir, { log: this.#log });
  }

  /** A base that a killed build made and did not name: nobody can know of it. */
  async #dropNameless(): Promise<void> {
    const result = (await this.#state())?.result;
    if (!result || (await findImage(this.#name))?.id === result) return;
    const base = await readBase(result);
    if (base) await removeTree(base.dir, { log: this.#log });
  }

  async #entries(): Promise<string[]> {
    return await Array.fromAsync(Deno.readDir(this.dir), ({ name }) => name).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    });
  }

  async #remove(name: string): Promise<void> {
    await removeTree(join(this.dir, name), { log: this.#log });
  }

  async #state(): Promise<WorkshopState | null> {
    const text = await readTextIfPresent(join(this.dir, "state.json"));
    try {
      const state = JSON.parse(text ?? "null");
      const request = parseRequest(state?.request);
      return request && state.version === 1 ? { ...state, request } : null;
    } catch {
      return null;
    }
  }

  async #save(state: WorkshopState): Promise<void> {
    await writeFileWhole(join(this.dir, "state.json"), JSON.stringify(state, null, 2) + "\n");
  }
}
