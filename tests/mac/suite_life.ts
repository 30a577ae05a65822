/** What becomes of a machine. */

import { deepStrictEqual as assertEquals, match, ok, rejects } from "node:assert/strict";
import { Operation } from "../../ffi/symbols.ts";
import type { VzDirectories, VzError } from "../../ffi/types.ts";
import { type Bench, echo, scene } from "./suite_support.ts";

const SAVING_NEEDS = "saving and restoring needs macOS 14 on Apple silicon";

/** Defines the tests. */
export function defineLife(bench: Bench): void {
  const { base, build, debug, dir, library, raw } = bench;

  bench.test("identities are made once and kept", () => {
    using first = library.create({ ...base, network: { mode: "nat" } });
    match(first.identity.mac ?? "", /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
    const { machineIdentifier, mac } = first.identity;
    using second = library.create({ ...base, machineIdentifier, network: { mode: "nat", mac } });
    assertEquals(second.identity, first.identity);
    using third = library.create(base);
    assertEquals(third.identity.mac, undefined);
    ok(third.identity.machineIdentifier !== machineIdentifier);
  });

  bench.test("an EFI machine keeps its variable store", async () => {
    const variableStore = `${dir}/store`;
    library.create({ ...base, boot: { variableStore, create: true } })[Symbol.dispose]();
    ok((await Deno.stat(variableStore)).isFile);
    library.create({ ...base, boot: { variableStore } })[Symbol.dispose]();
  });

  bench.test("a machine runs, pauses and goes on; its guest turns itself off", async () => {
    await using setup = await bench.withConsole();
    const { machine, console } = setup;
    await machine.start();
    await echo(console, "hello\n");
    await rejects(machine.start(), /not in a state for this/);
    await rejects(machine.resume(), /not in a state for this/);
    await machine.pause();
    await rejects(machine.pause(), /not in a state for this/);
    await rejects(machine.requestStop(), /not in a state for this/);
    await machine.resume();
    await echo(console, "still here\n");
    console.closeWrite();
    assertEquals(await machine.stopped, { error: undefined });
    await rejects(machine.stop(), /not in a state for this/);
  });

  bench.test("the power button and the plug", async () => {
    await using setup = await bench.withConsole();
    await setup.machine.start();
    await setup.machine.requestStop(); // ends the echo with a signal: not a clean end
    match((await setup.machine.stopped).error?.message ?? "", /stopped unexpectedly/);

    await using other = await bench.withConsole();
    await other.machine.start();
    await other.machine.stop();
    await rejects(other.machine.pause(), /not in a state for this/);
  });

  bench.test("saving and restoring", async () => {
    await using setup = await bench.withConsole();
    const { machine } = setup;
    const file = `${dir}/saved`;
    await machine.start();
    if (!build.arm64Api) {
      await rejects(machine.save(file), { message: SAVING_NEEDS });
      return;
    }
    await rejects(machine.save(file), { code: 3 });
    await machine.pause();
    await rejects(machine.save(`${dir}/none/saved`), { code: 11 });
    await machine.save(file);
    const { machineIdentifier } = machine.identity;
    await using same = await bench.withConsole({ machineIdentifier });
    await same.machine.restore(file);
    await same.machine.resume();
    await using other = await bench.withConsole();
    await rejects(other.machine.restore(file), { code: 12 });
    using _ = scene({ VIBE_DOUBLE_UNSAVABLE: "1" });
    await rejects(machine.save(file), /does not support being saved/);
  });

  bench.test("a closed machine answers nobody, and its guest is gone", async () => {
    const { machine, console } = await bench.withConsole();
    await machine.start();
    await echo(console, "alive");
    machine[Symbol.dispose]();
    await rejects(machine.start(), /the machine is closed/);
    machine[Symbol.dispose]();
    await machine.drained;
    // The double's guest holds the other end of the console until it is killed.
    assertEquals(await console.read(new Uint8Array(1)), null);
    console.close();
  });

  bench.test("a machine that is closed in the middle of a transition stops after it", async () => {
    const { machine, console } = await bench.withConsole();
    machine.start().catch(() => {});
    machine[Symbol.dispose]();
    await machine.drained;
    assertEquals(await console.read(new Uint8Array(1)), null);
    console.close();
  });

  bench.test("a device is given other directories while its machine runs", async () => {
    const file = `${dir}/told`;
    using _ = scene({
      VIBE_DOUBLE_LIVE: "1",
      VIBE_DOUBLE_GUEST: `while read -r line; do echo "$line" >> '${file}'; echo; done`,
    });
    const told = async () =>
      (await Deno.readTextFile(file)).trim().split("\n").map((line) => JSON.parse(line));
    const a = { name: "a", path: "/tmp" }, b = { name: "b", path: "/", readOnly: true };
    const toldOf = { a: { path: "/tmp", readOnly: false }, b: { path: "/", readOnly: true } };
    const machine = library.create({
      ...base,
      shares: [{ tag: "other", directories: [] }, { tag: "shared", directories: [a] }],
    });
    await machine.start();
    await machine.share({ tag: "shared", directories: [a, b] });
    const first = { tag: "shared", directories: toldOf };
    assertEquals(await told(), [first]);

    // What is refused changes nothing.
    const refused = (directories: unknown, setting: string, message: RegExp) =>
      rejects(machine.share(directories as VzDirectories), { setting, message });
    await refused({ directories: [a] }, "tag", /it is missing/);
    await refused({ tag: "none", directories: [a] }, "tag", /no device has it/);
    const up = { tag: "shared", directories: [{ name: "..", path: "/" }] };
    await refused(up, "directories[0].name", /Invalid directory name/);
    assertEquals(await told(), [first]);

    await machine.pause();
    await machine.share({ tag: "shared", directories: [b] });
    await machine.resume();
    await machine.share({ tag: "shared", directories: [] });
    assertEquals(await told(), [
      first,
      { tag: "shared", directories: { b: toldOf.b } },
      { tag: "shared", directories: {} },
    ]);
    machine[Symbol.dispose]();
    await machine.drained;
  });

  bench.test("a NIC that loses its attachment is told", async () => {
    using _ = scene({ VIBE_DOUBLE_NETWORK_LOST: "1" });
    await using setup = await bench.withConsole();
    const lost = Promise.withResolvers<VzError>();
    setup.machine.onNetworkLost = lost.resolve;
    await setup.machine.start();
    assertEquals([(await lost.promise).code, (await lost.promise).message], [
      7,
      "The network was lost.",
    ]);
  });

  bench.test("the C functions answer numbers where there is nothing to say", async () => {
    const { machine } = JSON.parse(Deno.UnsafePointerView.getCString(
      raw.vibe_vz_create(new TextEncoder().encode(JSON.stringify(base) + "\0"))!,
    ));
    const NO_MACHINE = -1, NO_OPERATION = -2;
    assertEquals(raw.vibe_vz_request(machine + 1, Operation.start, 1, null), NO_MACHINE);
    for (const operation of [0, 9]) {
      assertEquals(raw.vibe_vz_request(machine, operation, 1, null), NO_OPERATION);
    }
    assertEquals(raw.vibe_vz_request(machine, Operation.save, 5, null), 0);
    const event = await raw.vibe_vz_next_event(machine, -1);
    const { token, error } = JSON.parse(Deno.UnsafePointerView.getCString(event!));
    assertEquals([token, error.code, error.message], [5, 1, "a path is needed"]);
    assertEquals(raw.vibe_vz_request(machine, Operation.share, 6, null), 0);
    const refusal = await raw.vibe_vz_next_event(machine, -1);
    match(Deno.UnsafePointerView.getCString(refusal!), /"token":6.*not in the correct format/);
    assertEquals(await raw.vibe_vz_next_event(machine, 10), null);
    assertEquals(await raw.vibe_vz_next_event(machine + 1, -1), null);
    const waiting = raw.vibe_vz_next_event(machine, -1);
    assertEquals(raw.vibe_vz_close(machine), 0);
    assertEquals([await waiting, raw.vibe_vz_close(machine)], [null, NO_MACHINE]);
    raw.vibe_vz_free(null);
  });

  bench.test("a guest that ends at once with an error is told", async () => {
    using _ = scene({ VIBE_DOUBLE_GUEST: "exit 3" });
    await using setup = await bench.withConsole();
    await setup.machine.start();
    match((await setup.machine.stopped).error?.message ?? "", /stopped unexpectedly/);
  });

  bench.test("many requests at once are all answered", async () => {
    await using setup = await bench.withConsole();
    await setup.machine.start();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, () => setup.machine.pause()),
    );
    assertEquals(outcomes.filter((o) => o.status === "fulfilled").length, 1);
    await setup.machine.resume();
    await echo(setup.console, "ok");
  });

  bench.test("many machines live side by side", async () => {
    const setups = await Promise.all(Array.from({ length: 8 }, () => bench.withConsole()));
    await Promise.all(setups.map((s) => s.machine.start()));
    await Promise.all(setups.map((s, i) => echo(s.console, `machine ${i}`)));
    for (const setup of setups) await setup[Symbol.asyncDispose]();
  });

  if (build.exceptions) {
    bench.test("an exception of the framework does not cross into C", async () => {
      using _ = scene({ VIBE_DOUBLE_RAISE: "1" });
      const { code, message } = bench.refused(base);
      const EXCEPTION = 3;
      assertEquals([code, message], [EXCEPTION, "raised by the double"]);
      match(
        (() => {
          try {
            return String(library.host());
          } catch (error) {
            return (error as Error).message;
          }
        })(),
        /^raised by the double$/,
      );
      Deno.env.delete("VIBE_DOUBLE_RAISE");
      await using setup = await bench.withConsole();
      Deno.env.set("VIBE_DOUBLE_RAISE", "1");
      await rejects(setup.machine.start(), /^VzError: raised by the double$/);
    });

    bench.test("the double notices a call outside of the queue", () => {
      const said = Deno.UnsafePointerView.getCString(debug.vibe_test_break_queue_rule()!);
      assertEquals(said, "called outside of the machine's queue");
    });
  }
}
