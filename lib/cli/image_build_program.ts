/** `vibe image build` and `vibe image reset`, as they are typed. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { mergedOptions } from "./options.ts";

/** How an image is to be built, as it was given. */
export interface BuildingOptions {
  mirror?: string;
  builder: "auto" | "host" | "vm";
  /** Minutes. */
  layerTimeout: number;
  /** False with `--no-host-settings`. */
  hostSettings: boolean;
  json?: boolean;
  yes?: boolean;
  quiet?: boolean;
  verbose?: boolean;
}

/** The options of `vibe image build`, as they were given. */
export interface ImageBuildOptions extends BuildingOptions {
  base?: string;
  layers?: string;
  agents?: string;
  packages?: string;
  script?: string[];
  resume?: boolean;
}

/** Adds the command to the group `image`. Its action reports the exit code to `exit`. */
export function addImageBuild(image: Command, exit: (code: number) => void): void {
  const build = image.command("build")
    .description("Build an image, and let a name mean it. VMs stay on what they were made from.")
    .argument("[name]", "which image", "default")
    .option("--base <base>", "debian (default), nocloud, an image's name, a file, or URL#sha512=…")
    .option("--layers <names>", "of base,tools,agents,user (default: all); or none")
    .option("--agents <names>", "which agents the layer agents installs (default: all)")
    .option("--packages <names>", "Debian packages to add, separated by commas")
    .option(
      "--script <file>",
      "run it in the guest, as root, after all layers; repeatable",
      (path: string, earlier: string[] | undefined) => [...earlier ?? [], path],
    )
    .option("--resume", "go on with a build that failed or was interrupted");
  addBuildingOptions(build)
    .action(async (name: string, own: ImageBuildOptions, command: Command) => {
      const { imageBuild } = await import("./image_build_command.ts");
      exit(await imageBuild(name, { ...own, ...shared(command) }));
    });
}

/** Adds the command to the group `image`. Its action reports the exit code to `exit`. */
export function addImageReset(image: Command, exit: (code: number) => void): void {
  const reset = image.command("reset")
    .description("Build an image anew from what it was built from, as that is now.")
    .argument("[image]", "which image", "default");
  addBuildingOptions(reset)
    .action(async (name: string, own: BuildingOptions, command: Command) => {
      const { imageReset } = await import("./image_build_command.ts");
      exit(await imageReset(name, { ...own, ...shared(command) }));
    });
}

function addBuildingOptions(command: Command): Command {
  return command
    .option("--mirror <url>", "the Debian mirror to build from")
    .addOption(
      new Option("--builder <where>", "where debian is put together: on this host or in a VM")
        .choices(["auto", "host", "vm"]).default("auto"),
    )
    .addOption(
      new Option("--layer-timeout <minutes>", "how long a layer may take")
        .argParser(parseMinutes).default(60),
    )
    .option("--no-host-settings", "do not lend the guest this host's proxies and certificates")
    .option("--json", "print what was built as JSON")
    .option("-y, --yes", "install what is missing on this host without asking")
    .option("--quiet", "say nothing but errors")
    .option("--verbose", "say more, and show where errors come from");
}

/** Options that may stand before the command as well. */
function shared(command: Command) {
  const { yes, quiet, verbose, json } = mergedOptions(command);
  return { yes, quiet, verbose, json };
}

function parseMinutes(text: string): number {
  const minutes = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && minutes > 0 && minutes <= 10_000) return minutes;
  throw new InvalidArgumentError("It must be minutes, like 60.");
}
