/**
 * Canonical names of registers. Stubs differ: QEMU up to 10.0 calls SCTLR_EL1 `SCTLR`, and names some ID registers by what
 * their encoding was reserved for. ebscope shows the name that the Arm ARM prints and keeps the stub's own beside it.
 *
 * Source: Arm ARM DDI 0487, chapter D24 "AArch64 System Register Descriptions"; stub names read off QEMU 7.2 and 10.0.
 */

/** Stub name → Arm name, where adding a suffix is not enough. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ["AMAIR0", "AMAIR_EL1"],
  ["SPSR_ABT", "SPSR_abt"],
  ["SPSR_FIQ", "SPSR_fiq"],
  ["SPSR_IRQ", "SPSR_irq"],
  ["SPSR_UND", "SPSR_und"],
]);

/** ID registers that QEMU up to 10.0 calls `…_RESERVED`, since nothing was there when it was written. */
const DEFINED_SINCE: ReadonlySet<string> = new Set(
  "ID_AA64ISAR2 ID_AA64ISAR3 ID_AA64MMFR3 ID_AA64MMFR4 ID_AA64PFR2 ID_AA64DFR2".split(" "),
);

/** EL1 registers that QEMU up to 10.0 names without their suffix, as it shares them with AArch32. */
const BARE_EL1: ReadonlySet<string> = new Set(
  (
    "SCTLR CPACR VBAR CNTKCTL CLIDR CCSIDR CSSELR AIDR L2ACTLR ID_PFR0 ID_PFR1 ID_PFR2 ID_DFR0 ID_DFR1 ID_AFR0 ID_MMFR0 " +
    "ID_MMFR1 ID_MMFR2 ID_MMFR3 ID_MMFR4 ID_MMFR5 ID_ISAR0 ID_ISAR1 ID_ISAR2 ID_ISAR3 ID_ISAR4 ID_ISAR5 ID_ISAR6"
  ).split(" "),
);

/** The Arm ARM's name for what a stub calls `stubName`. An unknown name comes back as it is. */
export function canonicalRegisterName(stubName: string): string {
  const renamed = RENAMED.get(stubName);
  if (renamed !== undefined) return renamed;
  const reserved = /^(\w+)_EL1_RESERVED$/.exec(stubName)?.[1];
  if (reserved !== undefined && DEFINED_SINCE.has(reserved)) return `${reserved}_EL1`;
  if (BARE_EL1.has(stubName)) return `${stubName}_EL1`;
  const key = /^(AP(?:IA|IB|DA|DB|GA))KEY(LO|HI)_EL1$/.exec(stubName);
  if (key !== null) return `${key[1]}Key${key[2] === "LO" ? "Lo" : "Hi"}_EL1`;
  return stubName;
}
