/**
 * Expressions as trees: precedence climbing (Pratt) over the tokens.
 *
 *     expression  operand, with the operators of tree.ts between them; those of a level bind from the left
 *     operand     ("!" | "~" | "-") operand | primary ("[" bit [":" bit] "]")*
 *     primary     number | register ["." field] | place | ("u8" | "u16" | "u32" | "u64") "[" expression "]"
 *                 | function "(" expression "," expression ")" | "(" expression ")"
 *
 * What is a register is told by its name's form; every other name is a place.
 */
import { nearNames } from "../../base/near.ts";
import { printable } from "../../base/text.ts";
import { TextFault } from "./fault.ts";
import { type Token, tokensOf } from "./lexer.ts";
import { registerName } from "./registers.ts";
import {
  type Binary,
  FUNCTIONS,
  type FunctionName,
  LEVELS,
  type MemorySize,
  type Mention,
  type Node,
  UNARY,
  type Unary,
} from "./tree.ts";

export const MAX_DEPTH = 64;
export const MAX_NODES = 512;

const MEMORY: ReadonlyMap<string, MemorySize> = new Map([
  ["u8", 1],
  ["u16", 2],
  ["u32", 4],
  ["u64", 8],
]);
const LEVEL_OF: ReadonlyMap<string, number> = new Map(LEVELS.flatMap((level, i) => level.map((sign) => [sign, i])));
const COMPARISON = LEVELS.findIndex((level) => (level as readonly string[]).includes("=="));

export interface Parsed {
  readonly tree: Node;
  readonly mentions: readonly Mention[];
  readonly readsMemory: boolean;
}

/** Throws TextFault. */
export function parse(text: string): Parsed {
  const parser = new ExpressionParser(tokensOf(text));
  const tree = parser.whole();
  return { tree, mentions: parser.mentions, readsMemory: parser.readsMemory };
}

class ExpressionParser {
  readonly mentions: Mention[] = [];
  readsMemory = false;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  #nodes = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Node {
    const tree = this.#expression(0);
    if (this.#token.kind !== "end") throw this.#unexpected("Only an operator can stand here.");
    return tree;
  }

  get #token(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #expression(least: number): Node {
    if (++this.#depth > MAX_DEPTH) throw this.#fault("it is nested too deeply", `${MAX_DEPTH} levels can be used.`);
    let left = this.#operand();
    for (let level = this.#level(); level >= least; level = this.#level()) {
      const operator = (this.#token as { text: Binary }).text;
      this.#at++;
      left = this.#node({ kind: "binary", operator, left, right: this.#expression(level + 1) });
      if (level === COMPARISON && this.#level() === COMPARISON) {
        throw this.#fault("a comparison stands behind a comparison", "Write a < b && b < c, or parentheses.");
      }
    }
    this.#depth--;
    return left;
  }

  /** Of the operator that comes; -1 when none does. */
  #level(): number {
    return this.#token.kind === "sign" ? (LEVEL_OF.get(this.#token.text) ?? -1) : -1;
  }

  #operand(): Node {
    const token = this.#token;
    if (token.kind === "sign" && (UNARY as readonly string[]).includes(token.text)) {
      if (++this.#depth > MAX_DEPTH) throw this.#fault("it is nested too deeply", `${MAX_DEPTH} levels can be used.`);
      this.#at++;
      const node = this.#node({ kind: "unary", operator: token.text as Unary, of: this.#operand() });
      this.#depth--;
      return node;
    }
    let node = this.#primary();
    while (this.#isSign("[")) node = this.#bits(node);
    return node;
  }

  #primary(): Node {
    const token = this.#token;
    switch (token.kind) {
      case "number":
        this.#at++;
        return this.#node({ kind: "number", value: token.value });
      case "quoted":
        this.#at++;
        return this.#place(token);
      case "name":
        this.#at++;
        return this.#named(token);
      case "sign":
      case "end":
        if (!this.#isSign("(")) throw this.#unexpected("Write a number, a register or a place.");
        this.#at++;
        return this.#closed(")", () => this.#expression(0));
    }
  }

  #named(token: Token & { kind: "name" }): Node {
    const size = MEMORY.get(token.text);
    if (size !== undefined && this.#isSign("[")) {
      this.#at++;
      this.readsMemory = true;
      return this.#node({ kind: "memory", size, address: this.#closed("]", () => this.#expression(0)) });
    }
    if (this.#isSign("(")) return this.#call(token);
    const register = registerName(token.text);
    if (register === undefined) return this.#place(token);
    if (this.#isSign(".")) return this.#field(register.name, token.offset);
    this.mentions.push({ kind: "register", name: register.name, offset: token.offset });
    return this.#node({ kind: "register", ...register });
  }

  #place({ text, offset }: { readonly text: string; readonly offset: number }): Node {
    if (this.#isSign(".")) {
      throw this.#fault("only registers have fields", 'Put a name with a dot in it in quotes: "name.part".');
    }
    this.mentions.push({ kind: "place", name: text, offset });
    return this.#node({ kind: "place", name: text });
  }

  #field(register: string, offset: number): Node {
    this.#at++;
    const token = this.#token;
    if (token.kind !== "name") throw this.#unexpected("Name a field, as in SCTLR_EL1.M.");
    this.#at++;
    this.mentions.push({ kind: "register", name: register, field: token.text, offset });
    return this.#node({ kind: "field", register, field: token.text });
  }

  #call({ text, offset }: Token & { kind: "name" }): Node {
    if (!Object.hasOwn(FUNCTIONS, text)) {
      const near = nearNames(text, Object.keys(FUNCTIONS), 2)[0];
      const known = `Known are ${Object.keys(FUNCTIONS).join(", ")}.`;
      const cure = near === undefined ? known : `Did you mean ${near}?`;
      throw new TextFault(offset, `${printable(text, 40)} is no function`, cure);
    }
    this.#at++;
    const first = this.#expression(0);
    this.#expect(",", `${text} takes two values.`);
    const second = this.#expression(0);
    this.#expect(")", "Close the parenthesis.");
    return this.#node({ kind: "call", name: text as FunctionName, arguments: [first, second] });
  }

  /** `x0[63]`, `x0[47:12]`. */
  #bits(of: Node): Node {
    const { offset } = this.#token;
    this.#at++;
    const high = this.#bit();
    let low = high;
    if (this.#isSign(":")) {
      this.#at++;
      low = this.#bit();
    }
    this.#expect("]", "Close the bracket.");
    if (low > high) throw new TextFault(offset, "the lower bit stands first", `Write [${low}:${high}].`);
    return this.#node({ kind: "bits", of, high, low });
  }

  #bit(): number {
    const token = this.#token;
    if (token.kind !== "number" || token.value > 63n)
      throw this.#unexpected("Write a bit from 0 to 63: [63], [47:12].");
    this.#at++;
    return Number(token.value);
  }

  #closed(sign: ")" | "]", read: () => Node): Node {
    const node = read();
    this.#expect(sign, sign === ")" ? "Close the parenthesis." : "Close the bracket.");
    return node;
  }

  #isSign(text: string): boolean {
    return this.#token.kind === "sign" && this.#token.text === text;
  }

  #expect(text: string, cure: string): void {
    if (!this.#isSign(text)) throw this.#unexpected(cure);
    this.#at++;
  }

  #node(node: Node): Node {
    if (++this.#nodes > MAX_NODES) throw this.#fault("it has too many parts", `${MAX_NODES} can be used.`);
    return node;
  }

  #unexpected(cure: string): TextFault {
    const token = this.#token;
    if (token.kind === "end") return this.#fault("it ends too early", cure);
    const text = token.kind === "number" ? String(token.value) : printable(token.text, 40);
    return this.#fault(`${text} cannot stand here`, cure);
  }

  #fault(message: string, cure: string): TextFault {
    return new TextFault(this.#token.offset, message, cure);
  }
}
