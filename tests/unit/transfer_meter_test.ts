/** Rate and time left of a transfer, in words. */

import { strictEqual } from "node:assert/strict";
import { TransferMeter } from "../../lib/image/transfer_meter.ts";

/** The text after `seconds` at some bytes a second, told of ten times a second. */
function after(meter: TransferMeter, from: number, seconds: number, rate: number): string {
  for (let time = from + 100; time <= from + seconds * 1000; time += 100) {
    meter.add(rate / 10, time);
  }
  return meter.text();
}

Deno.test("a steady transfer: how much, how fast, how long", () => {
  const meter = new TransferMeter(281e6, 81e6, 0);
  strictEqual(meter.text(), "81 of 281 MB");
  strictEqual(after(meter, 0, 10, 10e6), "181 of 281 MB, 10.0 MB/s, 10 s left");
});

Deno.test("the rate is that of the last seconds", () => {
  const meter = new TransferMeter(1e9, 0, 0);
  after(meter, 0, 20, 20e6);
  strictEqual(after(meter, 20_000, 6, 1e6), "406 of 1000 MB, 1.0 MB/s, 10 min left");
});

Deno.test("nobody knows how much it is", () => {
  strictEqual(after(new TransferMeter(null, 0, 0), 0, 2, 1e6), "2.0 MB, 1.0 MB/s");
});

Deno.test("long transfers are in hours, short pauses draw nothing", () => {
  const meter = new TransferMeter(100e9, 0, 0);
  strictEqual(after(meter, 0, 1, 5e6), "5.0 of 100000 MB, 5.0 MB/s, 5.6 h left");
  strictEqual(meter.add(1, 1050), false);
  strictEqual(meter.add(1, 1300), true);
});
