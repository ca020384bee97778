/** What expressions are made of. */

export type MemorySize = 1 | 2 | 4 | 8;

export const UNARY = ["!", "~", "-"] as const;
export type Unary = (typeof UNARY)[number];

/** Operators from those that bind last to those that bind first. Comparisons bind after `&`, `^` and `|`, as in Python and Rust. */
export const LEVELS = [
  ["||"],
  ["&&"],
  ["==", "!=", "<", "<=", ">", ">="],
  ["|"],
  ["^"],
  ["&"],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "%"],
] as const;
export type Binary = (typeof LEVELS)[number][number];

/** Functions with the number of their arguments: comparisons of signed values, the arithmetic shift, sign extension from a width. */
export const FUNCTIONS = { slt: 2, sle: 2, sgt: 2, sge: 2, asr: 2, sext: 2 } as const;
export type FunctionName = keyof typeof FUNCTIONS;

export type Node =
  | { readonly kind: "number"; readonly value: bigint }
  | { readonly kind: "register"; readonly name: string; readonly bits: 32 | 64 }
  | { readonly kind: "field"; readonly register: string; readonly field: string }
  | { readonly kind: "bits"; readonly of: Node; readonly high: number; readonly low: number }
  | { readonly kind: "memory"; readonly size: MemorySize; readonly address: Node }
  | { readonly kind: "place"; readonly name: string }
  | { readonly kind: "unary"; readonly operator: Unary; readonly of: Node }
  | { readonly kind: "binary"; readonly operator: Binary; readonly left: Node; readonly right: Node }
  | { readonly kind: "call"; readonly name: FunctionName; readonly arguments: readonly [Node, Node] };

/** A register or a place that an expression names, and where it does. */
export interface Mention {
  readonly kind: "register" | "place";
  /** As the machine has it for a register. */
  readonly name: string;
  readonly field?: string;
  /** Characters before it. */
  readonly offset: number;
}
