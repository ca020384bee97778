/**
 * Which register an MSR really writes: HCR_EL2.E2H gives the names of EL1 to the registers of EL2, and those of EL1 others.
 *
 * Source: Arm ARM DDI 0487, D23.3 (the column "Accesses" of the tables of encodings); HCR_EL2.E2H. At EL2 with E2H = 1 a name of EL1 (EL0 for timers) is that
 * of the EL2 register wherever the EL1 register has an _EL12 (_EL02) name, but for ACTLR_EL1, for which that takes FEAT_SRMASK. An ALIAS
 * register writes the register itself, past its mask (FEAT_SRMASK).
 *
 * Not looked at: nested virtualization (HCR_EL2.NV), where EL1 has registers of EL2; EL0 under a host; the timers of Secure EL2.
 */
import { encodingNamed, systemNameOf } from "./encodings.ts";

/** Where the register of EL2 is called something else. */
const AT_EL2: Readonly<Record<string, string>> = {
  CPACR: "CPTR",
  CPACRMASK: "CPTRMASK",
  CNTKCTL: "CNTHCTL",
  MPAM1: "MPAM2",
  MPAMBW1: "MPAMBW2",
  CNTP_TVAL: "CNTHP_TVAL",
  CNTP_CTL: "CNTHP_CTL",
  CNTP_CVAL: "CNTHP_CVAL",
  CNTV_TVAL: "CNTHV_TVAL",
  CNTV_CTL: "CNTHV_CTL",
  CNTV_CVAL: "CNTHV_CVAL",
};

export interface WriterState {
  /** The Exception level that executes the MSR. */
  readonly level: number;
  /** HCR_EL2.E2H. */
  readonly e2h: boolean;
}

/** The register that an MSR of this encoding writes, by its own name: `SCTLR_EL2` for SCTLR_EL1 at EL2 with E2H. */
export function writtenRegister(encoding: number, { level, e2h }: WriterState): string {
  const called = systemNameOf(encoding);
  const alias = /^(\w+?)(?:ALIAS)?_(EL[01])2?$/.exec(called);
  if (alias === null) return called;
  const [, base = "", suffix] = alias;
  const own = `${base}_${suffix}`;
  const atEl2 = `${AT_EL2[base] ?? base}_EL2`;
  const moves =
    level === 2 &&
    e2h &&
    called === own &&
    base !== "ACTLR" &&
    encodingNamed(`${own}2`) !== undefined &&
    encodingNamed(atEl2) !== undefined;
  return moves ? atEl2 : own;
}
