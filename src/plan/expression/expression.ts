/**
 * The expressions of plans: conditions, addresses and lengths over the registers and the memory of a stopped guest.
 *
 * They are data to ebscope: text → tree → 64-bit value. What a name means is asked of the scope by its text; nothing of the host can be
 * named. Text, depth, parts and reads of memory are bounded, and so is the time.
 */

import { type RegisterScope, type Value, walkTree } from "./evaluate.ts";
import { standingAlone } from "./fault.ts";
import { type Parsed, parse } from "./parser.ts";
import type { MemorySize, Mention } from "./tree.ts";

/** What an expression is asked of. An answer of undefined: it cannot be known. What a method throws goes to the caller of `evaluate`. */
export interface Scope extends RegisterScope {
  /** Little-endian, at a virtual address as the stopped vCPU has it. */
  memory(address: bigint, size: MemorySize): Promise<bigint | undefined>;
  /** The address of an image, a symbol (`name`, `image!name`), or of gST, gBS and gRT. */
  place(name: string): Promise<bigint | undefined>;
}

export interface Expression {
  readonly text: string;
  /** The registers that it names, as stubs and captures call them. */
  readonly registers: ReadonlySet<string>;
  readonly readsMemory: boolean;
  /** The registers and places that it names, in their order, with their offsets in the text. */
  readonly mentions: readonly Mention[];
  /** Its value, where it names nothing of the guest. */
  readonly constant: bigint | undefined;
  evaluate(scope: Scope): Promise<Value>;
  /** The same at once, from registers alone: memory and places are unknown then. */
  evaluateNow(scope: RegisterScope): Value;
}

/** Throws `bad-expression` with the column. */
export function parseExpression(text: string): Expression {
  return standingAlone(text, "the expression", readExpression);
}

/** Throws TextFault. */
export function readExpression(text: string): Expression {
  return new ParsedExpression(text, parse(text));
}

const NOTHING: RegisterScope = { register: () => undefined };

class ParsedExpression implements Expression {
  readonly text: string;
  readonly mentions: readonly Mention[];
  readonly registers: ReadonlySet<string>;
  readonly readsMemory: boolean;
  readonly constant: bigint | undefined;
  readonly #parsed: Parsed;

  constructor(text: string, parsed: Parsed) {
    this.text = text;
    this.#parsed = parsed;
    this.mentions = parsed.mentions;
    this.registers = new Set(parsed.mentions.filter(({ kind }) => kind === "register").map(({ name }) => name));
    this.readsMemory = parsed.readsMemory;
    this.constant = this.#constant();
  }

  #constant(): bigint | undefined {
    if (this.mentions.length > 0 || this.readsMemory) return undefined;
    const value = this.evaluateNow(NOTHING);
    return value.state === "known" ? value.value : undefined;
  }

  async evaluate(scope: Scope): Promise<Value> {
    const walk = walkTree(this.#parsed.tree, scope);
    let step = walk.next();
    while (step.done !== true) {
      const asked = step.value;
      const answer = asked.kind === "place" ? scope.place(asked.name) : scope.memory(asked.address, asked.size);
      step = walk.next(await answer);
    }
    return step.value;
  }

  evaluateNow(scope: RegisterScope): Value {
    const walk = walkTree(this.#parsed.tree, scope);
    let step = walk.next();
    while (step.done !== true) step = walk.next(undefined);
    return step.value;
  }
}
