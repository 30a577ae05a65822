/** `vibe image ls`, `show`, `rm`, `export`, `import` and `resize`. */

import { printable } from "../errors.ts";
import type { BaseInfo } from "../image/base.ts";
import { describeImage, type ImageEntry, listImages } from "../image/inventory.ts";
import type { TransferOptions } from "../image/export.ts";
import { removeImage } from "../image/remove.ts";
import { gigabytes } from "../image/room.ts";
import type { BaseUser } from "../instance/base_users.ts";
import type { CliOptions } from "./options.ts";
import { formatTable, printError, printOut } from "./output.ts";
import { terminalProgress } from "./progress.ts";

/** Resolves to the exit code. */
export async function ls(json: boolean | undefined): Promise<number> {
  const images = await listImages();
  if (json) {
    printJson(images.map(jsonEntry));
  } else if (images.length === 0) {
    printError("vibe: there is no image yet; the first start of a VM builds one.\n");
  } else {
    const head = ["Name", "Source", "Size", "On disk", "Created", "Used by"];
    printOut(formatTable(head, images.map(row)));
  }
  return 0;
}

/** Resolves to the exit code. */
export async function show(name: string, json: boolean | undefined): Promise<number> {
  const { details, ...entry } = await describeImage(name);
  if (json) {
    const { namedRequest } = await import("../image/request.ts");
    const [dir, info] = [details?.dir ?? null, details?.info ?? null];
    printJson({ ...jsonEntry(entry), dir, info, request: await namedRequest(name) });
    return 0;
  }
  const lines: [string, string | undefined][] = [
    ["Name", name],
    ["Base", entry.base ?? undefined],
    ["Problem", entry.problem ? PROBLEMS[entry.problem] : undefined],
    ["Directory", details?.dir],
    ["Source", entry.source ?? undefined],
    ["Unfinished", entry.unfinished ? `its layer "${entry.unfinished}" failed` : undefined],
    ["Created", entry.created ?? undefined],
    ["Size", entry.sizeBytes === null ? undefined : gibibytes(entry.sizeBytes)],
    ["On disk", gigabytes(entry.realBytes)],
    ["Kernel", details?.info.kernelRelease],
    ...layerLines(details?.info),
    ["Packages", `${Object.keys(details?.info.packages ?? {}).length} (--json names them)`],
    ...entry.usedBy.map((user, i): [string, string] => [i === 0 ? "Used by" : "", title(user)]),
  ];
  const known = lines.filter((line): line is [string, string] => line[1] !== undefined);
  printOut(known.map(([key, value]) => `${key.padEnd(10)} ${printable(value)}\n`).join(""));
  return 0;
}

/** What layers brought, and could not bring. An imported image may say anything of itself. */
function layerLines(info: BaseInfo | undefined): [string, string][] {
  const layers = [info?.inherited, info?.layers].flatMap((list) => Array.isArray(list) ? list : []);
  const told = (key: "installed" | "missing", between: string) =>
    layers.flatMap((layer) => Object.entries(layer?.[key] ?? {}))
      .map(([name, text]) => `${name}${between}${text}`);
  const lines: [string, string[]][] = [
    ["Layers", layers.map((layer) => `${layer?.name}`)],
    ["Installed", told("installed", " ")],
    ["Missing", told("missing", ": ")],
  ];
  return lines.flatMap(([key, texts]) => texts.length > 0 ? [[key, texts.join(", ")]] : []);
}

/** Resolves to the exit code. */
export async function rm(names: string[], options: CliOptions): Promise<number> {
  using progress = terminalProgress(options.verbose ?? false);
  for (const name of names) {
    const freed = await removeImage(name, progress);
    progress.done();
    printError(`Removed the image "${name}"; ${gigabytes(freed)} freed.\n`);
  }
  return 0;
}

/** Resolves to the exit code. */
export async function exportTo(name: string, file: string, options: CliOptions): Promise<number> {
  const { exportImage } = await import("../image/export.ts");
  const { sha256, bytes } = await interruptible(
    options,
    (transfer) => exportImage(name, file, transfer),
  );
  printError(`Exported the image "${name}": ${gigabytes(bytes)}, sha256 ${sha256}\n`);
  return 0;
}

/** Resolves to the exit code. */
export async function importFrom(
  file: string,
  name: string | undefined,
  options: CliOptions,
): Promise<number> {
  const { importImage } = await import("../image/import.ts");
  const imported = await interruptible(options, (transfer) => importImage(file, name, transfer));
  printError(`Imported the image "${imported.name}": sha256 ${imported.sha256}\n`);
  return 0;
}

/** Resolves to the exit code. */
export async function resize(name: string, gib: number, options: CliOptions): Promise<number> {
  const { resizeImage } = await import("../image/resize.ts");
  await interruptible(options, (transfer) => resizeImage(name, gib, transfer));
  printError(`New VMs of the image "${name}" have a disk of ${gib} GiB.\n`);
  return 0;
}

/** Shows progress; Ctrl-C ends the work in good order. */
async function interruptible<T>(
  options: CliOptions,
  work: (transfer: TransferOptions) => Promise<T>,
): Promise<T> {
  using progress = terminalProgress(options.verbose ?? false);
  const controller = new AbortController();
  const abort = () => controller.abort();
  Deno.addSignalListener("SIGINT", abort);
  Deno.addSignalListener("SIGTERM", abort);
  try {
    return await work({ progress, signal: controller.signal });
  } finally {
    Deno.removeSignalListener("SIGINT", abort);
    Deno.removeSignalListener("SIGTERM", abort);
  }
}

const PROBLEMS = {
  damaged: "its files are damaged: vibe image reset builds it anew",
  gone: "its files are gone: vibe image reset builds it anew",
};

function row(image: ImageEntry): string[] {
  const { name, source, sizeBytes, realBytes, created, problem, unfinished, usedBy } = image;
  const lacks = unfinished === null ? "" : `, without ${unfinished}`;
  return [
    name ?? "(replaced)",
    problem ? `(${problem})` : printable(`${source ?? "?"}${lacks}`),
    sizeBytes === null ? "?" : gibibytes(sizeBytes),
    gigabytes(realBytes),
    day(created),
    usedBy.length > 2
      ? `${title(usedBy[0])} and ${usedBy.length - 1} more`
      : usedBy.map(title).join(", "),
  ];
}

/** As `--disk` counts. */
function gibibytes(bytes: number): string {
  return `${+(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** A clock may have been wrong, so this is a date, and not how long ago it was. */
function day(created: string | null): string {
  const time = new Date(created ?? NaN);
  return isNaN(time.getTime()) ? "?" : time.toISOString().slice(0, 16).replace("T", " ");
}

function title({ instance, state }: BaseUser): string {
  return printable(instance.title) + (state === "there" ? "" : ` (${state})`);
}

function jsonEntry({ usedBy, ...entry }: ImageEntry) {
  return { ...entry, usedBy: usedBy.map(({ instance, state }) => ({ ...instance, state })) };
}

function printJson(value: unknown): void {
  printOut(JSON.stringify(value, null, 2) + "\n");
}
