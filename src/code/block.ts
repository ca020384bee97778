/**
 * The basic block that ends at an instruction, as far as it can be told from the words around it.
 *
 * Branches from outside those words, and through registers, are not seen: a block may be shorter than it looks. That can only
 * happen where compilers rarely jump to (the middle of straight code), and the evaluation against memory shows it.
 */
import { savesLink } from "../aarch64/call-words.ts";
import type { VirtAddr } from "../base/address.ts";
import { decodeWord } from "./decode.ts";
import type { CodeWord, Decoded } from "./operation.ts";

/** Why the block starts where it does. */
export type BlockEdge =
  /** The word before it branches, calls or raises an exception. */
  | { readonly kind: "branch"; readonly at: VirtAddr }
  /** The branch at `from` goes to its first word. */
  | { readonly kind: "join"; readonly from: VirtAddr }
  /** The call (BL) at `from` goes to its first word: a function starts there. */
  | { readonly kind: "called"; readonly from: VirtAddr }
  /** Its first word is where calls (BTI, PACIASP) land. */
  | { readonly kind: "landing" }
  /** Symbols say that the function starts there. */
  | { readonly kind: "function" }
  /** Nothing runs on into it, and it stores x30 on the stack: a function starts there, as far as its code tells. */
  | { readonly kind: "prologue" }
  /** The word before it is not an instruction that is known. */
  | { readonly kind: "undefined"; readonly at: VirtAddr }
  /** What lies before was not read, or is more than 64 instructions away. */
  | { readonly kind: "unread" }
  | { readonly kind: "limit" };

export interface Block {
  /** From the first instruction of the block to the one that it was asked for. */
  readonly instructions: readonly Decoded[];
  readonly edge: BlockEdge;
}

export const MAX_BLOCK = 64;
/** How many words around are looked at for branches into the block. */
const MAX_WORDS = 4096;

export interface BlockOptions {
  /** The first address of the function, when symbols tell. */
  readonly functionStart?: VirtAddr;
}

/** The block that ends at `words[index]`, that one included. `words` may have gaps; they stand in ascending order. */
export function blockBefore(words: readonly CodeWord[], index: number, options: BlockOptions = {}): Block {
  const near = words.slice(Math.max(0, index - MAX_WORDS / 2), index + MAX_WORDS / 2).map(decodeWord);
  const joins = joinsOf(near);
  const last = near[Math.min(index, MAX_WORDS / 2)];
  const block = last === undefined ? [] : [last];
  for (let i = Math.min(index, MAX_WORDS / 2); ; i--) {
    const [first, before] = [near[i], near[i - 1]];
    const edge = first === undefined ? ({ kind: "unread" } as const) : edgeAt(first, before, joins, options);
    if (edge !== undefined) return finished(block.reverse(), edge, near[i - 1]);
    if (block.length > MAX_BLOCK) return { instructions: block.reverse(), edge: { kind: "limit" } };
    block.push(before as Decoded);
  }
}

const RUNS_ELSEWHERE: ReadonlySet<string> = new Set(["jump", "jump-register", "return", "undefined"]);

function finished(instructions: readonly Decoded[], edge: BlockEdge, before: Decoded | undefined): Block {
  const elsewhere = before !== undefined && RUNS_ELSEWHERE.has(before.flow.kind);
  const bare = edge.kind === "branch" || edge.kind === "undefined";
  const starts = bare && elsewhere && instructions.some(({ word }) => savesLink(word));
  return { instructions, edge: starts ? { kind: "prologue" } : edge };
}

/** What ends the block at `first`, going backwards; undefined when `before` belongs to it. */
function edgeAt(
  first: Decoded,
  before: Decoded | undefined,
  joins: ReadonlyMap<VirtAddr, BlockEdge>,
  { functionStart }: BlockOptions,
): BlockEdge | undefined {
  if (first.address === functionStart) return { kind: "function" };
  if (first.landing) return { kind: "landing" };
  const join = joins.get(first.address);
  if (join !== undefined) return join;
  if (before === undefined || before.address + 4n !== first.address) return { kind: "unread" };
  if (before.flow.kind === "undefined") return { kind: "undefined", at: before.address };
  return before.flow.kind === "next" ? undefined : { kind: "branch", at: before.address };
}

/** Addresses that the words branch to, each with one that does; a jump before a call, as it may come with other registers. */
function joinsOf(words: readonly Decoded[]): ReadonlyMap<VirtAddr, BlockEdge> {
  const joins = new Map<VirtAddr, BlockEdge>();
  for (const { address, flow } of words) {
    if (!("target" in flow)) continue;
    const called = flow.kind === "call";
    if (!called || !joins.has(flow.target)) joins.set(flow.target, { kind: called ? "called" : "join", from: address });
  }
  return joins;
}
