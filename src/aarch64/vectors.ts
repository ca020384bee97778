/**
 * The exception vectors at VBAR_ELx.
 *
 * Source: Arm ARM DDI 0487, D1.4.1 "Exception vectors": four sets of four, 0x80 bytes each: by where the exception comes from, and by
 * its kind (synchronous, IRQ, FIQ, SError).
 */

export interface Vector {
  readonly offset: number;
  readonly kind: "synchronous" | "SError";
  readonly from: string;
}

const ORIGINS = [
  [0x000, "the current EL with SP_EL0"],
  [0x200, "the current EL with SP_ELx"],
  [0x400, "a lower EL in AArch64"],
  [0x600, "a lower EL in AArch32"],
] as const;

/** The vectors that mean a fault: synchronous exceptions and SErrors from everywhere. */
export const FAULT_VECTORS: readonly Vector[] = ORIGINS.flatMap(([offset, from]): Vector[] => [
  { offset, kind: "synchronous", from },
  { offset: offset + 0x180, kind: "SError", from },
]);

/** The fault vector at `pc` under `base` (VBAR_ELx); undefined when it is none. */
export function vectorAt(base: bigint, pc: bigint): Vector | undefined {
  return FAULT_VECTORS.find(({ offset }) => base + BigInt(offset) === pc);
}
