/** The initrd: the guest agent as /init and the modules it loads to reach the disk. */

import { join } from "node:path";
import { writeFileWhole } from "../files.ts";
import type { PrepareOptions } from "../host/prepare.ts";
import { cacheDir } from "../paths.ts";
import { ensureAgent, readAgent } from "./agent_build.ts";
import { type Base, damaged, isPlainName } from "./base.ts";
import { cpioArchive, type CpioEntry } from "./cpio.ts";

/** To be raised whenever {@link initrdEntries} makes something else of the same agent and base. */
const FORMAT = 1;

/** What a hypervisor boots beside the disk. */
export interface BootFiles {
  kernel: string;
  initrd: string;
  /** What the kernel is told about this base. */
  args: string[];
}

/**
 * The kernel and initrd for a base. Costs about 5 ms when they are there; otherwise the agent is
 * compiled if need be. Not compressed: it is 1.3 MB, which costs less to read than to unpack.
 *
 * @param dir where the initrd is kept.
 *
 * @throws {VibeError} see {@link ensureAgent}.
 */
export async function ensureBootFiles(
  base: Base,
  options: PrepareOptions,
  dir = initrdDir(),
): Promise<BootFiles> {
  const agent = await ensureAgent(options);
  const initrd = initrdPath(dir, base, agent.digest);
  if (!await isFile(initrd)) {
    await Deno.mkdir(dir, { recursive: true });
    const entries = initrdEntries(await Deno.readFile(agent.path), await readModules(base));
    await writeFileWhole(initrd, cpioArchive(entries));
  }
  return bootFiles(base, initrd);
}

/** The kernel and initrd for a base if they are there; makes nothing. */
export async function findBootFiles(base: Base): Promise<BootFiles | null> {
  const initrd = initrdPath(initrdDir(), base, (await readAgent()).digest);
  return await isFile(initrd) ? bootFiles(base, initrd) : null;
}

const initrdDir = () => join(cacheDir(), "initrd");

/** Both the agent's digest and a base's id stand for content that never changes. */
function initrdPath(dir: string, base: Base, agentDigest: string): string {
  return join(dir, initrdName(base.id, agentDigest));
}

function bootFiles(base: Base, initrd: string): BootFiles {
  const { root } = base.info;
  return { kernel: base.kernel, initrd, args: root ? [`root=${root}`] : [] };
}

function isFile(path: string): Promise<boolean> {
  return Deno.stat(path).then((info) => info.isFile, () => false);
}

/** What the initrd for a base with an agent is called. */
export function initrdName(base: string, agentDigest: string): string {
  return `${base}-${agentDigest.slice(0, 16)}-${FORMAT}.cpio`;
}

/** `modules` in the order to load them. */
export function initrdEntries(
  agent: Uint8Array,
  modules: { name: string; content: Uint8Array }[],
): CpioEntry[] {
  const order = modules.map(({ name }) => `${name}\n`).join("");
  return [
    ...["dev", "proc", "sys", "newroot", "modules"].map((name) => ({ name })),
    { name: "init", content: agent },
    { name: "modules/order", content: new TextEncoder().encode(order), mode: 0o644 },
    ...modules.map(({ name, content }) => ({ name: `modules/${name}`, content, mode: 0o644 })),
  ];
}

async function readModules(base: Base): Promise<{ name: string; content: Uint8Array }[]> {
  const dir = join(base.dir, "modules");
  const order = (await Deno.readTextFile(join(dir, "order"))).split("\n").filter(Boolean);
  // Of an image from elsewhere, these are somebody else's words.
  if (!order.every(isPlainName)) throw damaged(join(dir, "order"));
  return await Promise.all(
    order.map(async (name) => ({ name, content: await Deno.readFile(join(dir, name)) })),
  );
}
