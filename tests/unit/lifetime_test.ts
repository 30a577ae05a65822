/** When a VM that nobody uses is stopped. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { Lifetime } from "../../lib/instance/lifetime.ts";

/** A lifetime over a guest whose work the test begins and ends. */
function lifetime(config: { keep?: boolean; idleMinutes?: number | null } = {}) {
  const looks: { held: () => void; over: () => void }[] = [];
  const machine = { standsStill: false };
  let stops = 0;
  const silent: boolean[] = [];
  const life = new Lifetime<string>({
    keep: config.keep ?? false,
    idleMinutes: config.idleMinutes ?? null,
    guestWork: (held) => new Promise((over) => looks.push({ held, over })),
    standsStill: () => Promise.resolve(machine.standsStill),
    stop: (without) => {
      stops++;
      silent.push(without);
    },
    silenceMs: 5,
  });
  /** The guest has no work, or no more; the consequences have come when this resolves. */
  const over = async () => {
    looks.at(-1)!.over();
    await new Promise((resolve) => setTimeout(resolve));
    return stops;
  };
  return { life, looks, over, machine, silent };
}

Deno.test("the last to leave ends it, once the guest has no work", async () => {
  const { life, looks, over } = lifetime();
  life.enter("a");
  life.enter("b");
  life.leave("a");
  life.leave("who only asked");
  strictEqual(looks.length, 0);
  life.leave("b");
  looks[0].held();
  strictEqual(life.heldBy, "tmux");
  strictEqual(await over(), 1);
});

Deno.test("someone who comes while the guest is asked keeps it", async () => {
  const { life, looks, over } = lifetime();
  life.settle();
  life.enter("a");
  strictEqual(await over(), 0);
  life.leave("a");
  strictEqual(looks.length, 2);
  strictEqual(await over(), 1);
});

Deno.test("kept, it stays until it is not kept any more", async () => {
  const { life, looks, over } = lifetime({ keep: true });
  life.enter("a");
  life.leave("a");
  deepStrictEqual([life.heldBy, looks.length], ["keep", 0]);
  life.setKeep(false);
  strictEqual(await over(), 1);
});

Deno.test("kept while the guest is asked, it stays", async () => {
  const { life, over } = lifetime();
  life.settle();
  life.setKeep(true);
  strictEqual(await over(), 0);
});

Deno.test("why it stays is told to the one who leaves", async () => {
  const { life, looks, over } = lifetime();
  life.enter("a");
  life.enter("b");
  strictEqual(await life.after("a"), "others");
  life.leave("b");
  const why = life.after("a");
  looks[0].held();
  strictEqual(await why, "tmux");
  await over();
  const nothing = life.after("a");
  strictEqual(await over(), 0);
  strictEqual(await nothing, null);
  life.setKeep(true);
  strictEqual(await life.after("a"), "keep");
});

Deno.test("the idle limit ends a kept VM, but not its work", async () => {
  const { life, looks, over } = lifetime({ keep: true, idleMinutes: 1 / 6000 });
  life.enter("a");
  life.settle();
  await new Promise((resolve) => setTimeout(resolve, 50));
  strictEqual(looks.length, 0);
  life.leave("a");
  await new Promise((resolve) => setTimeout(resolve, 50));
  strictEqual(looks.length, 1);
  looks[0].held();
  strictEqual(life.heldBy, "tmux");
  strictEqual(await over(), 1);
});

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test("a guest that does not tell is given up, but not while its machine stands still", async () => {
  const { life, looks, machine, silent } = lifetime();
  machine.standsStill = true;
  life.enter("a");
  const why = life.after("a");
  life.leave("a");
  await sleep(200);
  deepStrictEqual(silent, []);
  machine.standsStill = false;
  strictEqual(await why, null);
  deepStrictEqual(silent, [true]);
  looks[0].held();
  strictEqual(life.heldBy, null);
});

Deno.test("a guest that has told of its work may be silent; one with users, too", async () => {
  const { life, looks, silent } = lifetime();
  life.settle();
  looks[0].held();
  await sleep(200);
  deepStrictEqual([life.heldBy, silent], ["tmux", []]);
  const other = lifetime();
  other.life.settle();
  other.life.enter("a");
  await sleep(200);
  deepStrictEqual(other.silent, []);
  other.life.leave("a");
  strictEqual(other.looks.length, 2);
  strictEqual(await other.over(), 1);
  deepStrictEqual(other.silent, [false]);
});

Deno.test("the idle limit can be changed while it runs", async () => {
  const { life, looks } = lifetime({ keep: true });
  life.idleMinutes = 1 / 6000;
  life.setKeep(true);
  await sleep(50);
  deepStrictEqual([looks.length, life.keep], [1, false]);
});
