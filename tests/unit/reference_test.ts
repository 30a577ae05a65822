/** docs/cli.md says what the program takes. */

import { strictEqual, throws } from "node:assert/strict";
import { CLI_PAGE, withReference } from "../support/reference.ts";

Deno.test("docs/cli.md is current; `deno task docs` makes it so", async () => {
  const page = await Deno.readTextFile(CLI_PAGE);
  strictEqual(page, withReference(page));
});

Deno.test("a page without the marks is not overwritten", () => {
  throws(() => withReference("# Something else\n"), /mark/);
});
