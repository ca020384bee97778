/** What the instruction at a stop stores to, as doublewords. */

import { type VirtAddr, virt } from "../../base/address.ts";
import type { Registers } from "../../base/registers.ts";
import { storedSpans } from "../../code/store-words.ts";

/** Doublewords that one instruction can write: DC ZVA has the most. */
const MOST = 512;

export interface Stored {
  /** Aligned addresses, ascending. */
  readonly doublewords: readonly VirtAddr[];
  /** What they hold afterwards, where the registers tell; in their order. */
  readonly values: readonly bigint[] | undefined;
}

/** `zeroBlock`: the bytes that DC ZVA writes. Undefined when it is not known where the instruction stores to. */
export function storesOf(word: number, registers: Registers, zeroBlock: number): Stored | undefined {
  const spans = storedSpans(word, registers, zeroBlock);
  if (spans === undefined) return undefined;
  const doublewords = new Set<bigint>();
  for (const { address, size } of spans) {
    const end = address + BigInt(size);
    for (let at = address & ~7n; at < end; at += 8n) {
      if (doublewords.size >= MOST) return undefined;
      doublewords.add(canonical(at));
    }
  }
  const value =
    spans.length === 1 && (spans[0]?.address ?? 0n) % 8n === 0n && doublewords.size === 1
      ? plainValue(word, registers)
      : undefined;
  return { doublewords: [...doublewords].map(virt), values: value === undefined ? undefined : [value] };
}

/** An address without its tag: a store that was stopped at a watchpoint has one only where it is ignored (TCR_ELx.TBI). */
function canonical(address: bigint): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(56, address));
}

/**
 * The value that a store of one whole X register writes: STR in its addressing modes.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Load/store register": size [31:30], 111 [29:27], V [26], opc [23:22]; with bit 24 clear and bit 21 set,
 * bits 11:10 tell a register offset from an atomic.
 */
function plainValue(word: number, registers: Registers): bigint | undefined {
  const store = (word & 0xfec0_0000) >>> 0 === 0xf800_0000;
  const atomic = (word & 0x0120_0c00) !== 0x0020_0800 && (word & 0x0120_0000) === 0x0020_0000;
  if (!store || atomic) return undefined;
  const register = word & 31;
  return register === 31 ? 0n : registers.get(`x${register}`);
}
