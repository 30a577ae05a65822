/** Compares declarations of Apple's frameworks, as clang reads them, with the facts in `facts/`. */

import type { ClassFacts, Facts } from "./facts/extract.ts";
import availability from "./facts/availability.json" with { type: "json" };
import foundation from "./facts/foundation.json" with { type: "json" };
import virtualization from "./facts/virtualization.json" with { type: "json" };

/** A node of `clang -ast-dump=json`; of the many fields those that are read here. */
interface Node {
  kind: string;
  name?: string;
  value?: string;
  instance?: boolean;
  super?: { name: string };
  type?: { qualType: string };
  returnType?: { qualType: string };
  range?: { begin: { offset?: number; expansionLoc?: { offset: number } } };
  inner?: Node[];
}

/**
 * Declared, but in no facts: variadic methods and fast enumeration have no Rust binding, and the
 * roots of Foundation are in another crate.
 */
const NOT_IN_FACTS = new Set([
  "NSString +stringWithFormat:",
  "NSArray -countByEnumeratingWithState:objects:count:",
]);
const ROOTS = new Set(["NSObject", "NSCopying", "NSFastEnumeration"]);

/** Types that are spelt differently without being different in any call. */
const SAME_TYPE: Record<string, string> = {
  "CStr*": "pointer",
  "NSExceptionName*": "NSString*",
  "NSErrorDomain*": "NSString*",
};

const FACTS: Facts = {
  classes: { ...foundation.classes as Facts["classes"], ...virtualization.classes },
  protocols: virtualization.protocols,
  enums: { ...foundation.enums, ...virtualization.enums as unknown as Facts["enums"] },
};

/** clang's syntax tree of a source file, as the cross-build compiles it. */
export async function syntaxTree(file: string, include: string[]): Promise<Node> {
  const output = await new Deno.Command("clang-19", {
    args: [
      ...["-target", "arm64-apple-macos13.0", "-nostdlibinc", "-fobjc-arc", "-fsyntax-only"],
      ...["-Xclang", "-ast-dump=json", "-x", "objective-c"],
      ...include.map((dir) => `-I${dir}`),
      file,
    ],
  }).output();
  const decoder = new TextDecoder();
  if (!output.success) throw new Error(decoder.decode(output.stderr));
  return JSON.parse(decoder.decode(output.stdout));
}

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const child of node.inner ?? []) yield* walk(child);
}

/** The spelling that the facts use of a type that clang prints. */
export function factType(qualType: string): string {
  const nullable = /_Nullable( __strong)?$/.test(qualType) ? "?" : "";
  const type = qualType
    .replaceAll(/\b(_Nonnull|_Nullable|__strong|__autoreleasing|__unsafe_unretained|const)\b/g, "")
    .replace(/^VZ_API\([\d.]+\)/, "").replaceAll(/\s+/g, " ").trim();
  if (type.includes("(^")) return "block";
  if (type === "instancetype") return "instancetype" + nullable;
  if (/^(T|K|V|id)$/.test(type)) return "id" + nullable;
  if (/^NSError \* ?\*$/.test(type)) return "NSError**";
  const object = /^([A-Z]\w+)(?:<.*>)? \*$/.exec(type);
  if (object) return `${object[1]}*${nullable}`;
  if (/[*\]]$/.test(type)) return "pointer";
  return /^id<\w+>$/.test(type) ? type + nullable : type;
}

/** The same for a type in the facts, where two spellings mean one. */
function canonical(type: string, owner: string): string {
  const bare = type.replace(/\?$/, "");
  const nullable = type.endsWith("?") ? "?" : "";
  if (bare === "id<NSCopying>") return "id";
  return (bare === `${owner}*` ? "instancetype" : SAME_TYPE[bare] ?? bare) + nullable;
}

function sameSignature(declared: string, fact: string, owner: string): boolean {
  const split = (s: string) => s.split(/[(),]/).map((t) => canonical(t, owner));
  // A C pointer's nullability says nothing about the call.
  const loose = (t: string) => t.replace(/^pointer\?$/, "pointer");
  const [a, b] = [split(declared).map(loose), split(fact).map(loose)];
  // `const T objects[]` and `const K keys[]` are pointers in the one and generics in the other.
  return a.length === b.length && a.every((t, i) => t === b[i] || t === "pointer" && b[i] === "id");
}

/** A method of a class, or of one of its superclasses. */
function factOf(owner: string, selector: string): string | undefined {
  const protocol = FACTS.protocols[owner];
  if (protocol) return protocol.methods[selector];
  for (let c: ClassFacts | undefined = FACTS.classes[owner]; c; c = FACTS.classes[c.super ?? ""]) {
    if (c.methods[selector]) return c.methods[selector];
  }
}

/** `VZ_API(version)` in the header, where an attribute of `node` was expanded from it. */
function introduced(node: Node, header: string): string | undefined {
  const attribute = node.inner?.find((n) => n.kind === "AvailabilityAttr");
  const offset = attribute?.range?.begin.expansionLoc?.offset;
  return offset === undefined ? undefined : /^VZ_API\(([\d.]+)\)/.exec(header.slice(offset))?.[1];
}

/** What was compared, and every declaration that disagrees. */
export interface Comparison {
  classes: number;
  methods: number;
  constants: number;
  wrong: string[];
}

/** Compares every declaration of a framework's class, protocol and enum in a tree. */
export function compare(tree: Node, virtualizationHeader: string): Comparison {
  const result: Comparison = { classes: 0, methods: 0, constants: 0, wrong: [] };
  const say = (text: string) => result.wrong.push(text);
  const sinceOf = availability as {
    classes: Record<string, string>;
    members: Record<string, Record<string, string>>;
    constants: Record<string, string>;
  };

  const checkMethod = (owner: string, method: Node, since: string | undefined) => {
    const selector = (method.instance ? "-" : "+") + method.name;
    if (method.inner?.some((n) => n.kind === "UnavailableAttr")) return;
    if (NOT_IN_FACTS.has(`${owner} ${selector}`)) return;
    result.methods++;
    const fact = factOf(owner, selector);
    if (!fact) return say(`${owner} ${selector}: there is no such method`);
    const parameters = (method.inner ?? []).filter((n) => n.kind === "ParmVarDecl");
    const declared = `${factType(method.returnType!.qualType)}(${
      parameters.map((p) => factType(p.type!.qualType))
    })`;
    if (!sameSignature(declared, fact, owner)) {
      say(`${owner} ${selector}: declared ${declared}, is ${fact}`);
    }
    const wanted = sinceOf.members[owner]?.[selector] ?? sinceOf.classes[owner];
    if (since !== wanted) say(`${owner} ${selector}: declared since ${since}, is ${wanted}`);
  };

  for (const node of walk(tree)) {
    const name = node.name ?? "";
    const isClass = node.kind === "ObjCInterfaceDecl";
    if ((isClass || node.kind === "ObjCProtocolDecl") && /^(NS|VZ)/.test(name) && node.inner) {
      if (ROOTS.has(name)) continue;
      result.classes++;
      const facts = isClass ? FACTS.classes[name] : FACTS.protocols[name];
      if (!facts) {
        say(`${name}: there is no such ${isClass ? "class" : "protocol"}`);
        continue;
      }
      const superclass = name === "NSNumber" ? "NSValue" : node.super?.name;
      if (isClass && superclass !== facts.super) {
        say(`${name}: declared below ${superclass}, is below ${facts.super}`);
      }
      const since = introduced(node, virtualizationHeader);
      if (since !== sinceOf.classes[name]) {
        say(`${name}: declared since ${since}, is ${sinceOf.classes[name]}`);
      }
      for (const member of node.inner) {
        if (member.kind !== "ObjCMethodDecl") continue;
        checkMethod(name, member, introduced(member, virtualizationHeader) ?? since);
      }
    }
    if (node.kind === "EnumDecl" && /^(NS|VZ)/.test(name) && node.inner) {
      if (!FACTS.enums[name]) say(`${name}: there is no such enum`);
      for (const constant of node.inner.filter((n) => n.kind === "EnumConstantDecl")) {
        result.constants++;
        const fact = FACTS.enums[name]?.[constant.name!];
        const value = [...walk(constant)].find((n) => n.kind === "ConstantExpr")?.value;
        if (String(fact) !== value) say(`${name} ${constant.name}: declared ${value}, is ${fact}`);
        const since = introduced(constant, virtualizationHeader);
        const wanted = sinceOf.constants[constant.name!];
        if (since !== wanted) say(`${constant.name}: declared since ${since}, is ${wanted}`);
      }
    }
  }
  return result;
}

/** The instance methods that a class implements in a tree. */
export function implemented(tree: Node, className: string): string[] {
  for (const node of walk(tree)) {
    if (node.kind === "ObjCImplementationDecl" && node.name === className) {
      return (node.inner ?? []).filter((n) => n.kind === "ObjCMethodDecl" && n.instance)
        .map((n) => `-${n.name}`);
    }
  }
  return [];
}

/** The methods of a protocol, by the facts. */
export function protocolMethods(name: string): string[] {
  return Object.keys(FACTS.protocols[name].methods);
}
