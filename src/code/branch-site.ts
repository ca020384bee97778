/**
 * Which instruction branched to an address where no code can run.
 *
 * Calls leave the address of the word behind them in x30 (Arm ARM C6.2 BL, BLR), and nothing that runs changes it before the fault: so the call
 * stands at x30 - 4, if what branched was a call. That is held against what the call would have branched to.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { VirtMemory } from "../base/memory.ts";
import { decodeWord } from "./decode.ts";
import type { CodeWord, Decoded, RegisterNumber } from "./operation.ts";
import { LINK, registerName } from "./operation.ts";
import { wordsAround } from "./words.ts";

/** What the registers say at the fault. */
export interface BadBranch {
  /** Where the branch went. */
  readonly target: VirtAddr;
  /** x30 */
  readonly link: VirtAddr;
  /** The value of a general register (`x0` … `x30`, `sp`); undefined when it is not known. */
  readonly registers: { get(name: string): bigint | undefined };
  /** Takes a pointer authentication code off. */
  readonly strip?: (address: bigint) => VirtAddr;
}

export type BranchSite =
  /** The call at `words[index]`, which went to `target`. `register` is undefined for BL. */
  | {
      readonly kind: "call";
      readonly words: readonly CodeWord[];
      readonly index: number;
      readonly address: VirtAddr;
      readonly register: RegisterNumber | undefined;
    }
  /** x30 is the bad address itself: a return went there, and where from cannot be told. */
  | { readonly kind: "return" }
  /** There is a call at x30 - 4, but it went to `called`: the bad branch (no call) came later, from there. */
  | { readonly kind: "later"; readonly address: VirtAddr; readonly called: VirtAddr }
  /** `why`: a word that is no call, code that could not be read (`code`), or a register that is not known. */
  | { readonly kind: "unknown"; readonly why: string; readonly code?: ErrorCode };

/** Words read before the call, for following its register back, and behind it, for branches back. */
const WORDS_BEFORE = 128;
const WORDS_AFTER = 64;

/** Finds the call that made a bad branch. */
export async function branchSite(memory: VirtMemory, bad: BadBranch): Promise<BranchSite> {
  const strip = bad.strip ?? virt;
  if (strip(bad.link) === strip(bad.target)) return { kind: "return" };
  const address = virt(strip(bad.link) - 4n);
  if (address % 4n !== 0n || strip(bad.link) < 4n) return { kind: "unknown", why: "x30 is no return address" };
  const { words, gaps } = await wordsAround(memory, address, { before: WORDS_BEFORE, after: WORDS_AFTER });
  const index = words.findIndex((each) => each.address === address);
  const word = words[index];
  if (word === undefined) {
    const gap = gaps.find((each) => each.address <= address && address < each.address + BigInt(each.length));
    return { kind: "unknown", why: "the code at x30 - 4 cannot be read", code: gap?.code ?? "read-failed" };
  }
  return siteOf(words, index, decodeWord(word), bad, strip);
}

function siteOf(
  words: readonly CodeWord[],
  index: number,
  { flow, address }: Decoded,
  { target, registers }: BadBranch,
  strip: (address: bigint) => VirtAddr,
): BranchSite {
  if (flow.kind === "call") return went(flow.target, undefined);
  if (flow.kind !== "call-register") return { kind: "unknown", why: "the word at x30 - 4 is no call" };
  // BLR XZR; BLR X30 has overwritten its register.
  if (flow.register === 31) return went(virt(0n), undefined);
  if (flow.register === LINK)
    return { kind: "unknown", why: "the call at x30 - 4 went through x30, which it overwrote" };
  const value = registers.get(registerName(flow.register));
  if (value === undefined) return { kind: "unknown", why: `${registerName(flow.register)} is not known` };
  return went(virt(value), flow.register);

  function went(called: VirtAddr, register: RegisterNumber | undefined): BranchSite {
    const here = strip(called) === strip(target);
    return here ? { kind: "call", words, index, address, register } : { kind: "later", address, called };
  }
}
