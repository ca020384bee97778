/**
 * What a register has to hold: `SCTLR_EL1.M == 1`, `TCR_ELx.T0SZ >= 16`, `SCTLR_EL1 & 0x1005 == 0x1005`, `TTBR0_EL1 != TTBR1_EL1`.
 *
 *     assertion := term OP term          OP is one of == != < <= > >=
 *     term      := value ["&" number]
 *     value     := number | REGISTER ["." FIELD]
 *
 * Numbers are decimal, `0x…` or `0b…`, of at most 64 bits; comparisons are unsigned. `_ELx` at the end of a register's name stands for the
 * Exception level whose regime executes.
 */

export const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="] as const;
export type Comparison = (typeof COMPARISONS)[number];

export interface RegisterPlace {
  readonly register: string;
  readonly field: string | undefined;
}

export interface Term {
  readonly value: bigint | RegisterPlace;
  readonly mask: bigint | undefined;
}

export interface Assertion {
  readonly text: string;
  readonly left: Term;
  readonly comparison: Comparison;
  readonly right: Term;
}

/** Why a text is no assertion; `offset` is of the first character that does not fit. */
export interface Misfit {
  readonly offset: number;
  readonly message: string;
}

const TOKEN =
  /\s*(?:([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*(?:\[[0-9:]+\])?))?|(0[xX][0-9a-fA-F_]+|0[bB][01_]+|[0-9][0-9_]*)(?!\w)|(==|!=|<=|>=|<|>|&))/y;

type Token =
  | { readonly kind: "register"; readonly place: RegisterPlace; readonly offset: number }
  | { readonly kind: "number"; readonly value: bigint; readonly offset: number }
  | { readonly kind: "sign"; readonly sign: string; readonly offset: number };

/** Understands an assertion, or says where it cannot be understood. */
export function parseAssertion(text: string): Assertion | Misfit {
  const tokens = tokensOf(text);
  if (!Array.isArray(tokens)) return tokens as Misfit;
  const reader = new Reader(tokens, text.length);
  const left = reader.term();
  if ("message" in left) return left;
  const comparison = reader.comparison();
  if (typeof comparison !== "string") return comparison;
  const right = reader.term();
  if ("message" in right) return right;
  const rest = reader.peek();
  if (rest !== undefined) return { offset: rest.offset, message: "there is more than one comparison" };
  if (typeof left.value === "bigint" && typeof right.value === "bigint")
    return { offset: 0, message: "no register is named" };
  return { text, left, comparison, right };
}

function tokensOf(text: string): Token[] | Misfit {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  for (let at = 0; at < end; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const offset = at + (/^\s*/.exec(text.slice(at))?.[0].length ?? 0);
    if (/^(?:&&|\|\|)/.test(text.slice(offset))) return { offset, message: "there is more than one comparison" };
    if (match === null) return { offset, message: "this is neither a register, a number nor a comparison" };
    const [, register, field, digits, sign] = match;
    if (register !== undefined) tokens.push({ kind: "register", place: { register, field }, offset });
    else if (sign !== undefined) tokens.push({ kind: "sign", sign, offset });
    else {
      const value = numberOf(digits ?? "");
      if (value === undefined) return { offset, message: "this number is none of at most 64 bits" };
      tokens.push({ kind: "number", value, offset });
    }
  }
  return tokens;
}

function numberOf(digits: string): bigint | undefined {
  const plain = digits.replaceAll("_", "");
  if (plain.length > 66 || /^0[xXbB]$/.test(plain)) return undefined;
  const value = BigInt(plain);
  return value < 1n << 64n ? value : undefined;
}

class Reader {
  readonly #tokens: readonly Token[];
  readonly #end: number;
  #next = 0;

  constructor(tokens: readonly Token[], end: number) {
    this.#tokens = tokens;
    this.#end = end;
  }

  peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  term(): Term | Misfit {
    const token = this.#tokens[this.#next++];
    if (token === undefined || token.kind === "sign")
      return { offset: token?.offset ?? this.#end, message: "a register or a number is missing here" };
    const value = token.kind === "number" ? token.value : token.place;
    const sign = this.peek();
    if (sign?.kind !== "sign" || sign.sign !== "&") return { value, mask: undefined };
    this.#next++;
    const mask = this.#tokens[this.#next++];
    if (mask?.kind === "number") return { value, mask: mask.value };
    return { offset: mask?.offset ?? this.#end, message: "behind & there has to be a number" };
  }

  comparison(): Comparison | Misfit {
    const token = this.#tokens[this.#next++];
    const found = COMPARISONS.find((each) => token?.kind === "sign" && token.sign === each);
    return found ?? { offset: token?.offset ?? this.#end, message: `one of ${COMPARISONS.join(" ")} is missing here` };
  }
}

/** The registers of an assertion, left to right. */
export function placesOf({ left, right }: Assertion): readonly RegisterPlace[] {
  return [left.value, right.value].filter((value) => typeof value !== "bigint");
}

/** Whether it holds, given the values of its places; undefined where one is not known. */
export function holds(assertion: Assertion, read: (place: RegisterPlace) => bigint | undefined): boolean | undefined {
  const [left, right] = [assertion.left, assertion.right].map(({ value, mask }) => {
    const known = typeof value === "bigint" ? value : read(value);
    return known === undefined || mask === undefined ? known : known & mask;
  });
  return left === undefined || right === undefined ? undefined : compare(left, assertion.comparison, right);
}

function compare(left: bigint, comparison: Comparison, right: bigint): boolean {
  switch (comparison) {
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
  }
}
