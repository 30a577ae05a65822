/** `vibe image …` and `vibe prune`, as they are typed. What they do is loaded when it is done. */

import type { Command } from "commander";
import { addImageBuild, addImageReset } from "./image_build_program.ts";
import { mergedOptions, number } from "./options.ts";

/** Adds the commands. Their actions report their exit code to `exit`. */
export function addImageCommands(program: Command, exit: (code: number) => void): void {
  const load = () => import("./image_commands.ts");
  const image = program.command("image").description("Look after the images that VMs are made of.");

  addImageBuild(image, exit);

  image.command("ls")
    .description("List the images: their source, size and age, and which VMs are made of them.")
    .option("--json", "as JSON")
    .action(async ({ json }) => exit(await (await load()).ls(json)));

  image.command("show")
    .description("Tell all about an image.")
    .argument("[image]", "which image", "default")
    .option("--json", "as JSON")
    .action(async (name: string, { json }) => exit(await (await load()).show(name, json)));

  image.command("rm")
    .description("Remove images that no VM is made of.")
    .argument("<image...>", "which images")
    .action(async (names: string[], _, command: Command) =>
      exit(await (await load()).rm(names, mergedOptions(command)))
    );

  addImageReset(image, exit);

  image.command("export")
    .description("Write an image to one file; - is stdout.")
    .argument("<image>", "which image")
    .argument("<file>", "where to")
    .action(async (name: string, file: string, _, command: Command) =>
      exit(await (await load()).exportTo(name, file, mergedOptions(command)))
    );

  image.command("import")
    .description("Make an image of a file that export wrote; - is stdin.")
    .argument("<file>", "where from")
    .argument("[name]", "what to call it; as it was called unless given")
    .action(async (file: string, name: string | undefined, _, command: Command) =>
      exit(await (await load()).importFrom(file, name, mergedOptions(command)))
    );

  image.command("resize")
    .description("Let new VMs of an image have a larger disk.")
    .argument("<image>", "which image")
    .argument("<gib>", "how large, in GiB", number("disk"))
    .action(async (name: string, gib: number, _, command: Command) =>
      exit(await (await load()).resize(name, gib, mergedOptions(command)))
    );

  program.command("prune")
    .description("Free the disk space that nothing uses any more, and say how much.")
    .option("--dry-run", "only say what would be removed")
    .option("--missing", "do not count VMs whose directories are not there now")
    .option("--json", "as JSON")
    .action(async (_, command: Command) => {
      const { prune } = await import("./prune_command.ts");
      exit(await prune({ ...command.opts(), ...mergedOptions(command) }));
    });
}
