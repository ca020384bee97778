/** Expressions as tokens. */
import { printable } from "../../base/text.ts";
import { TextFault } from "./fault.ts";

export type Token =
  | { readonly kind: "number"; readonly offset: number; readonly value: bigint }
  | { readonly kind: "name"; readonly offset: number; readonly text: string }
  /** A name in quotes: that of a place, whatever it looks like. */
  | { readonly kind: "quoted"; readonly offset: number; readonly text: string }
  | { readonly kind: "sign"; readonly offset: number; readonly text: string }
  | { readonly kind: "end"; readonly offset: number; readonly text: "" };

export const MAX_TEXT = 4096;
const MAX_NAME = 128;
const LIMIT = 1n << 64n;

const SPACE = /\s+/y;
const NUMBER = /[0-9][0-9A-Za-z_]*/y;
const INTEGER = /^(0x[0-9a-f]+|0b[01]+|[0-9]+)(KiB|MiB|GiB)?$/i;
const UNITS: Readonly<Record<string, bigint>> = { kib: 1n << 10n, mib: 1n << 20n, gib: 1n << 30n };
/** `image!symbol` is one name: after a name `!` has no other meaning, unless `=` follows. */
const NAME = /[A-Za-z_$][\w$]*(?:![A-Za-z_$][\w$]*)?/y;
const QUOTED = /"([^"\n]*)"|'([^'\n]*)'/y;
const SIGN = /\|\||&&|==|!=|<=|>=|<<|>>|[|^&<>+\-*/%~!()[\],:.]/y;

/** Throws TextFault. The last token is `end`. */
export function tokensOf(text: string): Token[] {
  if (text.length > MAX_TEXT) throw new TextFault(0, `it is longer than ${MAX_TEXT} characters`, "Make it shorter.");
  const tokens: Token[] = [];
  let end = 0;
  for (let offset = skip(text, 0); offset < text.length; offset = skip(text, end)) {
    const [token, length] = tokenAt(text, offset);
    tokens.push(token);
    end = offset + length;
  }
  return [...tokens, { kind: "end", offset: end, text: "" }];
}

function skip(text: string, offset: number): number {
  return offset + (match(SPACE, text, offset)?.[0].length ?? 0);
}

function match(pattern: RegExp, text: string, offset: number): RegExpExecArray | null {
  pattern.lastIndex = offset;
  return pattern.exec(text);
}

function tokenAt(text: string, offset: number): [Token, number] {
  const number = match(NUMBER, text, offset)?.[0];
  if (number !== undefined) return [{ kind: "number", offset, value: numberOf(number, offset) }, number.length];
  const name = match(NAME, text, offset)?.[0];
  if (name !== undefined) return [{ kind: "name", offset, text: checked(name, offset) }, name.length];
  const quoted = match(QUOTED, text, offset);
  if (quoted !== null) {
    const inside = checked(quoted[1] ?? quoted[2] ?? "", offset);
    return [{ kind: "quoted", offset, text: inside }, quoted[0].length];
  }
  const sign = match(SIGN, text, offset)?.[0];
  if (sign !== undefined) return [{ kind: "sign", offset, text: sign }, sign.length];
  throw strange(text, offset);
}

function numberOf(text: string, offset: number): bigint {
  const [, digits, unit] = INTEGER.exec(text.replace(/(?<=[0-9a-f])_(?=[0-9a-f])/gi, "")) ?? [];
  if (digits === undefined) {
    throw new TextFault(offset, `${printable(text, 40)} is no number`, "Write 4096, 0x1000, 0b1_0000 or 4KiB.");
  }
  const value = BigInt(digits) * (UNITS[unit?.toLowerCase() ?? ""] ?? 1n);
  if (value < LIMIT) return value;
  throw new TextFault(offset, `${printable(text, 40)} has more than 64 bits`, "Values have 64 bits.");
}

function checked(name: string, offset: number): string {
  if (name !== "" && name.length <= MAX_NAME) return name;
  throw new TextFault(offset, name === "" ? "a name is empty" : "a name is too long", "Write the name of a place.");
}

function strange(text: string, offset: number): TextFault {
  const char = String.fromCodePoint(text.codePointAt(offset) ?? 0);
  if (char === "=") return new TextFault(offset, "= is no operator", "Write == to compare.");
  if (char === '"' || char === "'") return new TextFault(offset, "a quotation mark is not closed", "Close it.");
  return new TextFault(offset, `${printable(char)} has no meaning here`, "Leave it out.");
}
