/** The guest agent: compiled by the host's C compiler, once for each version of its source. */

import { join } from "node:path";
import { VibeError } from "../errors.ts";
import { readAsset } from "../assets.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { cacheDir } from "../paths.ts";
import { run, which } from "../process.ts";
import { digestOf } from "./digest.ts";
import { interrupted } from "./interrupted.ts";

/** Files of provision/agent/; the .c files are compiled together. */
export const AGENT_SOURCES = [
  "agent.h",
  "cgroup.c",
  "cgroup.h",
  "channel.c",
  "channel.h",
  "dispatch.c",
  "dispatch.h",
  "exec.c",
  "exec.h",
  "frame.c",
  "frame.h",
  "grow.c",
  "init.c",
  "link.c",
  "link.h",
  "loop.c",
  "loop.h",
  "main.c",
  "mount.c",
  "network.c",
  "outbox.c",
  "outbox.h",
  "partition.c",
  "partition.h",
  "port.c",
  "report.c",
  "stream.c",
  "stream.h",
  "system.c",
  "user.c",
  "user.h",
];

/** How many lines of the compiler's complaint are shown. */
const COMPLAINT_LINES = 15;

type Sources = [name: string, content: Uint8Array<ArrayBuffer>][];

/** A compiled agent. */
export interface Agent {
  /** Of its source and the processor it is for, in hex. */
  digest: string;
  path: string;
}

/**
 * The agent for this host's processor. Costs about 5 ms when it is there.
 *
 * @throws {VibeError} `AGENT_BUILD_FAILED`, or what {@link prepareHost} throws.
 */
export async function ensureAgent(options: PrepareOptions): Promise<Agent> {
  const { sources, digest } = await readAgent();
  const path = join(cacheDir(), "agent", digest, "vibe-agent");
  if (await Deno.stat(path).then((info) => info.isFile, () => false)) return { digest, path };
  await prepareHost(["agent"], options);
  options.progress.step("Compiling the guest agent");
  await build(sources, digest).catch((error) => {
    // Ctrl-C at a terminal ends the compiler as well.
    throw options.signal?.aborted ? interrupted("guest agent") : error;
  });
  return { digest, path };
}

/** The sources of the agent, and the digest that names what is made of them. */
export async function readAgent(): Promise<{ sources: Sources; digest: string }> {
  const sources = await Promise.all(
    AGENT_SOURCES.map(async (name): Promise<Sources[0]> => [
      name,
      await readAsset(`provision/agent/${name}`),
    ]),
  );
  const arch = new TextEncoder().encode(Deno.build.arch);
  return { sources, digest: await digestOf([...sources, ["architecture", arch]]) };
}

async function build(sources: Sources, digest: string): Promise<void> {
  const done = join(cacheDir(), "agent", digest);
  await Deno.mkdir(join(cacheDir(), "agent"), { recursive: true });
  const aside = await Deno.makeTempDir({ dir: join(cacheDir(), "agent"), suffix: ".partial" });
  try {
    await Deno.mkdir(join(aside, "source"));
    for (const [name, content] of sources) {
      await Deno.writeFile(join(aside, "source", name), content);
    }
    await compile(sources.map(([name]) => name), aside, digest.slice(0, 8));
    await Deno.remove(join(aside, "source"), { recursive: true });
    using binary = await Deno.open(join(aside, "vibe-agent"), { read: true });
    await binary.sync();
    await Deno.rename(aside, done).catch(async (error) => {
      // Another vibe was faster; what it made is the same.
      if (!await Deno.stat(join(done, "vibe-agent")).catch(() => null)) throw error;
    });
  } finally {
    await Deno.remove(aside, { recursive: true }).catch(() => {});
  }
}

async function compile(names: string[], dir: string, buildId: string): Promise<void> {
  const compiler = await which("cc") ?? await which("gcc") ?? "cc";
  const files = names.filter((name) => name.endsWith(".c"));
  const flags = ["-static", "-Os", "-s", `-DBUILD_ID="${buildId}"`, "-o", "../vibe-agent"];
  const { success, stderr } = await run([compiler, ...flags, ...files], {
    cwd: join(dir, "source"),
  });
  if (success) return;
  const complaint = stderr.trimEnd().split("\n").slice(-COMPLAINT_LINES).join("\n");
  throw new VibeError("AGENT_BUILD_FAILED", `Cannot compile the guest agent:\n${complaint}`, {
    hint: `It was compiled with "${compiler}".`,
  });
}
