/** User namespaces and the ids that users may have in them. */

import { match, strictEqual } from "node:assert/strict";
import { firstSubid, freeSubid, usernsRemedy } from "../../lib/host/userns.ts";

const TABLE = "root:50000:10\nme:100000:65536\n1001:165536:65536\nsmall:300000:1000\n# x:1:2\n";

Deno.test("the ids of a user, by name or number", () => {
  strictEqual(firstSubid(TABLE, ["me", "1000"]), 100000);
  strictEqual(firstSubid(TABLE, ["other", "1001"]), 165536);
  strictEqual(firstSubid(TABLE, ["nobody", "65534"]), null);
  strictEqual(firstSubid("", ["me"]), null);
});

Deno.test("a range that is too small for an image does not count", () => {
  strictEqual(firstSubid(TABLE, ["small"]), null);
  strictEqual(firstSubid("me:1:1000\nme:200000:65536\n", ["me"]), 200000);
  // Inside, id 0 is the user's own, so one less will do.
  strictEqual(firstSubid("me:100000:65535\n", ["me"]), 100000);
});

Deno.test("new ids come after all that are given away, to users or groups", () => {
  strictEqual(freeSubid(["", ""]), 100000);
  strictEqual(freeSubid([TABLE, "me:100000:65536\n"]), 301000);
  strictEqual(freeSubid(["", "me:400000:65536"]), 465536);
});

Deno.test("the setting that forbids user namespaces is named with its remedy", async () => {
  const remedy = (settings: Record<string, string>) =>
    usernsRemedy((name) => Promise.resolve(settings[name] ?? null));
  match(
    await remedy({ "kernel.apparmor_restrict_unprivileged_userns": "1\n" }),
    /sudo sysctl -w kernel\.apparmor_restrict_unprivileged_userns=0\n/,
  );
  match(
    await remedy({
      "kernel.unprivileged_userns_clone": "0\n",
      "kernel.apparmor_restrict_unprivileged_userns": "0\n",
    }),
    /kernel\.unprivileged_userns_clone=1/,
  );
  match(await remedy({ "user.max_user_namespaces": "95000\n" }), /container/);
});
