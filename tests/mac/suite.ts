/** What the bridge does, through the typed handles, on whichever build of it. */

import { deepStrictEqual as assertEquals } from "node:assert/strict";
import { defineLife } from "./suite_life.ts";
import { defineSettings } from "./suite_settings.ts";
import { Bench, type Build } from "./suite_support.ts";

/** Defines the tests of one build. */
export async function defineSuite(name: string, build: Build): Promise<void> {
  const bench = await Bench.open(name, build);
  const { debug } = bench;
  defineSettings(bench);
  defineLife(bench);

  bench.test("nothing is left alive", async () => {
    assertEquals(await debug.vibe_test_wait_for_threads(20), 0);
    const alive = debug.vibe_test_live_objects(0);
    if (alive !== 1n) debug.vibe_test_live_objects(1); // says which
    assertEquals(alive, 1n, "more than the bridge's table of machines");
  });
}
