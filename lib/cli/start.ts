/** From options to an attached VM: look for it, prepare what is missing, start it, wait. */

import { join } from "node:path";
import { reason, VibeError } from "../errors.ts";
import { readTextIfPresent, writeFileWhole } from "../files.ts";
import type { Progress } from "../progress.ts";
import {
  type Attachment,
  attachOrStart,
  attachRunning,
  StoppingError,
} from "../instance/attach.ts";
import type { VmInfo } from "../instance/control.ts";
import { type InstancePaths, instancePaths } from "../paths.ts";
import type { VmOptions } from "./options.ts";
import { printError } from "./output.ts";

/** An attached VM that is ready, and what it was started with. */
export interface ReadyVm extends Disposable {
  attachment: Attachment;
  info: VmInfo;
}

/**
 * Attaches to the VM of the current directory, starting it if need be; resolves once programs can
 * be started in it.
 *
 * @throws {VibeError} if that cannot be.
 */
export async function startVm(options: VmOptions, progress: Progress): Promise<ReadyVm> {
  const paths = await openInstance();
  const events = {
    waiting: (text: string) => progress.step(text),
    note: (text: string) => {
      progress.done();
      printError(`vibe: ${text}\n`);
    },
  };
  await showNotices(paths, events.note);
  for (;;) {
    const attachment = await attachRunning(paths.project, events) ??
      await startFresh(paths, options, progress, events);
    try {
      const info = await attachment.info;
      requireSameOptions(options, info, paths.project);
      progress.step("Booting");
      await attachment.ready;
      progress.done();
      return { attachment, info, [Symbol.dispose]: () => attachment[Symbol.dispose]() };
    } catch (error) {
      attachment[Symbol.dispose]();
      // We came as its last session left. When it is gone, a new one can start.
      if (!(error instanceof StoppingError)) throw error;
    }
  }
}

/** What a supervisor had to say when nobody listened. */
async function showNotices({ notices }: InstancePaths, note: (text: string) => void) {
  const text = await readTextIfPresent(notices);
  if (text === null) return;
  await Deno.remove(notices).catch(() => {});
  for (const line of text.split("\n").filter(Boolean)) note(line);
}

async function startFresh(
  paths: InstancePaths,
  options: VmOptions,
  progress: Progress,
  events: Parameters<typeof attachOrStart>[2],
): Promise<Attachment> {
  // Loaded only now: a VM that runs already needs none of it.
  const { makePlan } = await import("./make_plan.ts");
  // Outside the lock: it may take minutes, and another command may do it at the same time.
  const plan = await makePlan(paths, options, progress, events.note);
  progress.step("Starting");
  return await attachOrStart(paths, plan, events);
}

/** The directory that was typed in, with its `.vibe/` made. */
async function openInstance(): Promise<InstancePaths> {
  const project = await Deno.realPath(Deno.cwd());
  const paths = instancePaths(project);
  try {
    await Deno.mkdir(paths.dir, { mode: 0o700 });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      if ((await Deno.lstat(paths.dir)).isDirectory) return paths;
      throw new VibeError("VIBE_DIR_BLOCKED", `Cannot use "${paths.dir}": it is not a directory`);
    }
    const why = error instanceof Deno.errors.PermissionDenied || isReadOnly(error)
      ? "it is read-only for you"
      : reason(error);
    throw new VibeError("PROJECT_READ_ONLY", `Cannot make a VM in "${project}": ${why}`, {
      hint:
        "vibe keeps the VM's disk in .vibe/ there. Use a directory that you can write to, and " +
        `share this one: --mount ${project}:project:read-only`,
      cause: error,
    });
  }
  // So that the disk is never committed by accident.
  await writeFileWhole(join(paths.dir, ".gitignore"), "*\n");
  return paths;
}

function isReadOnly(error: unknown): boolean {
  return (error as { code?: string }).code === "EROFS";
}

/** What was asked for must hold, or the user would believe what is not so. */
function requireSameOptions(options: VmOptions, info: VmInfo, project: string): void {
  const differs: string[] = [];
  const check = (flag: string, wanted: unknown, actual: unknown) => {
    if (wanted !== undefined && wanted !== actual) differs.push(`${flag} ${actual}`);
  };
  check("--cpus", options.cpus, info.cpus);
  check("--ram", options.ram, info.memoryMiB);
  check("--git", options.git, info.git);
  check("--image", options.image, info.image);
  for (const spec of options.mount ?? []) {
    if (!info.mountSpecs.includes(spec)) differs.push(`no --mount ${spec}`);
  }
  if (options.defaultMounts === false && info.defaultMounts) differs.push("the default mounts");
  if (differs.length === 0) return;
  throw new VibeError(
    "VM_DIFFERS",
    `The VM of "${project}" already runs, with ${differs.join(", ")}`,
    { hint: "Leave its shells (it then stops) and try again, or leave these options out." },
  );
}
