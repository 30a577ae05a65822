/** What goes into the base image. */

import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  buildArguments,
  debianRecipe,
  mirrorSettings,
  mirrorSources,
  parsePackages,
  writeRecipe,
} from "../../lib/image/recipe.ts";

Deno.test("the recipe is what is in provision/debian, and its digest says which", async () => {
  const recipe = await debianRecipe();
  ok(recipe.contents.packages.includes("systemd"));
  ok(recipe.contents.packages.every((name) => /^[a-z0-9][a-z0-9.+-]+$/.test(name)));
  match(recipe.digest, /^[0-9a-f]{64}$/);
  strictEqual((await debianRecipe()).digest, recipe.digest);
  const other = await debianRecipe({ ...recipe.contents, packages: ["bash"] });
  notStrictEqual(other.digest, recipe.digest);
});

Deno.test("the files that the recipe runs are executable where they are written", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await writeRecipe(await debianRecipe(), dir);
    for (const name of ["build.sh", "hooks/setup.sh", "hooks/essential.sh", "hooks/customize.sh"]) {
      strictEqual((await Deno.stat(`${dir}/${name}`)).mode! & 0o777, 0o755, name);
      const check = await new Deno.Command("sh", { args: ["-n", `${dir}/${name}`] }).output();
      strictEqual(check.code, 0, new TextDecoder().decode(check.stderr));
    }
    ok((await Deno.stat(`${dir}/host-apt.conf`)).isFile);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("arguments for the build", async () => {
  const contents = { variant: "apt", packages: ["git", "tmux"], roomBytes: 0 };
  const recipe = { ...await debianRecipe(contents), architecture: "arm64" };
  deepStrictEqual(buildArguments(recipe, "/out", ["deb http://mirror/debian trixie main"]), [
    "/out",
    "trixie",
    "apt",
    "git,tmux,linux-image-cloud-arm64",
    "20480",
    "deb http://mirror/debian trixie main",
  ]);
});

Deno.test("package lists: comments and blanks do not count", () => {
  deepStrictEqual(parsePackages("# a\n\ngit\n  tmux  \n#curl\n"), ["git", "tmux"]);
});

Deno.test("a mirror brings updates, and security updates if it has them", async () => {
  const asked: string[] = [];
  const exists = (answer: boolean) => (url: string) => {
    asked.push(url);
    return Promise.resolve(answer);
  };
  const plain = ["deb http://m/debian trixie main", "deb http://m/debian trixie-updates main"];
  deepStrictEqual(await mirrorSources("http://m/debian/", exists(false)), plain);
  deepStrictEqual(await mirrorSources("http://m/debian", exists(true)), [
    ...plain,
    "deb http://m/debian-security trixie-security main",
  ]);
  const probe = "http://m/debian-security/dists/trixie-security/InRelease";
  deepStrictEqual(asked, [probe, probe]);
  deepStrictEqual(await mirrorSources(undefined, exists(true)), []);
});

Deno.test("of the host's apt settings, those that lead to mirrors are used", () => {
  const dump = [
    'Acquire "";',
    'Acquire::http::Proxy "http://proxy:3142";',
    'Acquire::https::Proxy::host "DIRECT";',
    'Acquire::http::Dl-Limit "";',
    'Acquire::Check-Valid-Until "false";',
    'Acquire::Languages "none";',
    'Acquire::IndexTargets::deb::Packages::MetaKey "x";',
  ].join("\n");
  strictEqual(
    mirrorSettings(dump),
    [
      'Acquire::http::Proxy "http://proxy:3142";\n',
      'Acquire::https::Proxy::host "DIRECT";\n',
      'Acquire::Check-Valid-Until "false";\n',
    ].join(""),
  );
});
