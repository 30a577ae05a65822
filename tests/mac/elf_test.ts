/** The bridge compiled for Linux. `VIBE_MAC_VARIANT` picks another such build. */

import { build, type Variant } from "./build.ts";
import { defineSuite } from "./suite.ts";

const variant = (Deno.env.get("VIBE_MAC_VARIANT") ?? "elf") as Variant;
await defineSuite(variant, { path: await build(variant), arm64Api: true, exceptions: true });
