/**
 * Compares our declarations of Foundation, as clang reads them, with TypeScript declarations that were
 * generated from Apple's SDK (npm's @nativescript/macos-node-api, MIT). They say which classes,
 * methods, properties and constants there are; of types they tell number, boolean, string, pointer,
 * object and the class itself.
 */

import { factType, type Node, walk } from "./api.ts";

/** What TypeScript tells apart. */
type Kind = "void" | "number" | "boolean" | "string" | "pointer" | "object" | "self" | "block";

interface Member {
  parameters: Kind[];
  result: Kind;
}

interface Type {
  /** Its superclass, or "". */
  super: string;
  /** By name; those of the class itself as "static name". */
  members: Map<string, Member>;
}

/** What the declarations say. */
export interface Declarations {
  types: Map<string, Type>;
  /** Constants by the name of their enum, without its prefix. */
  enums: Map<string, Map<string, number>>;
}

const HEAD = /^declare (?:class|interface) (\w+)(?:<.*?>)?(?: extends (\w+))?/;
const MEMBER = /^ {2}(static )?(?:readonly )?(\w+)\??(?:<.*?>)?(\((.*)\))?: ([^()]*|.*=>.*);$/;
const GENERIC_MEMBER = /^ {2}(static )(\w+)<.*?>\((.*)\): (.*);$/;

/** Reads declarations. */
export function readDeclarations(text: string): Declarations {
  const found: Declarations = { types: new Map(), enums: new Map() };
  let type: Type | null = null;
  let constants: Map<string, number> | null = null;
  for (const line of text.split("\n")) {
    const head = line.match(HEAD);
    const options = line.match(/^declare const (\w+): \{$/);
    if (head) {
      // The interface of a protocol comes before a class of the same name, and says more.
      type = found.types.get(head[1]) ?? { super: head[2] ?? "", members: new Map() };
      found.types.set(head[1], type);
    } else if (options) {
      found.enums.set(options[1], constants = new Map());
    } else if (line === "}" || line === "};") {
      type = constants = null;
    } else if (constants) {
      const [, name, value] = line.match(/^ {2}(\w+): (-?\d+),$/) ?? [];
      if (name) constants.set(name, Number(value));
    } else if (type) {
      readMember(type, line);
    }
  }
  return found;
}

function readMember(type: Type, line: string): void {
  const generic = line.match(GENERIC_MEMBER);
  const plain = line.match(MEMBER);
  const [statically, name, list, result] = generic
    ? [generic[1], generic[2], generic[3], generic[4]]
    : plain
    ? [plain[1], plain[2], plain[4] ?? "", plain[5]]
    : [];
  if (!name) return;
  const parameters = split(list!).filter((word) => word !== "" && !/^this:/.test(word))
    .map((word) => kindOf(word.slice(word.indexOf(":") + 1)));
  type.members.set(`${statically ?? ""}${name}`, { parameters, result: kindOf(result!) });
}

/** Splits at the commas that are in no bracket. */
function split(list: string): string[] {
  const words = [""];
  let depth = 0;
  for (const letter of list.replaceAll("=>", "\u21d2")) {
    if ("<({[".includes(letter)) depth++;
    if (">)}]".includes(letter)) depth--;
    if (letter === "," && depth === 0) words.push("");
    else words[words.length - 1] += letter;
  }
  return words.map((word) => word.trim());
}

function kindOf(type: string): Kind {
  const bare = type.replace(/ \| null$/, "").trim();
  if (/\u21d2|=>/.test(bare)) return "block";
  if (/^interop\.Pointer/.test(bare)) return "pointer";
  if (/^interop\.Enum</.test(bare)) return "number";
  if (bare === "this" || /^InstanceType</.test(bare)) return "self";
  return /^(void|number|boolean|string)$/.test(bare) ? bare as Kind : "object";
}

/** The same of a type as clang spells it. Texts are strings whether they are C's or Foundation's. */
function declaredKind(qualType: string): Kind {
  if (/\bchar \*/.test(qualType)) return "string";
  if (/\[[^\]]*\]\s*$|(\w|>|\bT|\bK|\bV)( _\w+)? \*( _\w+)? ?\*/.test(qualType)) return "pointer";
  const type = factType(qualType).replace(/\?$/, "");
  if (type === "BOOL") return "boolean";
  if (type === "NSString*") return "string";
  if (type === "instancetype") return "self";
  if (type === "void" || type === "pointer" || type === "block") return type;
  // The latter is a struct.
  if (type === "NSError**" || type === "NSFastEnumerationState*") return "pointer";
  return /\*$|^(id|Class)\b/.test(type) ? "object" : "number";
}

/** How a selector is called in TypeScript: `objectForKey:in:` is objectForKeyIn. */
function memberName(selector: string): string {
  const [first, ...rest] = selector.split(":");
  return first + rest.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

/** A member of a class or of one of its superclasses. */
function memberOf(types: Declarations["types"], owner: string, name: string): Member | undefined {
  const seen: Type[] = [];
  for (let type = types.get(owner); type && !seen.includes(type); type = types.get(type.super)) {
    const member = type.members.get(name);
    if (member) return member;
    seen.push(type);
  }
}

/** The classes above one. */
function ancestors(types: Declarations["types"], name: string): string[] {
  const above = types.get(name)?.super ?? "";
  return above === "" || above === name ? [] : [above, ...ancestors(types, above)];
}

/** What was compared, and every declaration that disagrees. */
export interface FoundationComparison {
  classes: number;
  methods: number;
  constants: number;
  wrong: string[];
}

/** Compares every class, protocol and enum that is declared in a tree. */
export function compareFoundation(tree: Node, apple: Declarations): FoundationComparison {
  const result: FoundationComparison = { classes: 0, methods: 0, constants: 0, wrong: [] };
  const say = (text: string) => result.wrong.push(text);
  for (const node of walk(tree)) {
    const { kind, name = "", inner } = node;
    if (!inner || !/^NS/.test(name)) continue;
    if (kind === "EnumDecl") compareEnum(node, apple, result);
    if (kind !== "ObjCInterfaceDecl" && kind !== "ObjCProtocolDecl") continue;
    result.classes++;
    const owner = kind === "ObjCProtocolDecl" && name === "NSObject" ? "NSObjectProtocol" : name;
    if (!apple.types.has(owner)) {
      say(`${owner}: there is no such class`);
      continue;
    }
    const above = node.super?.name;
    if (above && !ancestors(apple.types, owner).includes(above)) {
      say(`${owner}: is not below ${above}`);
    }
    for (const method of inner.filter((member) => member.kind === "ObjCMethodDecl")) {
      result.methods++;
      const prefix = method.instance ? "" : "static ";
      const member = memberOf(apple.types, owner, prefix + memberName(method.name!));
      const title = `${owner} ${method.instance ? "-" : "+"}${method.name}`;
      if (!member) {
        say(`${title}: there is no such method`);
        continue;
      }
      const parameters = (method.inner ?? []).filter((n) => n.kind === "ParmVarDecl");
      const declared = signature({
        parameters: parameters.map((p) => declaredKind(p.type!.qualType)),
        result: declaredKind(method.returnType!.qualType),
      });
      const fact = signature(member);
      if (declared !== fact) say(`${title}: declared ${declared}, is ${fact}`);
    }
  }
  return result;
}

function compareEnum(node: Node, apple: Declarations, result: FoundationComparison): void {
  const name = node.name!;
  const constants = apple.enums.get(name);
  if (!constants) result.wrong.push(`${name}: there is no such enum`);
  for (const constant of node.inner!.filter((n) => n.kind === "EnumConstantDecl")) {
    result.constants++;
    const value = Number([...walk(constant)].find((n) => n.kind === "ConstantExpr")?.value);
    // The prefix that all constants of an enum share is left out there.
    const [, fact] = [...constants ?? []].find(([word]) => constant.name!.endsWith(word)) ?? [];
    if (fact !== value) {
      result.wrong.push(`${name} ${constant.name}: declared ${value}, is ${fact}`);
    }
  }
}

const signature = ({ parameters, result }: Member) => `${result}(${parameters})`;
