/**
 * The registers that decide which regimes are live and what they translate: all that `liveRegimes` asks for.
 *
 * Source: Arm ARM DDI 0487, D8.2, D8.4, D8.6 and D24.2 of each register; a test holds the list against what is asked.
 */

/** Those that each of EL1, EL2 and EL3 has. */
const OF_EACH_LEVEL = [
  "SCTLR",
  "TCR",
  "TCR2",
  "MAIR",
  "MAIR2",
  "TTBR0",
  "TTBR1",
  "PIR",
  "PIRE0",
  "POR",
  "VBAR",
] as const;

export const TRANSLATION_REGISTERS: readonly string[] = [
  ...OF_EACH_LEVEL.flatMap((name) => [1, 2, 3].map((level) => `${name}_EL${level}`)),
  ...["POR_EL0", "HCR_EL2", "HCRX_EL2", "SCR_EL3", "VTCR_EL2", "VTTBR_EL2"],
  ...["ID_AA64MMFR0_EL1", "ID_AA64MMFR1_EL1", "ID_AA64MMFR2_EL1", "ID_AA64MMFR3_EL1", "ID_AA64PFR1_EL1"],
  "cpsr",
];

const known: ReadonlySet<string> = new Set(TRANSLATION_REGISTERS);

export function decidesTranslation(name: string): boolean {
  return known.has(name);
}
