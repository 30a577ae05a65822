/**
 * `deno task mac:check`: the first quarter of an hour on a Mac. Runs what the tests on Linux cannot
 * show, in the order in which one thing needs the other, and prints a report to paste.
 *
 *     deno task mac:check [--kernel FILE --initrd FILE]
 *
 * With a kernel (arm64: the uncompressed Image) a guest is booted until it writes to its console.
 */

import { installLibrary } from "../../ffi/library.ts";
import { VzLibrary } from "../../ffi/machine.ts";
import type { VzConfig } from "../../ffi/types.ts";
import { reason } from "../../lib/errors.ts";
import { ENTITLEMENTS } from "../../lib/macos/entitlements.ts";
import { signAdHoc } from "../../lib/macos/sign.ts";
import { signedCopy } from "../../lib/macos/signed_copy.ts";
import { run } from "../../lib/process.ts";

const SELF = import.meta.filename!;
const CONSOLE_TIMEOUT_MS = 60_000;

/** What a step found out, for the report; it throws if that is not as it should be. */
type Step = [name: string, body: () => Promise<string> | string];

class Skip extends Error {}

/** Runs a program; its output, all on one line, or an error with it. */
async function output(...argv: string[]): Promise<string> {
  const { success, code, stdout, stderr } = await run(argv).catch((error) => {
    throw new Error(`${argv[0]}: ${reason(error)}`);
  });
  const text = (stdout + stderr).trim().replaceAll(/\s*\n\s*/g, " | ");
  if (!success) throw new Error(`${argv[0]} ended with ${code}: ${text}`);
  return text;
}

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(name);
  return at < 0 ? undefined : Deno.args[at + 1];
}

/** A machine that is made, but has nothing to boot. */
const BARE: VzConfig = { cpus: 1, memory: 2 ** 29, boot: { kernel: SELF } };

async function create(): Promise<string> {
  const library = await VzLibrary.open();
  using machine = library.create(BARE);
  return `made, identity of ${machine.identity.machineIdentifier.length} characters`;
}

/** Boots the kernel given until it writes something; pauses, saves and restores it if it can. */
async function boot(): Promise<string> {
  const [kernel, initrd] = [option("--kernel"), option("--initrd")];
  if (!kernel) throw new Skip("no --kernel was given");
  const library = await VzLibrary.open();
  const dir = await Deno.makeTempDir({ dir: "/tmp", prefix: "vibe-" });
  const socket = `${dir}/console`;
  const console = () => {
    const listener = Deno.listen({ transport: "unix", path: socket });
    return {
      accept: listener.accept(),
      [Symbol.asyncDispose]: async () => {
        listener.close();
        await Deno.remove(socket).catch(() => {});
      },
    };
  };
  const config: VzConfig = {
    cpus: 1,
    memory: 2 ** 30,
    boot: { kernel, initrd, commandLine: "console=hvc0 panic=-1" },
    ports: [{ socket, console: true }],
    network: { mode: "nat" },
  };
  const said: string[] = [];
  try {
    await using listening = console();
    const started = performance.now();
    using machine = library.create(config);
    const conn = await listening.accept;
    const created = performance.now();
    await machine.start();
    const running = performance.now();
    const timer = setTimeout(() => conn.close(), CONSOLE_TIMEOUT_MS);
    const bytes = new Uint8Array(4096);
    const count = await conn.read(bytes).catch(() => null);
    clearTimeout(timer);
    if (!count) throw new Error("the guest wrote nothing to its console");
    const ms = (to: number, from: number) => `${(to - from).toFixed(0)} ms`;
    said.push(`create ${ms(created, started)}, start ${ms(running, created)}`);
    said.push(`first output after ${ms(performance.now(), running)}`);
    said.push(JSON.stringify(new TextDecoder().decode(bytes.subarray(0, Math.min(count, 80)))));
    await machine.pause();
    await machine.resume();
    said.push("pause and resume");
    if (library.host().saveRestore) {
      await machine.pause();
      const saving = performance.now();
      await machine.save(`${dir}/saved`);
      said.push(`saved ${(await Deno.stat(`${dir}/saved`)).size} bytes`);
      said.push(`in ${ms(performance.now(), saving)}`);
      conn.close();
      machine[Symbol.dispose]();
      await machine.drained;
      await Deno.remove(socket);
      const again = Deno.listen({ transport: "unix", path: socket });
      const { machineIdentifier, mac } = machine.identity;
      using second = library.create({
        ...config,
        machineIdentifier,
        network: { mode: "nat", mac },
      });
      (await again.accept()).close();
      again.close();
      const restoring = performance.now();
      await second.restore(`${dir}/saved`);
      await second.resume();
      said.push(`restored in ${ms(performance.now(), restoring)}`);
    } else {
      conn.close();
    }
    return said.join("; ");
  } catch (error) {
    throw new Error([...said, reason(error)].join("; "));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Runs this program again in another executable, and passes its steps on. */
async function elsewhere(executable: string): Promise<string> {
  const args = ["run", "--allow-all", "--no-prompt", SELF, "--entitled", ...Deno.args];
  const child = new Deno.Command(executable, { args, stdout: "inherit", stderr: "piped" }).spawn();
  const { success, stderr } = await child.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  return "see above";
}

const ENTITLED: Step[] = [
  ["   a machine is made in the signed copy", create],
  ["   a guest boots, is saved and restored", boot],
];

const STEPS: Step[] = [
  ["1  this computer", async () => {
    const macos = Deno.build.os === "darwin" ? await output("sw_vers", "-productVersion") : "none";
    return `macOS ${macos}, ${await output("uname", "-m")}, Deno ${Deno.version.deno}`;
  }],
  ["2  the dylib's signature", async () => {
    return await output("codesign", "--verify", "-vv", await installLibrary());
  }],
  ["3  the dylib loads; what this Mac can do", async () => {
    return JSON.stringify((await VzLibrary.open()).host());
  }],
  ["4  without the entitlement no machine is made", async () => {
    const made = await create().catch((error) => {
      if (!reason(error).includes("com.apple.security.virtualization")) throw error;
      return null;
    });
    if (made !== null) throw new Error(`this Deno may run machines: ${made}`);
    return "refused, by name";
  }],
  ["5  a copy with the entitlement", async () => {
    const path = await signedCopy();
    const verified = await output("codesign", "--verify", "-vv", path);
    const shown = await output("codesign", "-d", "--entitlements", "-", "--xml", path);
    const missing = ENTITLEMENTS.filter((key) => !shown.includes(key));
    if (missing.length > 0) throw new Error(`${path} lacks ${missing.join(", ")}: ${shown}`);
    return verified;
  }],
  ["6  in the copy", async () => await elsewhere(await signedCopy())],
  ["7  the signer without codesign", async () => {
    const path = await Deno.makeTempFile({ prefix: "vibe-signed-" });
    try {
      const deno = await Deno.readFile(Deno.execPath());
      await Deno.writeFile(path, await signAdHoc(deno, "vibe-check", ENTITLEMENTS));
      await Deno.chmod(path, 0o755);
      const verified = await output("codesign", "--verify", "-vv", path);
      return `${verified}; runs: ${await output(path, "--version")}`;
    } finally {
      await Deno.remove(path);
    }
  }],
  ["8  Apple's toolchain builds the same interface", async () => {
    const path = await Deno.makeTempFile({ prefix: "vibe-dylib-" });
    try {
      const script = new URL("../../dylib-src/build.sh", import.meta.url).pathname;
      await output(script, path);
      return JSON.stringify((await VzLibrary.open(path)).host()) ===
          JSON.stringify((await VzLibrary.open()).host())
        ? "and it says the same of this Mac"
        : "but it says something else of this Mac";
    } finally {
      await Deno.remove(path);
    }
  }],
];

let failed = 0;
for (const [name, body] of Deno.args.includes("--entitled") ? ENTITLED : STEPS) {
  try {
    console.log(`ok       ${name}: ${await body()}`);
  } catch (error) {
    if (!(error instanceof Skip)) failed++;
    console.log(`${error instanceof Skip ? "skipped " : "FAILED  "} ${name}: ${reason(error)}`);
  }
}
Deno.exit(failed === 0 ? 0 : 1);
