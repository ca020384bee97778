/**
 * Classes of registers: what a list of registers is grouped by.
 */

/**
 * `control`: what configures translation and execution. `exception`: what an exception leaves behind. `general`: what
 * code computes with, and PSTATE. `timer`: CNT*. `debug`: self-hosted debug, PMU and trace. `other`: the rest, ID
 * registers among them.
 */
export type RegisterClass = "control" | "exception" | "general" | "timer" | "debug" | "other";

const GENERAL =
  /^(?:X[0-9]|X[12][0-9]|X30|[WVBHSDQZ](?:[0-9]|[12][0-9]|3[01])|LR|FP|SP|PC|CPSR|NZCV|FPSR|FPCR|FPMR|SVCR)$/;

const PREFIXES: readonly (readonly [RegisterClass, RegExp])[] = [
  ["general", /^(?:SP_EL|TPIDR|GCSPR|SPSEL|DAIF|CURRENTEL|NZCV|PAN$|UAO$)/],
  ["exception", /^(?:ESR|FAR|ELR|SPSR|AFSR[01]|HPFAR|PFAR|MFAR|PAR|DISR|VDISR|VSESR|ISR|IFSR32)(?:_|$)/],
  [
    "control",
    new RegExp(
      "^(?:(?:SCTLR2?|ACTLR|TCR2?|CPACR|CPTR)(?:MASK|ALIAS)?|TTBR[01]|A?MAIR2?|VBAR|RVBAR|RMR|HCRX?|HACR|HSTR|VTCR|VTTBR|" +
        "VSTCR|VSTTBR|VNCR|VPIDR|VMPIDR|SCR|CONTEXTIDR|PIR|PIRE0|POR|S2PIR|S2POR|GCSCR|GCSCRE0|ZCR|SMCR|SMPRI|SMPRIMAP|" +
        "GPCCR|GPTBR|RCWS?MASK|H[AD]?FG[RWI]TR2?)(?:_|$)",
    ),
  ],
  ["timer", /^CNT/],
  ["debug", /^(?:DBG|MDSCR|MDCR|MDCC|MDRAR|MDSELR|MDSTEPOP|OSLAR|OSLSR|OSDLR|OSECCR|OSDTR|TRFCR|TRB|TRC|BRB|SPM|PM)/],
];

/** Says which class a register belongs to. Names are Arm's or GDB's, in either case. */
export function registerClass(name: string): RegisterClass {
  const upper = name.toUpperCase();
  if (GENERAL.test(upper)) return "general";
  return PREFIXES.find(([, pattern]) => pattern.test(upper))?.[0] ?? "other";
}
