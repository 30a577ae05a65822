/** Memory that the guest has used and freed goes back to the host. */

import { ok } from "node:assert/strict";
import { onlyOn } from "../support/driver.ts";
import { Project } from "../support/vibe.ts";

/** KiB of the guest's memory that the host has given QEMU. */
async function guestMemory(project: Project): Promise<number> {
  const [{ pid }] = (await project.processes(project.env.VIBE_RUNTIME))
    .filter(({ command }) => /^\S*qemu-system-/.test(command));
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(status.match(/^RssShmem:\s+(\d+) kB$/m)![1]);
}

Deno.test({
  ...onlyOn(
    "qemu",
    "the framework reports no free pages",
    "what the guest frees, the host gets back",
  ),
  fn: givesBack,
});

async function givesBack(): Promise<void> {
  await using project = await Project.create();
  await using _hold = await project.hold();
  // The driver comes with the services.
  await project.sh("until grep -q ^virtio_balloon /proc/modules; do sleep 0.2; done");
  const half = 512 << 10;
  await project.sh(`head -c ${half}K /dev/zero > /dev/shm/filled`);
  const filled = await guestMemory(project);
  ok(filled > half);
  await project.sh("rm /dev/shm/filled");
  // The guest reports what is free a little later; how much later is its business.
  let left = filled;
  for (let i = 0; i < 600 && left > filled - half * 0.6; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    left = await guestMemory(project);
  }
  ok(left <= filled - half * 0.6, `${filled} KiB became ${left} KiB`);
}
