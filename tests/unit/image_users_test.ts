/** Who needs a base: nothing that a VM stands on may ever count as unused. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { baseUsers, forgetGone, noteUser } from "../../lib/instance/base_users.ts";
import { knownInstances } from "../../lib/instance/registry.ts";
import { writeRecord } from "../../lib/instance/record.ts";
import { FileLock } from "../../lib/lock.ts";
import { diskInstance, instancePaths } from "../../lib/paths.ts";
import { fakeBase, fakeVm, inPlaces } from "./image_support.ts";

/** Titles and states of the users of the base "one". */
async function users(): Promise<string[]> {
  return (await baseUsers("one")).users.map(({ instance, state }) => `${instance.title} ${state}`);
}

Deno.test("a VM needs its base until its .vibe is deleted, or made anew from another base", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    const a = await fakeVm(`${root}/a`, "one");
    const b = await fakeVm(`${root}/b`, "one");
    deepStrictEqual(await users(), [`${root}/a there`, `${root}/b there`]);
    await Deno.remove(a.dir, { recursive: true });
    deepStrictEqual(await users(), [`${root}/b there`]);
    await writeRecord(instancePaths(b), { version: 1, image: "x", base: "two", created: "" });
    deepStrictEqual(await users(), []);
    await forgetGone();
    deepStrictEqual([...Deno.readDirSync(`${cache}/users`)], []);
  }));

Deno.test("a deleted project needs nothing; one that was moved does, and so does a damaged one", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    await fakeVm(`${root}/deleted`, "one");
    await fakeVm(`${root}/moved`, "one");
    const damaged = await fakeVm(`${root}/damaged`, "one");
    await Deno.remove(`${root}/deleted`, { recursive: true });
    await Deno.rename(`${root}/moved`, `${root}/elsewhere`);
    await Deno.writeTextFile(instancePaths(damaged).record, '{"vers');
    deepStrictEqual(await users(), [`${root}/damaged there`, `${root}/moved moved`]);

    // Once it was started where it is now, the old place is forgotten.
    await fakeVm(`${root}/elsewhere`, "one");
    deepStrictEqual(await users(), [`${root}/damaged there`, `${root}/elsewhere there`]);
    await Deno.remove(`${root}/elsewhere`, { recursive: true });
    await Deno.remove(`${root}/damaged`, { recursive: true });
    deepStrictEqual(await users(), []);
  }));

Deno.test("what is only out of reach still counts, and the registry keeps it", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    const vm = await fakeVm(`${root}/disk/project`, "one");
    // As on another file system, where there is no second name of the lock file.
    await Deno.remove(`${cache}/users/one/${vm.id}.lock`);
    await Deno.rename(`${root}/disk`, `${root}/unplugged`);
    await Deno.mkdir(`${root}/disk`);
    deepStrictEqual(await users(), [`${root}/disk/project missing`]);
    deepStrictEqual(await knownInstances(), []);
    await Deno.remove(`${root}/disk`);
    await Deno.rename(`${root}/unplugged`, `${root}/disk`);
    deepStrictEqual(await knownInstances(), [vm]);
    await Deno.rename(`${root}/disk`, `${root}/unplugged`);
    // A project that is a mount point: what is below the mount is another directory.
    await Deno.mkdir(`${root}/disk/project`, { recursive: true });
    deepStrictEqual(await users(), [`${root}/disk/project missing`]);
    await Deno.remove(`${root}/disk`, { recursive: true });
    await Deno.rename(`${root}/unplugged`, `${root}/disk`);
    deepStrictEqual(await users(), [`${root}/disk/project there`]);
    await Deno.remove(vm.dir, { recursive: true });
    deepStrictEqual(await users(), []);
  }));

Deno.test("VMs are known by their notes or by the registry, and by either alone", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    await fakeVm(`${root}/a`, "one");
    await Deno.remove(`${root}/data`, { recursive: true });
    deepStrictEqual(await users(), [`${root}/a there`]);
    await fakeVm(`${root}/b`, "one");
    await Deno.remove(`${cache}/users`, { recursive: true });
    deepStrictEqual(await users(), [`${root}/b there`]);
  }));

Deno.test("a VM whose disk is being made counts, and a note that is damaged, too", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    const vm = await fakeVm(`${root}/a`, "one");
    await Deno.remove(instancePaths(vm).record);
    deepStrictEqual(await users(), []);
    {
      // flock(2) is between open files, so this process's own lock counts, too.
      using _lock = await FileLock.take(instancePaths(vm).lock);
      deepStrictEqual(await users(), [`${root}/a there`]);
    }
    const other = await fakeVm(`${root}/b`, "one");
    await Deno.writeTextFile(`${cache}/users/one/${other.id}.json`, "");
    await Deno.remove(`${root}/data`, { recursive: true });
    const { users: [user] } = await baseUsers("one");
    strictEqual(user.state, "moved");
    strictEqual(user.instance.id, other.id);
  }));

Deno.test("a disk that is used in place needs the base whose copy it is", () =>
  inPlaces(async ({ root, cache }) => {
    await fakeBase(cache, "one");
    await Deno.mkdir(`${root}/usb`);
    await Deno.writeTextFile(`${root}/usb/disk.raw`, "");
    const vm = await diskInstance(`${root}/usb/disk.raw`);
    await Deno.mkdir(vm.dir, { recursive: true });
    await noteUser("one", vm);
    deepStrictEqual(await users(), [`${root}/usb/disk.raw there`]);
    await Deno.rename(`${root}/usb`, `${root}/drawer`);
    deepStrictEqual(await users(), [`${root}/usb/disk.raw missing`]);
  }));
