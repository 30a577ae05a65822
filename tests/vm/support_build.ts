/** Images that tests build in the shared cache, each under a name of its own. */

import { deepStrictEqual, ok } from "node:assert/strict";
import { Project, TEST_CACHE } from "../support/vibe.ts";
import { testImage } from "./support_image.ts";

/** A project with scripts, and an image of its own in the shared cache. */
export class Building implements AsyncDisposable {
  readonly name = `test-${crypto.randomUUID().slice(0, 8)}`;

  private constructor(readonly project: Project) {}

  static async create(): Promise<Building> {
    await testImage();
    return new Building(await Project.create());
  }

  /** The words of a build from the shared image with these scripts. */
  words(...scripts: string[]): string[] {
    const files = scripts.flatMap((script) => ["--script", this.project.path(script)]);
    return ["image", "build", this.name, "--base", "default", "--layers", "none", ...files];
  }

  get buildDir(): string {
    return `${TEST_CACHE}/builds/${this.name}`;
  }

  /** What `image.json` says. */
  async info() {
    const { stdout } = await this.project.vibe(["image", "show", this.name, "--json"]);
    const { base } = JSON.parse(
      await Deno.readTextFile(`${TEST_CACHE}/images/${this.name}.json`),
    );
    ok(stdout.includes(base), stdout);
    return JSON.parse(await Deno.readTextFile(`${TEST_CACHE}/bases/${base}/image.json`));
  }

  /** Nothing is left of a build: no files, no VM. */
  async tidy(): Promise<void> {
    deepStrictEqual(await names(this.buildDir), []);
    deepStrictEqual(await this.project.processes(this.buildDir), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.project[Symbol.asyncDispose]();
    await removeImage(this.name);
  }
}

/** Takes an image of a test out of the shared cache. */
export async function removeImage(name: string): Promise<void> {
  const path = `${TEST_CACHE}/images/${name}`;
  const text = await Deno.readTextFile(`${path}.json`).catch(() => null);
  if (text) await Deno.remove(`${TEST_CACHE}/bases/${JSON.parse(text).base}`, { recursive: true });
  for (const left of [`${path}.json`, `${path}.lock`, `${TEST_CACHE}/builds/${name}`]) {
    await Deno.remove(left, { recursive: true }).catch(() => {});
  }
}

/** What is in a directory, sorted; nothing if there is none. */
export async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir), ({ name }) => name).catch(() => [])).sort();
}
