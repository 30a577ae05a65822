/** Compares declarations of Apple's frameworks, as clang reads them, with the facts in `facts/`. */

import type { ClassFacts, Facts } from "./facts/extract.ts";
import virtualization from "./facts/virtualization.json" with { type: "json" };

/** A node of `clang -ast-dump=json`; of the many fields those that are read here. */
export interface Node {
  kind: string;
  name?: string;
  value?: string;
  instance?: boolean;
  super?: { name: string };
  type?: { qualType: string };
  returnType?: { qualType: string };
  inner?: Node[];
}

/** Types that are spelt differently without being different in any call. */
const SAME_TYPE: Record<string, string> = {
  "CStr*": "pointer",
  "NSExceptionName*": "NSString*",
  "NSErrorDomain*": "NSString*",
};

const FACTS: Facts = {
  classes: virtualization.classes,
  protocols: virtualization.protocols,
  enums: virtualization.enums as unknown as Facts["enums"],
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

/** A node and all that is in it. */
export function* walk(node: Node): Generator<Node> {
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

/** What was compared, and every declaration that disagrees. */
export interface Comparison {
  classes: number;
  methods: number;
  constants: number;
  wrong: string[];
}

/** Compares every declaration of a class, protocol and enum of Virtualization in a tree. */
export function compare(tree: Node): Comparison {
  const result: Comparison = { classes: 0, methods: 0, constants: 0, wrong: [] };
  const say = (text: string) => result.wrong.push(text);
  const checkMethod = (owner: string, method: Node) => {
    const selector = (method.instance ? "-" : "+") + method.name;
    if (method.inner?.some((n) => n.kind === "UnavailableAttr")) return;
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
  };

  for (const node of walk(tree)) {
    const name = node.name ?? "";
    const isClass = node.kind === "ObjCInterfaceDecl";
    if ((isClass || node.kind === "ObjCProtocolDecl") && /^VZ/.test(name) && node.inner) {
      result.classes++;
      const facts = isClass ? FACTS.classes[name] : FACTS.protocols[name];
      if (!facts) {
        say(`${name}: there is no such ${isClass ? "class" : "protocol"}`);
        continue;
      }
      const superclass = node.super?.name;
      if (isClass && superclass !== facts.super) {
        say(`${name}: declared below ${superclass}, is below ${facts.super}`);
      }
      for (const member of node.inner) {
        if (member.kind !== "ObjCMethodDecl") continue;
        checkMethod(name, member);
      }
    }
    if (node.kind === "EnumDecl" && /^VZ/.test(name) && node.inner) {
      if (!FACTS.enums[name]) say(`${name}: there is no such enum`);
      for (const constant of node.inner.filter((n) => n.kind === "EnumConstantDecl")) {
        result.constants++;
        const fact = FACTS.enums[name]?.[constant.name!];
        const value = [...walk(constant)].find((n) => n.kind === "ConstantExpr")?.value;
        if (String(fact) !== value) say(`${name} ${constant.name}: declared ${value}, is ${fact}`);
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
