/** The tree of mounts, planned and compared, without making one. */

import { deepStrictEqual as assertEquals } from "node:assert/strict";
import { brokenMounts, type CheckedShare, fstab, planMounts } from "../../lib/share/mount_plan.ts";
import { mountOf, mountsBelow, parseMountinfo, pathInMount } from "../../lib/share/mountinfo.ts";

const LAYOUT = { tree: "/rt/tree", emptyDir: "/rt/empty", emptyFile: "/rt/empty-file" };

const HOST = parseMountinfo(`\
20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
21 20 0:5 / /dev rw,nosuid - devtmpfs udev rw
30 20 8:2 /@home /home rw,nosuid,nodev,noatime - btrfs /dev/sdb rw
31 30 8:3 / /home/me/proj/big\\040disk rw,relatime - xfs /dev/sdc rw
32 31 8:4 / /home/me/proj/big\\040disk/inner ro,relatime - xfs /dev/sdd rw
`);

function share(over: Partial<CheckedShare>): CheckedShare {
  const base = { name: "p", source: "/home/me/proj", kind: "directory" as const };
  return { ...base, readOnly: false, guards: [], ...over };
}

Deno.test("mountinfo: escapes, and the mount that a path leads to", () => {
  assertEquals(HOST[3].point, "/home/me/proj/big disk");
  assertEquals(mountOf(HOST, "/home/me")?.id, 30);
  assertEquals(mountOf(HOST, "/homely")?.id, 20);
  assertEquals(mountOf(HOST, "/home/me/proj/big disk/inner/x")?.id, 32);
  assertEquals(pathInMount(HOST[2], "/home/me"), "/@home/me");
  assertEquals(pathInMount(HOST[2], "/home"), "/@home");
  assertEquals(pathInMount(HOST[0], "/etc"), "/etc");
  assertEquals(mountsBelow(HOST, "/home/me/proj").map(({ id }) => id), [31, 32]);
});

Deno.test("mountinfo: what was mounted over hides what is below it", () => {
  const mounts = [...HOST, { ...HOST[1], id: 40, parent: 30, point: "/home/me" }];
  assertEquals(mountOf(mounts, "/home/me/proj/big disk/inner")?.id, 40);
  assertEquals(mountsBelow(mounts, "/home/me/proj"), []);
  const stacked = [...mounts, { ...HOST[1], id: 41, parent: 40, point: "/home/me" }];
  assertEquals(mountOf(stacked, "/home/me")?.id, 41);
});

Deno.test("plan: guards from the top down, whatever their order", () => {
  const kind = "directory" as const;
  const { binds } = planMounts(
    [share({
      source: "/srv/proj",
      guards: [
        { path: ".git/hooks", rule: "read-only", kind },
        { path: ".vibe", rule: "hide", kind },
        { path: ".git", rule: "pin", kind },
        { path: "secret", rule: "hide", kind: "file" },
      ],
    })],
    LAYOUT,
    HOST,
  );
  assertEquals(binds.map(({ source, target, readOnly }) => [source, target, readOnly]), [
    ["/rt/tree", "/rt/tree", true],
    ["/srv/proj", "/rt/tree/p", false],
    ["/rt/empty", "/rt/tree/p/.vibe", true],
    ["/rt/tree/p/.git", "/rt/tree/p/.git", false],
    ["/rt/empty-file", "/rt/tree/p/secret", true],
    ["/rt/tree/p/.git/hooks", "/rt/tree/p/.git/hooks", true],
  ]);
});

Deno.test("plan: a read-only share repeats the flags it must keep, and covers what is mounted in it", () => {
  const { binds, expected } = planMounts([share({ readOnly: true })], LAYOUT, HOST);
  assertEquals(binds.slice(1).map(({ target, options }) => [target, options.join()]), [
    ["/rt/tree/p", "rbind,ro,nosuid,nodev,noatime"],
    ["/rt/tree/p/big disk", "rbind,ro,relatime"],
  ]);
  assertEquals(
    [...expected.values()].map(({ point, device, root, flags }) =>
      [point, device, root, flags.includes("ro")].join(" ")
    ),
    [
      "/rt/tree 8:1 /rt/tree true",
      "/rt/tree/p 8:2 /@home/me/proj true",
      "/rt/tree/p/big disk 8:3 / true",
      "/rt/tree/p/big disk/inner 8:4 / true",
    ],
  );
});

Deno.test("plan: what a hidden directory has mounted in it is not expected to be seen", () => {
  const guards = [{ path: "big disk", rule: "hide" as const, kind: "directory" as const }];
  const { expected } = planMounts([share({ guards })], LAYOUT, HOST);
  assertEquals([...expected.keys()], ["/rt/tree", "/rt/tree/p", "/rt/tree/p/big disk"]);
  assertEquals(expected.get("/rt/tree/p/big disk")?.root, "/rt/empty");
});

Deno.test("plan: the whole file system, which the tree is a part of", () => {
  const { expected } = planMounts([share({ source: "/", readOnly: true })], LAYOUT, HOST);
  assertEquals(expected.get("/rt/tree/p/home/me/proj/big disk")?.flags.includes("ro"), true);
  assertEquals(expected.get("/rt/tree/p/rt/tree")?.root, "/rt/tree");
});

Deno.test("plan: what does not lead to what was planned is found", () => {
  const guards = [{ path: "git", rule: "read-only" as const, kind: "file" as const }];
  const plan = planMounts([share({ source: "/srv/proj", guards })], LAYOUT, HOST);
  const made = [...plan.expected.values()];
  assertEquals(brokenMounts(plan, [...HOST, ...made]), []);
  const broken = (change: (mount: typeof made[0]) => object | null) =>
    brokenMounts(plan, [
      ...HOST,
      ...made.flatMap((mount) => {
        if (mount.point !== "/rt/tree/p/git") return [mount];
        const other = change(mount);
        return other ? [{ ...mount, ...other }] : [];
      }),
    ]);
  assertEquals(broken(() => null), ["/rt/tree/p/git"]);
  assertEquals(broken(() => ({ root: "/etc/passwd" })), ["/rt/tree/p/git"]);
  assertEquals(broken(() => ({ device: "0:5" })), ["/rt/tree/p/git"]);
  assertEquals(broken(() => ({ flags: ["rw"] })), ["/rt/tree/p/git"]);
  assertEquals(broken(() => ({ flags: ["ro", "noexec"] })), []);
});

Deno.test("fstab: no byte of a path is syntax", () => {
  const options = ["rbind"];
  const bind = { source: "/a b\tc\nd\\e#f\"g'h,i:j=k☃", target: "/t", readOnly: false, options };
  assertEquals(
    fstab([bind]),
    "/a\\040b\\011c\\012d\\134e\\043f\\042g\\047h,i:j=k☃ /t none rbind 0 0\n",
  );
});
