/**
 * Makes the facts about Apple's SDK that `api_test.ts` compares the declarations with, out of the
 * Rust bindings that madsmtm/objc2 generates from the SDK (MIT, Apache-2.0 or Zlib; repository
 * objc2-generated). Only names, types and values are taken.
 *
 *     deno run -A tests/mac/facts/extract.ts <its .git directory> Virtualization VZ > virtualization.json
 *
 * After the framework come the classes wanted, or the prefix of all that are.
 *
 * A type is written as in Objective-C without spaces; a trailing `?` says that it may be nil.
 */

/** What is known of one class or protocol: its superclass and `result(argument,…)` by selector. */
export interface ClassFacts {
  super?: string;
  methods: Record<string, string>;
}

/** Everything known of one framework. */
export interface Facts {
  classes: Record<string, ClassFacts>;
  protocols: Record<string, ClassFacts>;
  /** Values by constant, by enum. */
  enums: Record<string, Record<string, number>>;
}

const SCALARS: Record<string, string> = {
  bool: "BOOL",
  u32: "uint32_t",
  u64: "uint64_t",
  c_int: "int",
  c_uint: "unsigned int",
  c_ulong: "unsigned long",
  c_ulonglong: "unsigned long long",
  Self: "instancetype",
  AnyObject: "id",
  DispatchQueue: "dispatch_queue_t",
};

/** The Objective-C spelling of a type in the bindings. */
export function objcType(rust: string): string {
  const type = rust.replaceAll(/\s/g, "");
  if (type === "" || type === "()") return "void";
  if (type.startsWith("Result<(),")) return "BOOL";
  const nullable = type.startsWith("Option<") || type.startsWith("Result<") ? "?" : "";
  if (type.includes("Block<")) return "block";
  const protocol = /ProtocolObject<dyn(\w+)>/.exec(type);
  if (protocol) return `id<${protocol[1]}>${nullable}`;
  const object = /(?:Retained<|&)(\w+)/.exec(type);
  if (object) {
    const name = SCALARS[object[1]] ?? `${object[1]}*`;
    // A generic parameter (ObjectType, KeyType) is an id where it is used.
    return (/^\w+Type\*$/.test(name) ? "id" : name) + nullable;
  }
  if (/[*]|NonNull</.test(type)) return "pointer";
  return SCALARS[type] ?? type;
}

function splitArguments(text: string): string[] {
  const parts: string[] = [];
  let depth = 0, part = "";
  for (const c of text.replaceAll("->", "=>")) {
    if ("<([{".includes(c)) depth++;
    if (")]}".includes(c) || (c === ">" && !part.endsWith("="))) depth--;
    if (c === "," && depth === 0) {
      parts.push(part);
      part = "";
    } else part += c;
  }
  return [...parts, part].map((p) => p.trim()).filter((p) => p !== "");
}

const METHOD =
  /((?:\s*#\[[^\n]*\]\s*\n)+)\s*(?:pub )?(?:unsafe )?fn \w+(?:<[^(]*>)?\(([^;]*?)\)\s*(?:->\s*([^;]*?))?(?:;|\n\s*where)/g;

function methods(body: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, attributes, argumentText, result] of body.matchAll(METHOD)) {
    const selector = /method\(([^)]*)\)/.exec(attributes)?.[1];
    if (!selector) continue;
    const all = splitArguments(argumentText);
    const instance = /^(&|&mut )?self$|^this:/.test(all[0] ?? "");
    const types = all.filter((a) => !/^(&|&mut )?self$|^(this|mtm):/.test(a))
      .map((a) => objcType(a.slice(a.indexOf(":") + 1)));
    // `:_` stands for an error argument that the binding turns into a Result.
    if (selector.endsWith(":_")) types.push("NSError**");
    found[(instance ? "-" : "+") + selector.replace(/:_$/, ":")] = `${
      objcType(result ?? "")
    }(${types})`;
  }
  return found;
}

/** What one file of the bindings says, added to `facts`. */
export function extract(source: string, facts: Facts): void {
  source = source.replaceAll(/^\s*\/\/.*$/gm, "");
  const enumNames = [...source.matchAll(/pub struct (\w+)\(pub \w+\);/g)].map((m) => m[1]);
  for (const name of enumNames) {
    const constants = facts.enums[name] ??= {};
    for (const [, owner, body] of source.matchAll(/\n\s*impl (\w+)(?:: \w+)? \{(.*?)\n\s*\}\n/gs)) {
      if (owner !== name) continue;
      const pattern = /#\[doc\(alias = "(\w+)"\)\]\s*(?:pub )?const \w+(?:: Self)? = ([^;]+);/g;
      for (const [, constant, value] of body.matchAll(pattern)) {
        const digits = /\d+(?:<<\d+)?/.exec(value.replaceAll(/\s|Self/g, ""))![0].split("<<");
        constants[constant] = Number(digits[0]) * 2 ** Number(digits[1] ?? 0);
      }
    }
  }
  for (const [, body] of source.matchAll(/extern_class!\((.*?)\n\);/gs)) {
    const name = /pub struct (\w+)/.exec(body)![1];
    const superclass = /super\((\w+)/.exec(body)?.[1];
    facts.classes[name] = { super: superclass, methods: facts.classes[name]?.methods ?? {} };
  }
  for (const [, body] of source.matchAll(/extern_protocol!\((.*?)\n\);/gs)) {
    const name = /name = "(\w+)"/.exec(body)?.[1] ?? /pub unsafe trait (\w+)/.exec(body)![1];
    facts.protocols[name] = { methods: methods(body) };
  }
  const bodies =
    /\nimpl(?:<[^\n]*?>)? (\w+)(?:<[^\n]*>)? \{\s*extern_methods!\((.*?)\n {4}\);\n\}/gs;
  for (const [, name, body] of source.matchAll(bodies)) {
    Object.assign((facts.classes[name] ??= { methods: {} }).methods, methods(body));
  }
}

async function git(dir: string, ...args: string[]): Promise<string> {
  const output = await new Deno.Command("git", { args: [`--git-dir=${dir}`, ...args] }).output();
  return new TextDecoder().decode(output.stdout);
}

/** JSON with one line for each class, protocol and enum. */
function lines(facts: Facts): string {
  const table = (rows: Record<string, unknown>) =>
    Object.keys(rows).sort().map((k) => `    ${JSON.stringify(k)}: ${JSON.stringify(rows[k])}`)
      .join(",\n");
  return "{\n" + Object.entries(facts).map(([kind, rows]) => `  "${kind}": {\n${table(rows)}\n  }`)
    .join(",\n") +
    "\n}\n";
}

if (import.meta.main) {
  const [dir, framework, ...wanted] = Deno.args;
  const facts: Facts = { classes: {}, protocols: {}, enums: {} };
  const files = await git(dir, "ls-tree", "-r", "--name-only", "HEAD", framework);
  for (const file of files.split("\n").filter((f) => f.endsWith(".rs") && !f.endsWith("mod.rs"))) {
    extract(await git(dir, "show", `HEAD:${file}`), facts);
  }
  const keep = (name: string) =>
    wanted.length > 1 ? wanted.includes(name) : name.startsWith(wanted[0]);
  for (const rows of Object.values(facts)) {
    for (const name of Object.keys(rows)) if (!keep(name)) delete rows[name];
  }
  console.log(lines(facts).trimEnd());
}
