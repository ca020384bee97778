/**
 * What an expression's tree comes to: unsigned 64-bit values that wrap around as the machine's do.
 *
 * What cannot be known makes everything unknown that depends on it; `&&` and `||` are decided by a side that decides them alone. The tree
 * is walked by a generator that asks for what takes time (memory, places), so that one walker serves callers that can wait and those
 * that cannot. Each node is visited once at most.
 */
import { hex } from "../../base/hex.ts";
import type { Binary, FunctionName, MemorySize, Node } from "./tree.ts";

/** `unknown` is an answer of its own, never 0: `why` is in words. */
export type Value =
  | { readonly state: "known"; readonly value: bigint }
  | { readonly state: "unknown"; readonly why: string };

/** What takes time to answer. */
export type Question =
  | { readonly kind: "memory"; readonly address: bigint; readonly size: MemorySize }
  | { readonly kind: "place"; readonly name: string };

/** What is answered at once; undefined: it cannot be known. */
export interface RegisterScope {
  /** A register by the name that stubs and captures have for it: `x0`, `sp`, `pc`, `cpsr`, `SCTLR_EL1`. */
  register(name: string): bigint | undefined;
  /** A field of a register by its name in the Arm ARM: `SCTLR_EL1`, `M`. */
  field?(register: string, field: string): bigint | undefined;
}

export const MAX_READS = 64;

type Walk = Generator<Question, Value, bigint | undefined>;

const BITS = 64;
const wrap = (value: bigint): bigint => BigInt.asUintN(BITS, value);
const signed = (value: bigint): bigint => BigInt.asIntN(BITS, value);
const known = (value: bigint): Value => ({ state: "known", value: wrap(value) });
const truth = (value: boolean): Value => known(value ? 1n : 0n);
const unknown = (why: string): Value => ({ state: "unknown", why });

/** Walks a tree. Questions are to be answered with undefined where there is no answer. */
export function walkTree(tree: Node, scope: RegisterScope): Walk {
  return new Evaluation(scope).walk(tree);
}

class Evaluation {
  readonly #scope: RegisterScope;
  #reads = 0;

  constructor(scope: RegisterScope) {
    this.#scope = scope;
  }

  *walk(node: Node): Walk {
    switch (node.kind) {
      case "number":
        return known(node.value);
      case "register":
        return this.#register(node.name, node.bits);
      case "field":
        return valueOr(this.#scope.field?.(node.register, node.field), `${node.register}.${node.field} is not known`);
      case "place":
        return valueOr(yield { kind: "place", name: node.name }, `${node.name} is not known`);
      case "memory":
        return yield* this.#memory(node.size, yield* this.walk(node.address));
      case "bits":
        return mapped(yield* this.walk(node.of), (value) => bitsOf(value, node.high, node.low));
      case "unary":
        return mapped(yield* this.walk(node.of), (value) => unaryOf(node.operator, value));
      case "binary":
        return yield* this.#binary(node.operator, node.left, node.right);
      case "call": {
        const [first, second] = [yield* this.walk(node.arguments[0]), yield* this.walk(node.arguments[1])];
        return both(first, second, (a, b) => callOf(node.name, a, b));
      }
    }
  }

  #register(name: string, bits: 32 | 64): Value {
    const value = this.#scope.register(name);
    return valueOr(value === undefined ? value : BigInt.asUintN(bits, value), `${name} is not known`);
  }

  *#memory(size: MemorySize, address: Value): Walk {
    if (address.state === "unknown") return address;
    if (this.#reads === MAX_READS) return unknown(`it reads memory more than ${MAX_READS} times`);
    this.#reads++;
    const value = yield { kind: "memory", address: address.value, size };
    const bytes = value === undefined ? value : BigInt.asUintN(size * 8, value);
    return valueOr(bytes, `u${size * 8}[${hex(address.value)}] cannot be read`);
  }

  *#binary(operator: Binary, left: Node, right: Node): Walk {
    if (operator === "&&" || operator === "||") return yield* this.#decided(operator === "||", left, right);
    const [first, second] = [yield* this.walk(left), yield* this.walk(right)];
    return both(first, second, (a, b) => binaryOf(operator, a, b));
  }

  /** `||` is decided by a side that is true, `&&` by one that is false; the right side is looked at only where the left leaves it open. */
  *#decided(deciding: boolean, left: Node, right: Node): Walk {
    const first = yield* this.walk(left);
    if (first.state === "known" && (first.value !== 0n) === deciding) return truth(deciding);
    const second = yield* this.walk(right);
    if (second.state === "known" && (second.value !== 0n) === deciding) return truth(deciding);
    if (first.state === "unknown") return first;
    return second.state === "unknown" ? second : truth(!deciding);
  }
}

function valueOr(value: bigint | undefined, why: string): Value {
  return value === undefined ? unknown(why) : known(value);
}

function mapped(value: Value, by: (value: bigint) => bigint): Value {
  return value.state === "unknown" ? value : known(by(value.value));
}

function both(first: Value, second: Value, by: (a: bigint, b: bigint) => Value): Value {
  if (first.state === "unknown") return first;
  return second.state === "unknown" ? second : by(first.value, second.value);
}

function bitsOf(value: bigint, high: number, low: number): bigint {
  return BigInt.asUintN(high - low + 1, value >> BigInt(low));
}

function unaryOf(operator: "!" | "~" | "-", value: bigint): bigint {
  if (operator === "!") return value === 0n ? 1n : 0n;
  return operator === "~" ? ~value : -value;
}

function binaryOf(operator: Exclude<Binary, "&&" | "||">, a: bigint, b: bigint): Value {
  switch (operator) {
    case "==":
      return truth(a === b);
    case "!=":
      return truth(a !== b);
    case "<":
      return truth(a < b);
    case "<=":
      return truth(a <= b);
    case ">":
      return truth(a > b);
    case ">=":
      return truth(a >= b);
    case "|":
      return known(a | b);
    case "^":
      return known(a ^ b);
    case "&":
      return known(a & b);
    case "<<":
      return known(b < BITS ? a << b : 0n);
    case ">>":
      return known(b < BITS ? a >> b : 0n);
    case "+":
      return known(a + b);
    case "-":
      return known(a - b);
    case "*":
      return known(a * b);
    case "/":
      return b === 0n ? unknown("it divides by zero") : known(a / b);
    case "%":
      return b === 0n ? unknown("it divides by zero") : known(a % b);
  }
}

function callOf(name: FunctionName, a: bigint, b: bigint): Value {
  switch (name) {
    case "slt":
      return truth(signed(a) < signed(b));
    case "sle":
      return truth(signed(a) <= signed(b));
    case "sgt":
      return truth(signed(a) > signed(b));
    case "sge":
      return truth(signed(a) >= signed(b));
    case "asr":
      return known(signed(a) >> (b < BITS ? b : 63n));
    case "sext":
      return b >= 1n && b <= BITS ? known(BigInt.asIntN(Number(b), a)) : unknown("sext takes a width from 1 to 64");
  }
}
