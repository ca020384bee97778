/**
 * Names of registers in plans, by their form alone: which of them a machine has, its stub says.
 *
 * Source: Arm ARM DDI 0487, C1.2.5 "Register names" for the general ones (the W form is the lower half), and the names of System
 * registers, which end in the Exception level that they belong to (`SCTLR_EL1`, `SCTLR_EL12`, `CNTP_CTL_EL02`).
 */

export interface RegisterName {
  /** As stubs and captures have it: `x0`, `sp`, `pc`, `cpsr`, `SCTLR_EL1`. */
  readonly name: string;
  readonly bits: 32 | 64;
}

const GENERAL = /^x(?:[0-9]|[12][0-9]|30)$/;
const HALF = /^w(?:[0-9]|[12][0-9]|30)$/;
const SYSTEM = /^[a-z][a-z0-9_]{0,38}_el[0-3]2?$/;
const ALIASES: ReadonlyMap<string, RegisterName> = new Map([
  ["sp", { name: "sp", bits: 64 }],
  ["wsp", { name: "sp", bits: 32 }],
  ["pc", { name: "pc", bits: 64 }],
  ["cpsr", { name: "cpsr", bits: 64 }],
  ["fpsr", { name: "fpsr", bits: 64 }],
  ["fpcr", { name: "fpcr", bits: 64 }],
  // AAPCS64 6.1.1: the frame pointer and the link register.
  ["fp", { name: "x29", bits: 64 }],
  ["lr", { name: "x30", bits: 64 }],
]);

/** The register that a name in a plan means, in upper or lower case; undefined for what is no name of one. */
export function registerName(text: string): RegisterName | undefined {
  const lower = text.toLowerCase();
  if (GENERAL.test(lower)) return { name: lower, bits: 64 };
  if (HALF.test(lower)) return { name: `x${lower.slice(1)}`, bits: 32 };
  return ALIASES.get(lower) ?? (SYSTEM.test(lower) ? { name: text.toUpperCase(), bits: 64 } : undefined);
}
