/** Where the target of a branch through a register came from, followed backwards through its basic block. */
import type { VirtAddr } from "../base/address.ts";
import { type Block, type BlockEdge, type BlockOptions, blockBefore } from "./block.ts";
import { decodeWord } from "./decode.ts";
import { type CodeWord, type Decoded, mayWriteRegister, type Operation, type RegisterNumber, SP } from "./operation.ts";

export interface OriginStep {
  readonly address: VirtAddr;
  readonly word: number;
  /** The register that the instruction defines. */
  readonly register: RegisterNumber;
  readonly operation: Operation;
}

export type OriginEnd =
  | { readonly reason: "constant"; readonly value: bigint }
  | { readonly reason: "literal"; readonly at: VirtAddr }
  /** The last load is from the stack. */
  | { readonly reason: "stack" }
  /** By an instruction that is not followed, which is the last step. */
  | { readonly reason: "computed" }
  /** The instruction at `address` may write the register or not. */
  | { readonly reason: "undecoded"; readonly address: VirtAddr; readonly register: RegisterNumber }
  /** The function's caller passed it: x0 … x7 at its first instruction. */
  | { readonly reason: "argument"; readonly register: RegisterNumber }
  | { readonly reason: "before-block"; readonly register: RegisterNumber; readonly edge: BlockEdge };

/** Where the value came from that a register held before an instruction. */
export interface Origin {
  readonly at: Decoded;
  readonly register: RegisterNumber;
  readonly block: Block;
  /** From there backwards: what defined the register, what defined the base of that, … */
  readonly steps: readonly OriginStep[];
  readonly end: OriginEnd;
}

/** Edges at which registers hold what the caller passed. */
const FUNCTION_STARTS: ReadonlySet<BlockEdge["kind"]> = new Set(["function", "called", "landing", "prologue"]);
/** AAPCS64, "Parameter passing": x0 … x7. */
const LAST_ARGUMENT = 7;

/** The register that an instruction branches through; undefined when it does not. */
export function branchRegister({ flow }: Decoded): RegisterNumber | undefined {
  // The zero register is no register: BR XZR goes to 0.
  return "register" in flow && flow.register !== 31 ? flow.register : undefined;
}

/**
 * Follows the register that `words[index]` branches through back to where its value came from. Undefined when the instruction is no branch
 * through a register.
 */
export function branchOrigin(
  words: readonly CodeWord[],
  index: number,
  options: BlockOptions = {},
): Origin | undefined {
  const word = words[index];
  const register = word && branchRegister(decodeWord(word));
  return register === undefined ? undefined : registerOrigin(words, index, register, options);
}

/** Follows what a register held before `words[index]` back to where it came from; undefined when there is no such word. */
export function registerOrigin(
  words: readonly CodeWord[],
  index: number,
  register: RegisterNumber,
  options: BlockOptions = {},
): Origin | undefined {
  const block = blockBefore(words, index, options);
  const at = block.instructions.at(-1);
  return at && { at, register, block, ...follow(block, register) };
}

function follow(block: Block, target: RegisterNumber): Pick<Origin, "steps" | "end"> {
  const steps: OriginStep[] = [];
  let register = target;
  for (let i = block.instructions.length - 2; i >= 0; i--) {
    const { address, word, writes, ...rest } = block.instructions[i] as Decoded;
    const write = writes.find((each) => each.register === register);
    if (write === undefined) {
      const perhaps = mayWriteRegister({ address, word, writes, ...rest }, register);
      if (perhaps) return { steps, end: { reason: "undecoded", address, register } };
      continue;
    }
    steps.push({ address, word, ...write });
    const next = sourceOf(write.operation);
    if (typeof next !== "number") return { steps, end: next };
    register = next;
  }
  return { steps, end: beforeBlock(register, block.edge) };
}

/** The register that a value came from, or why there is none to follow. */
function sourceOf(operation: Operation): RegisterNumber | OriginEnd {
  switch (operation.kind) {
    case "load":
      return operation.from.base === SP ? { reason: "stack" } : operation.from.base;
    case "load-literal":
      return { reason: "literal", at: operation.at };
    case "constant":
      return { reason: "constant", value: operation.value };
    case "copy":
    case "add":
    case "insert":
    case "authenticate":
      return operation.from;
    case "computed":
      return { reason: "computed" };
  }
}

function beforeBlock(register: RegisterNumber, edge: BlockEdge): OriginEnd {
  const atStart = FUNCTION_STARTS.has(edge.kind);
  if (atStart && register <= LAST_ARGUMENT) return { reason: "argument", register };
  return { reason: "before-block", register, edge };
}
