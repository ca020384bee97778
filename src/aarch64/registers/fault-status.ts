/**
 * Fault status codes: IFSC and DFSC of ESR_ELx, FST of PAR_EL1.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1 (DFSC, IFSC) and D24.2 PAR_EL1 (FST). Negative levels belong to FEAT_LPA2
 * (level -1) and FEAT_D128 (level -2), and are not laid out beside the others.
 */
const LEVELS: readonly (readonly [base: number, words: string])[] = [
  [0b000000, "address size fault"],
  [0b000100, "translation fault"],
  [0b001000, "access flag fault"],
  [0b001100, "permission fault"],
  [0b010100, "synchronous External abort on translation table walk"],
  [0b011100, "synchronous parity or ECC error on translation table walk"],
  [0b100100, "Granule Protection Fault on translation table walk"],
];

const SINGLE: ReadonlyMap<number, string> = new Map([
  [0b010000, "synchronous External abort"],
  [0b010001, "synchronous Tag Check Fault"],
  [0b010010, "synchronous External abort on translation table walk, level -2"],
  [0b010011, "synchronous External abort on translation table walk, level -1"],
  [0b011000, "synchronous parity or ECC error on memory access"],
  [0b011011, "synchronous parity or ECC error on translation table walk, level -1"],
  [0b100001, "alignment fault"],
  [0b100010, "Granule Protection Fault on translation table walk, level -2"],
  [0b100011, "Granule Protection Fault on translation table walk, level -1"],
  [0b101000, "Granule Protection Fault"],
  [0b101001, "address size fault, level -1"],
  [0b101010, "translation fault, level -2"],
  [0b101011, "translation fault, level -1"],
  [0b101100, "address size fault, level -2"],
  [0b110000, "TLB conflict abort"],
  [0b110001, "unsupported atomic hardware update fault"],
  [0b110100, "IMPLEMENTATION DEFINED fault (Lockdown)"],
  [0b110101, "IMPLEMENTATION DEFINED fault (Unsupported Exclusive or Atomic access)"],
]);

/** Names a fault status code: "translation fault, level 3". Codes that Arm reserves give `undefined`. */
export function faultStatus(code: number): string | undefined {
  const single = SINGLE.get(code);
  if (single !== undefined) return single;
  const leveled = LEVELS.find(([base]) => (code & ~0b11) === base);
  return leveled === undefined ? undefined : `${leveled[1]}, level ${code & 0b11}`;
}
