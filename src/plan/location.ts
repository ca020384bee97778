/**
 * Where the points of a plan are, as people write it:
 *
 *     0x47801000                       an address
 *     CoreExitBootServices             a symbol, of whichever image has it
 *     DxeCore!CoreExitBootServices     a symbol of one image
 *     DxeCore+0x3160                   an offset in an image
 *     gBS->ExitBootServices            a service, as the firmware's table has it
 *     vector(sync, lower-64, EL2)      an exception vector
 *     write(x0 + 8, 4)                 a write to memory
 *
 * What a name means is found out in the guest; here it is only taken apart.
 */
import { parseInteger } from "../base/hex.ts";
import { nearNames } from "../base/near.ts";
import { printable } from "../base/text.ts";
import { type Expression, readExpression } from "./expression/expression.ts";
import { standingAlone, TextFault } from "./expression/fault.ts";

export const EXCEPTIONS = ["sync", "irq", "fiq", "serror"] as const;
export type ExceptionKind = (typeof EXCEPTIONS)[number];
/** Where exceptions come from: the four sets of vectors, in their order (Arm ARM DDI 0487, D1.4.1). */
export const ORIGINS = ["current-sp0", "current-spx", "lower-64", "lower-32"] as const;
export type ExceptionOrigin = (typeof ORIGINS)[number];
export type ExceptionLevel = 1 | 2 | 3;

export type ServiceTable = "gBS" | "gRT" | "gST";

export type Location =
  | { readonly kind: "address"; readonly address: bigint }
  | { readonly kind: "symbol"; readonly name: string; readonly image?: string }
  /** `offset` bytes behind the base of an image. */
  | { readonly kind: "image"; readonly image: string; readonly offset: bigint }
  | { readonly kind: "service"; readonly table: ServiceTable; readonly name: string }
  | {
      readonly kind: "vector";
      readonly exception: ExceptionKind;
      readonly from: ExceptionOrigin;
      /** The level that takes the exception: the one that the guest is at when the point is armed, where there is none. */
      readonly level?: ExceptionLevel;
    }
  | {
      readonly kind: "write";
      readonly address: Expression;
      /** In bytes, 1 … 4096. */
      readonly size: bigint;
    };

const MAX_TEXT = 4096;
/** The stub watches a page at most at one address. */
const MAX_WATCHED = 4096n;
const EXAMPLES = "Write an address, symbol, image!symbol, image+0x10, gBS->Name, vector(sync) or write(x0, 8).";

/** One place. Throws `bad-expression` with the column. */
export function parseLocation(text: string): Location {
  return standingAlone(text, "the place", (each) => {
    const [location, ...more] = readLocations(each);
    if (location === undefined || more.length > 0) {
      throw new TextFault(
        0,
        "several vectors are meant",
        `Name one exception (${EXCEPTIONS.join(", ")}) and one origin.`,
      );
    }
    return location;
  });
}

/** The same where a text may mean several places: `vector(fault, any)`. */
export function parseLocations(text: string): readonly Location[] {
  return standingAlone(text, "the place", readLocations);
}

/** Throws TextFault. At least one location. */
export function readLocations(text: string): readonly Location[] {
  if (text.length > MAX_TEXT) throw new TextFault(0, `it is longer than ${MAX_TEXT} characters`, "Make it shorter.");
  const call = /^\s*([A-Za-z]\w*)\s*\(/.exec(text);
  if (call === null) return [readNamed(text)];
  const [opening, name = ""] = call;
  const end = text.trimEnd().length;
  if (text[end - 1] !== ")") throw new TextFault(end, "a parenthesis is not closed", "Close it.");
  const inside: Span = { text: text.slice(opening.length, end - 1), offset: opening.length };
  if (name === "vector") return vectors(inside);
  if (name === "write") return [write(inside)];
  const near = nearNames(name, ["vector", "write"], 3)[0];
  throw new TextFault(
    opening.search(/\S/),
    `${printable(name, 40)}( ) is no place`,
    near ? `Did you mean ${near}?` : EXAMPLES,
  );
}

/** A part of a text, with the characters before it. */
interface Span {
  readonly text: string;
  readonly offset: number;
}

const SERVICE = /^(g(?:BS|RT|ST))\s*->\s*([A-Za-z]\w{0,63})$/;
const PART = String.raw`(?:"([^"\n]{1,128})"|([A-Za-z_$][\w.$@-]{0,127}))`;
const NAMED = new RegExp(String.raw`^${PART}(?:!${PART}|\s*\+\s*(\w{1,40}))?$`);

function readNamed(text: string): Location {
  const [offset, trimmed] = [Math.max(0, text.search(/\S/)), text.trim()];
  if (/^[0-9]/.test(trimmed)) return { kind: "address", address: integer({ text: trimmed, offset }) };
  const [, table, service] = SERVICE.exec(trimmed) ?? [];
  if (table !== undefined && service !== undefined) {
    return { kind: "service", table: table as ServiceTable, name: service };
  }
  const named = NAMED.exec(trimmed);
  if (named === null) throw unknownForm(trimmed, offset);
  const [, quotedFirst, first = quotedFirst ?? "", quotedSecond, second = quotedSecond, distance] = named;
  if (second !== undefined) return { kind: "symbol", name: second, image: first };
  if (distance === undefined) return { kind: "symbol", name: first };
  const span = { text: distance, offset: offset + trimmed.lastIndexOf(distance) };
  return { kind: "image", image: first, offset: integer(span) };
}

function unknownForm(text: string, offset: number): TextFault {
  const arrow = text.indexOf("->");
  if (arrow > 0) {
    const cure = "Services are those of gBS, gRT and gST: gBS->ExitBootServices.";
    return new TextFault(offset, `${printable(text, 40)} is no service`, cure);
  }
  if (/^[^!]+![^+]+\+/.test(text)) {
    return new TextFault(offset + text.indexOf("+"), "an offset behind a symbol of an image", "Write image+offset.");
  }
  return new TextFault(offset, text === "" ? "it is empty" : `${printable(text, 40)} is no place`, EXAMPLES);
}

function integer({ text, offset }: Span): bigint {
  const value = parseInteger(text.replace(/(?<=[0-9a-f])_(?=[0-9a-f])/gi, ""));
  if (value !== undefined) return value;
  throw new TextFault(offset, `${printable(text, 40)} is no 64-bit number`, "Write 0x and hex digits.");
}

/** Divided at the commas outside brackets, without white space around. */
function divided({ text, offset }: Span): Span[] {
  const spans: Span[] = [];
  let [start, open] = [0, 0];
  for (let i = 0; i <= text.length; i++) {
    const char = text[i];
    if (char === "(" || char === "[") open++;
    if (char === ")" || char === "]") open--;
    if (i < text.length && (char !== "," || open > 0)) continue;
    const part = text.slice(start, i);
    spans.push({ text: part.trim(), offset: offset + start + Math.max(0, part.search(/\S/)) });
    start = i + 1;
  }
  return spans;
}

const FAULTS: readonly ExceptionKind[] = ["sync", "serror"];

/** `fault` is sync and serror, `any` is all of them. Without an origin: the current level with its own stack pointer. */
function vectors(inside: Span): readonly Location[] {
  const [exception, ...rest] = divided(inside);
  if (exception === undefined || rest.length > 2) {
    throw new TextFault(
      inside.offset,
      "vector takes an exception, an origin and a level",
      "As in vector(sync, lower-64, EL2).",
    );
  }
  const kinds = exception.text === "fault" ? FAULTS : chosen(exception, EXCEPTIONS, ["fault"]);
  const last = rest.at(-1);
  const level = last === undefined ? undefined : levelOf(last.text);
  const [from, ...more] = level === undefined ? rest : rest.slice(0, -1);
  if (more[0] !== undefined)
    throw new TextFault(more[0].offset, `${printable(more[0].text, 40)} is no level`, "Write EL1, EL2 or EL3.");
  const origins = from === undefined ? (["current-spx"] as const) : chosen(from, ORIGINS, ["EL1", "EL2", "EL3"]);
  const at = level === undefined ? {} : { level };
  return kinds.flatMap((kind) =>
    origins.map((origin) => ({ kind: "vector", exception: kind, from: origin, ...at }) as const),
  );
}

function levelOf(text: string): ExceptionLevel | undefined {
  const level = /^EL([123])$/i.exec(text)?.[1];
  return level === undefined ? undefined : (Number(level) as ExceptionLevel);
}

function chosen<T extends string>(
  { text, offset }: Span,
  names: readonly T[],
  others: readonly string[],
): readonly T[] {
  if (text === "any") return names;
  const found = names.filter((name) => name === text);
  if (found.length > 0) return found;
  const known = [...names, "any", ...others];
  const near = nearNames(text, known, 3);
  const cure = near.length > 0 ? `Did you mean ${near[0]}?` : `Known here: ${known.join(", ")}.`;
  throw new TextFault(offset, `${text === "" ? "nothing" : printable(text, 40)} stands for no vector`, cure);
}

function write(inside: Span): Location {
  const [address, size, ...more] = divided(inside);
  if (address === undefined || more.length > 0) {
    throw new TextFault(inside.offset, "write takes an address and a size", "As in write(x0 + 8, 4).");
  }
  return { kind: "write", address: shifted(address), size: size === undefined ? 8n : sizeOf(size) };
}

function sizeOf(span: Span): bigint {
  const size = shifted(span).constant;
  if (size !== undefined && size >= 1n && size <= MAX_WATCHED) return size;
  throw new TextFault(
    span.offset,
    `${printable(span.text, 40)} is no size`,
    `Write a number from 1 to ${MAX_WATCHED}.`,
  );
}

function shifted({ text, offset }: Span): Expression {
  try {
    return readExpression(text);
  } catch (fault) {
    if (!(fault instanceof TextFault)) throw fault;
    throw new TextFault(offset + fault.offset, fault.message, fault.cure);
  }
}
