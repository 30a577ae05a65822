/** Whether the host can run guests in hardware. */

/** How QEMU executes the guest's instructions. */
export type Accelerator = "kvm" | "tcg";

/** What {@link chooseAccelerator} looks at. */
export interface CpuFacts {
  arch: typeof Deno.build.arch;
  /** The text of /proc/cpuinfo. */
  cpuinfo: string;
  /** /dev/kvm can be opened for reading and writing. */
  kvmUsable: boolean;
}

/**
 * KVM where it works, else software emulation. On x86 a /dev/kvm alone proves nothing: a nested,
 * para-virtual one answers every ioctl and still hangs a stock guest, so the CPU itself must have
 * svm or vmx.
 */
export function chooseAccelerator(facts: CpuFacts): Accelerator {
  if (!facts.kvmUsable) return "tcg";
  if (facts.arch === "aarch64") return "kvm";
  return /^flags\s*:.*\b(svm|vmx)\b/m.test(facts.cpuinfo) ? "kvm" : "tcg";
}

/** Reads the host's facts. `VIBE_ACCEL=tcg` (or `kvm`) overrides what they say. */
export async function hostAccelerator(): Promise<Accelerator> {
  const forced = Deno.env.get("VIBE_ACCEL");
  if (forced === "kvm" || forced === "tcg") return forced;
  return chooseAccelerator({
    arch: Deno.build.arch,
    cpuinfo: await Deno.readTextFile("/proc/cpuinfo").catch(() => ""),
    kvmUsable: await canOpen("/dev/kvm"),
  });
}

async function canOpen(path: string): Promise<boolean> {
  try {
    (await Deno.open(path, { read: true, write: true })).close();
    return true;
  } catch {
    return false;
  }
}
