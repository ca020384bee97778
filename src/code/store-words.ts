/**
 * The bytes that an instruction writes to memory, from the word and the registers that it is executed with.
 *
 * Source: Arm ARM DDI 0487, C6.2 (each instruction, "Operation"); C6.2 DC ZVA and D24 DCZID_EL0 for the block of zeros.
 */
import type { Registers } from "../base/registers.ts";
import { extended, registerName } from "./operation.ts";
import { type StoreForm, storeForm } from "./store-forms.ts";

export interface StoreSpan {
  /** As the registers make it, modulo 2^64: with a tag in the top byte if they have one there. */
  readonly address: bigint;
  /** In bytes. A span at the end of the address space goes on at 0. */
  readonly size: number;
}

/** What Arm's own cores have; QEMU's `-cpu max` has 512. */
const ZERO_BLOCK = 64;

/**
 * What the word stores to when it is executed with these general registers (`x0` … `x30`, `sp`). None: it surely stores nothing. Undefined: it
 * may, but where is not known: the word is not decoded (SVE and SME stores, CPY* and SET* of FEAT_MOPS, what is unallocated), or a
 * register is missing. Of what stores only at times (STXR, CAS) it is what it stores then. `zeroBlock` is the size of DC ZVA in bytes, a
 * power of two: 4 << DCZID_EL0.BS.
 */
export function storedSpans(
  word: number,
  registers: Registers,
  zeroBlock = ZERO_BLOCK,
): readonly StoreSpan[] | undefined {
  const form = storeForm(word);
  if (form === "none") return [];
  const start = form === "unknown" ? undefined : addressOf(form, registers);
  if (form === "unknown" || start === undefined) return undefined;
  if (form.size !== "block") return [{ address: start, size: form.size }];
  return [{ address: start - (start % BigInt(zeroBlock)), size: zeroBlock }];
}

/** Whether the word may store to memory at all: false only where it surely does not. */
export function mayStore(word: number): boolean {
  return storeForm(word) !== "none";
}

function addressOf({ base, offset, index }: StoreForm, registers: Registers): bigint | undefined {
  const start = base === "zero" ? 0n : registers.get(registerName(base));
  const moved = index === undefined || index.register === "zero" ? 0n : registers.get(registerName(index.register));
  if (start === undefined || moved === undefined) return undefined;
  const scaled = index === undefined ? 0n : extended(moved, index.extend) << BigInt(index.shift);
  return BigInt.asUintN(64, start + BigInt(offset) + scaled);
}
