/**
 * Decodes A64 instruction words for what they write and where they go, not for their text.
 *
 * Source: Arm ARM DDI 0487, C4.1 "A64 instruction set encoding": op0 at bits 28:25 tells the group. The rule is to never miss a write: a
 * register that an unknown encoding of a group could write is said to be possibly written, and what lies outside the known groups
 * ends everything.
 */
import { virt } from "../base/address.ts";
import { branchEffect } from "./branch-words.ts";
import { immediateEffect } from "./immediate-words.ts";
import { memoryEffect } from "./memory-words.ts";
import { type CodeWord, type Decoded, type Effect, field, registerBits } from "./operation.ts";
import { registerEffect, vectorEffect } from "./register-words.ts";

const NEXT = { kind: "next" } as const;
const UNDEFINED: Effect = { flow: { kind: "undefined" }, mayWrite: -1 };

/** What the instruction does. Never fails: what is not known is said to do anything. */
export function decodeWord({ address, word }: CodeWord): Decoded {
  const unsigned = word >>> 0;
  const effect = effectOf(virt(address), unsigned);
  return { flow: NEXT, writes: [], mayWrite: 0, landing: false, ...effect, address: virt(address), word: unsigned };
}

function effectOf(address: ReturnType<typeof virt>, word: number): Effect {
  const group = field(word, 28, 25);
  if ((group & 0b1110) === 0b1000) return immediateEffect(address, word);
  if ((group & 0b1110) === 0b1010) return branchEffect(address, word);
  if ((group & 0b0101) === 0b0100) return memoryEffect(address, word);
  if ((group & 0b0111) === 0b0101) return registerEffect(word);
  if ((group & 0b0111) === 0b0111) return vectorEffect(word);
  // SVE, and SME with bit 31: a general register they write (CNTB, RDVL, LASTA, …) stands in bits 4:0.
  if (group === 0b0010 || (group === 0 && word >= 0x8000_0000)) {
    const register = field(word, 4, 0);
    return { mayWrite: register === 31 ? 1 << 31 : registerBits(register) };
  }
  return UNDEFINED;
}
