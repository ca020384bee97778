/**
 * MSR and MRS of a register, SYS and SYSL: the words that name a System register or System instruction.
 *
 * Source: Arm ARM DDI 0487, C4.1 "System instructions", "System register move": bits 31:22 0b1101010100, L [21], op0 [20:19], op1 [18:16], CRn
 * [15:12], CRm [11:8], op2 [7:5], Rt [4:0]; op0 0 is hints, barriers and MSR (immediate), which writes fields of PSTATE only.
 *
 * MSRR, MRRS and SYSP, which move 128 bits (FEAT_SYSREG128, FEAT_SYSINSTR128), are other words and not known here.
 */

export interface SystemWord {
  /** `sys` writes nothing back: TLBI, DC, IC, AT. `sysl` reads its result into the register. */
  readonly kind: "msr" | "mrs" | "sys" | "sysl";
  /** One number: see `encodingOf`. */
  readonly encoding: number;
  /** The general register; 31 is the zero register. */
  readonly rt: number;
}

/** Undefined when the word is no such instruction. */
export function systemWord(word: number): SystemWord | undefined {
  const op0 = (word >>> 19) & 3;
  if (word >>> 22 !== 0b1101010100 || op0 === 0) return undefined;
  const reads = ((word >>> 21) & 1) === 1;
  const kind = op0 === 1 ? (reads ? "sysl" : "sys") : reads ? "mrs" : "msr";
  return { kind, encoding: (word >>> 5) & 0xffff, rt: word & 31 };
}

/** Bits 31:21 of MSR, SYS and what has op0 0. */
const WRITES = 0b11010101000;

/** The indices of the MSR (register) and SYS words that are wanted, in ascending order. */
export function findSystemWrites(words: Uint32Array, wanted: (word: SystemWord) => boolean): number[] {
  const found: number[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    if (word >>> 21 !== WRITES) continue;
    const system = systemWord(word);
    if (system !== undefined && wanted(system)) found.push(i);
  }
  return found;
}
