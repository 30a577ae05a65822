/** Checks of the machine that vibe runs on. */

import { hostAccelerator } from "../driver/accel.ts";
import { qemuProgram } from "../driver/qemu_args.ts";
import { prepareHost, type PrepareOptions } from "../host/prepare.ts";
import { usernsRemedy } from "../host/userns.ts";
import { DEFAULT_IMAGE, findImage } from "../image/catalog.ts";
import { freeBytes } from "../image/room.ts";
import { requireRuntimeParent } from "../instance/runtime.ts";
import { cacheDir, dataDir, runtimeDir } from "../paths.ts";
import { run, which } from "../process.ts";
import { findVirtiofsd } from "../share/virtiofsd.ts";
import type { Check, Finding } from "./finding.ts";

/** The oldest QEMU that vibe is tested with. */
const TESTED_QEMU = [7, 2];

/** Less free space than this is a problem: an image alone takes 1 GB, and its build twice that. */
const LEAST_ROOM = 3e9;
/** With less than this, an agent's work may fill the disk. */
const COMFORTABLE_ROOM = 10e9;

type Look = Promise<Omit<Finding, "check">>;

/** All checks that make sense on this host. `prepare` is for the fix that installs programs. */
export function hostChecks(prepare: PrepareOptions): Check[] {
  const linux: Check[] = [
    { name: "virtualisation", look: virtualisation },
    { name: "programs", look: () => programs(prepare) },
    { name: "QEMU", look: qemu },
    { name: "virtiofsd", look: virtiofsd },
    { name: "namespaces", look: namespaces },
  ];
  const mac: Check[] = [
    { name: "macOS", look: macos },
    { name: "entitlement", look: entitlement },
  ];
  return [
    ...Deno.build.os === "darwin" ? mac : linux,
    { name: "runtime directory", look: runtime },
    { name: "cache", look: () => writable(cacheDir()) },
    { name: "data", look: () => writable(dataDir()) },
    { name: "image", look: image },
  ];
}

async function virtualisation(): Look {
  if (await hostAccelerator() === "kvm") {
    return { state: "ok", text: "KVM runs guests in hardware" };
  }
  const slow = (why: string, remedy: string) =>
    ({
      state: "warning",
      text: `guests are emulated in software, many times slower: ${why}`,
      remedy,
    }) as const;
  if (Deno.env.get("VIBE_ACCEL") === "tcg") {
    return slow("VIBE_ACCEL=tcg asks for it", "Unset VIBE_ACCEL.");
  }
  try {
    (await Deno.open("/dev/kvm", { read: true, write: true })).close();
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      return slow(
        "/dev/kvm may not be opened by you",
        "sudo usermod -aG kvm $USER, then log out and in again.",
      );
    }
    return slow(
      "there is no /dev/kvm",
      "Switch on virtualisation (VT-x, AMD-V) in the firmware, or nested virtualisation where this " +
        "machine is a VM itself; then: sudo modprobe kvm_intel (or kvm_amd).",
    );
  }
  return slow(
    "/dev/kvm is there, but the CPU has neither svm nor vmx",
    "This machine is a VM: its host has to give it nested virtualisation. If you know that KVM " +
      "works here: VIBE_ACCEL=kvm.",
  );
}

async function programs(prepare: PrepareOptions): Look {
  const purposes = ["run", "image", "agent"] as const;
  try {
    await prepareHost([...purposes], { ...prepare, yes: false, ask: undefined });
    return { state: "ok", text: "all that vibe needs is installed" };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { message, hint } = error as { message: string; hint?: string };
    return {
      state: "problem",
      text: message,
      remedy: hint,
      fix: () => prepareHost([...purposes], { ...prepare, yes: true }),
    };
  }
}

async function qemu(): Look {
  const program = qemuProgram(Deno.build.arch);
  if (!await which(program)) return { state: "problem", text: `there is no ${program}` };
  const { stdout } = await run([program, "--version"]);
  const [version, major, minor] = stdout.match(/version (\d+)\.(\d+)\S*/) ?? [];
  if (!version) return { state: "warning", text: `${program} does not tell its version` };
  const old = Number(major) < TESTED_QEMU[0] ||
    Number(major) === TESTED_QEMU[0] && Number(minor) < TESTED_QEMU[1];
  const text = `${program} ${version}`;
  return old
    ? { state: "warning", text, remedy: `vibe is tested with ${TESTED_QEMU.join(".")} and later.` }
    : { state: "ok", text };
}

async function virtiofsd(): Look {
  const path = await findVirtiofsd();
  return path
    ? { state: "ok", text: path }
    : { state: "problem", text: "there is no virtiofsd: nothing could be shared" };
}

/** Shares live in a mount namespace; an ordinary user needs a user namespace around it. */
async function namespaces(): Look {
  const user = Deno.uid() === 0 ? [] : ["--user", "--map-root-user"];
  const { success, stderr } = await run(["unshare", ...user, "--mount", "--", "true"]);
  if (success) return { state: "ok", text: "shares can be kept apart from the system's mounts" };
  return {
    state: "problem",
    text: `namespaces do not work here: ${stderr.trim()}`,
    remedy: await usernsRemedy(),
  };
}

function macos(): Look {
  const version = Deno.osRelease();
  // Darwin 22 is macOS 13.
  return Promise.resolve(
    Number(version.split(".")[0]) >= 22 ? { state: "ok", text: `Darwin ${version}` } : {
      state: "problem",
      text: `Darwin ${version}: vibe needs macOS 13`,
      remedy: "Upgrade macOS.",
    },
  );
}

async function entitlement(): Look {
  const { signedCopy } = await import("../macos/signed_copy.ts");
  return { state: "ok", text: `virtual machines run in "${await signedCopy()}"` };
}

async function runtime(): Look {
  await requireRuntimeParent();
  return { state: "ok", text: runtimeDir() };
}

async function writable(dir: string): Look {
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  await Deno.remove(await Deno.makeTempFile({ dir, prefix: "doctor-" }));
  const free = await freeBytes(dir);
  const text = `"${dir}" has ${(free / 1e9).toFixed(1)} GB free`;
  if (free >= COMFORTABLE_ROOM) return { state: "ok", text };
  return {
    state: free < LEAST_ROOM ? "problem" : "warning",
    text,
    remedy: "Make room: `vibe prune` removes what no VM uses.",
  };
}

async function image(): Look {
  const base = await findImage(DEFAULT_IMAGE);
  if (!base) return { state: "ok", text: `"${DEFAULT_IMAGE}" will be made at the first start` };
  await Promise.all([base.disk, base.kernel].map((path) => Deno.stat(path)));
  return { state: "ok", text: `"${DEFAULT_IMAGE}" is ${base.id}` };
}
