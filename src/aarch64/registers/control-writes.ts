/**
 * The registers whose writes change what a machine is to the code on it: what addresses translate to, what accesses may do and how they
 * are cached, where exceptions go, and what one level traps of those below. Who wrote one of these is what is asked after a handoff.
 *
 * Out are registers of which every exception and every switch of threads writes one (ELR, SPSR, SP_EL0, TPIDR), what only reports (ESR, FAR),
 * interrupt controllers and timers but for who may use them, debug and trace but for what is trapped, the lengths of vectors, and the
 * masks of FEAT_SRMASK, which change nothing by themselves. RVBAR is read-only.
 */
import { encodingNamed } from "./encodings.ts";

const OF_EACH_LEVEL = "SCTLR SCTLR2 ACTLR TTBR0 TCR MAIR MAIR2 AMAIR AMAIR2 VBAR PIR POR";
const OF_EL1_AND_EL2 = "TTBR1 TCR2 PIRE0 CONTEXTIDR";

const OTHERS = [
  // What EL0 may do, and what stage 2 allows under overlays.
  "CPACR_EL1 CNTKCTL_EL1 POR_EL0 S2POR_EL1",
  // EL2: traps and stage 2.
  "HCR_EL2 HCRX_EL2 CPTR_EL2 HSTR_EL2 MDCR_EL2 CNTHCTL_EL2 VTTBR_EL2 VTCR_EL2 VSTTBR_EL2 VSTCR_EL2 S2PIR_EL2",
  "HFGRTR_EL2 HFGWTR_EL2 HFGITR_EL2 HDFGRTR_EL2 HDFGWTR_EL2 HAFGRTR_EL2",
  "HFGRTR2_EL2 HFGWTR2_EL2 HFGITR2_EL2 HDFGRTR2_EL2 HDFGWTR2_EL2",
  // EL3: traps and granule protection.
  "SCR_EL3 SCR2_EL3 CPTR_EL3 MDCR_EL3 FGWTE3_EL3 GPTBR_EL3 GPCCR_EL3",
];

function atLevels(names: string, ...levels: readonly number[]): readonly string[] {
  return names.split(" ").flatMap((name) => levels.map((level) => `${name}_EL${level}`));
}

/** By the names of the registers themselves: none with _EL12. */
export const CONTROL_REGISTERS: readonly string[] = [
  ...atLevels(OF_EACH_LEVEL, 1, 2, 3),
  ...atLevels(OF_EL1_AND_EL2, 1, 2),
  ...OTHERS.flatMap((names) => names.split(" ")),
];

let encodings: ReadonlySet<number> | undefined;

/** Whether an MSR of this encoding writes one of them, by its own name, by its _EL12 name or by its ALIAS (FEAT_SRMASK). */
export function isControlRegister(encoding: number): boolean {
  encodings ??= new Set(CONTROL_REGISTERS.flatMap(encodingsOf));
  return encodings.has(encoding);
}

function encodingsOf(name: string): readonly number[] {
  const spellings = [name, name.replace(/_EL1$/, "_EL12"), name.replace(/_EL1$/, "ALIAS_EL1")];
  return spellings.flatMap((each) => encodingNamed(each) ?? []);
}
