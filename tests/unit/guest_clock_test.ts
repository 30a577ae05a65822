/** The guest's clock is played by the test; so is the time of the host. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { CLOCK_AHEAD, type ExitStatus } from "../../lib/agent/messages.ts";
import { GuestClock } from "../../lib/instance/guest_clock.ts";

/** What was said of the time: milliseconds since 1970, and whether a clock ahead is set, too. */
interface Said {
  time: number;
  back: boolean;
}

/** A guest whose clock differs from the host's by `offset` milliseconds. */
class FakeGuest {
  offset = 0;
  readonly said: Said[] = [];
  /** What happens between a frame and its answer. */
  onTheWay: () => void = () => {};

  readonly request = async (payload: Uint8Array): Promise<ExitStatus> => {
    const view = new DataView(payload.buffer);
    const time = Number(view.getBigInt64(0, true)) * 1000 + view.getUint32(8, true) / 1e6;
    const back = payload[12] === 1;
    this.said.push({ time, back });
    const ahead = Date.now() + this.offset - time;
    if (ahead < -100 || back) this.offset = time - Date.now();
    await Promise.resolve();
    this.onTheWay();
    return { kind: "exited", code: !back && ahead > 500 ? CLOCK_AHEAD : 0 };
  };
}

/** Runs a test with the host's clocks in its hand. */
async function withClocks(
  test: (clock: { now: number; monotonic: number }, settled: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const clock = { now: 1_700_000_000_000, monotonic: 0 };
  const real = { now: Date.now, monotonic: performance.now };
  Date.now = () => clock.now;
  performance.now = () => clock.monotonic;
  try {
    await test(clock, () => new Promise((done) => setTimeout(done, 0)));
  } finally {
    Date.now = real.now;
    performance.now = real.monotonic;
  }
}

Deno.test("a clock that is behind is set at the first word, one ahead at the second", () =>
  withClocks(async (_, settled) => {
    for (const [offset, frames] of [[0, 1], [-60_000, 1], [60_000, 2]] as const) {
      const guest = new FakeGuest();
      guest.offset = offset;
      using clock = new GuestClock(guest.request);
      clock.start();
      await settled();
      strictEqual(guest.offset, 0);
      strictEqual(guest.said.length, frames);
      deepStrictEqual(guest.said.map(({ back }) => back), [false, true].slice(0, frames));
    }
  }));

Deno.test("a word that came late proves nothing and is said again", () =>
  withClocks(async (host, settled) => {
    const guest = new FakeGuest();
    using clock = new GuestClock(guest.request);
    // The machine was paused with the frame on its way.
    guest.onTheWay = () => {
      host.now += 5000;
      guest.offset -= 5000;
      guest.onTheWay = () => {};
    };
    clock.start();
    await settled();
    deepStrictEqual(guest.said.map(({ back }) => back), [false, false]);
    strictEqual(guest.offset, 0);
  }));

Deno.test("what is asked for while it is under way is done after it", () =>
  withClocks(async (_, settled) => {
    const guest = new FakeGuest();
    using clock = new GuestClock(guest.request);
    clock.sync();
    strictEqual(guest.said.length, 0);
    clock.start();
    guest.onTheWay = () => {
      guest.onTheWay = () => {};
      guest.offset = -1000;
      for (let i = 0; i < 10; i++) clock.sync();
    };
    await settled();
    strictEqual(guest.said.length, 2);
    strictEqual(guest.offset, 0);
  }));

Deno.test("a guest that always says it is ahead is not talked to without end", () =>
  withClocks(async (_, settled) => {
    let frames = 0;
    using clock = new GuestClock(() => {
      frames++;
      return Promise.resolve({ kind: "exited", code: CLOCK_AHEAD });
    });
    clock.start();
    await settled();
    strictEqual(frames, 2);
  }));

Deno.test("without an agent nothing happens, and it goes on with the next", () =>
  withClocks(async (_, settled) => {
    const guest = new FakeGuest();
    let there = false;
    using clock = new GuestClock((payload) => {
      if (!there) throw new Error("no agent");
      return guest.request(payload);
    });
    clock.start();
    await settled();
    there = true;
    clock.start();
    await settled();
    strictEqual(guest.said.length, 1);
  }));

Deno.test("a host that slept tells the time at the next tick", () =>
  withClocks(async (host, settled) => {
    const guest = new FakeGuest();
    using clock = new GuestClock(guest.request);
    clock.start();
    await settled();
    host.now += 3_600_000;
    guest.offset -= 3_600_000;
    for (let i = 0; i < 50 && guest.offset !== 0; i++) {
      await new Promise((done) => setTimeout(done, 100));
    }
    strictEqual(guest.offset, 0);
    ok(guest.said.length === 2, `${guest.said.length}`);
  }));
