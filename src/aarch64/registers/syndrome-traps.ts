/**
 * Syndromes of trapped instructions: System registers, coprocessors, WFx, SME, ERET, LD64B and the like.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, "ISS encoding for an exception from …" of each.
 */
import { only, type SyndromeField } from "./syndrome-field.ts";
import { bit, bits } from "./types.ts";

export const CONDITION: readonly SyndromeField[] = [
  bit(24, "CV", "COND is valid", "no", "yes"),
  bits(23, 20, "COND", "Condition code of the trapped instruction"),
];

export const SYSTEM_REGISTER: readonly SyndromeField[] = [
  bits(21, 20, "Op0", "Op0 of the instruction"),
  bits(19, 17, "Op2", "Op2 of the instruction"),
  bits(16, 14, "Op1", "Op1 of the instruction"),
  bits(13, 10, "CRn", "CRn of the instruction"),
  bits(9, 5, "Rt", "General-purpose register of the transfer"),
  bits(4, 1, "CRm", "CRm of the instruction"),
  bit(0, "Direction", "Direction of the transfer", "write", "read"),
];

/** EC 0x14: MSRR, MRRS and SYSP. Rt names a pair of registers, X[2n] and X[2n + 1], by n. */
export const SYSTEM_REGISTER_128: readonly SyndromeField[] = [
  ...SYSTEM_REGISTER.filter((field) => field.name !== "Rt" && field.high > 9),
  bits(9, 6, "Rt", "Pair of general-purpose registers"),
  ...SYSTEM_REGISTER.filter((field) => field.high <= 4),
];

export const MCR_MRC: readonly SyndromeField[] = [
  ...CONDITION,
  bits(19, 17, "Opc2", "Opc2 of the instruction"),
  bits(16, 14, "Opc1", "Opc1 of the instruction"),
  bits(13, 10, "CRn", "CRn of the instruction"),
  bits(9, 5, "Rt", "General-purpose register of the transfer"),
  bits(4, 1, "CRm", "CRm of the instruction"),
  bit(0, "Direction", "Direction of the transfer", "write (MCR)", "read (MRC or VMRS)"),
];

export const MCRR_MRRC: readonly SyndromeField[] = [
  ...CONDITION,
  bits(19, 16, "Opc1", "Opc1 of the instruction"),
  bits(14, 10, "Rt2", "Second general-purpose register"),
  bits(9, 5, "Rt", "First general-purpose register"),
  bits(4, 1, "CRm", "CRm of the instruction"),
  bit(0, "Direction", "Direction of the transfer", "write (MCRR)", "read (MRRC)"),
];

export const LDC_STC: readonly SyndromeField[] = [
  ...CONDITION,
  bits(19, 12, "imm8", "Immediate of the instruction"),
  bits(9, 5, "Rn", "Base register"),
  bit(4, "Offset", "Offset is", "subtracted", "added"),
  bits(3, 1, "AM", "Addressing mode"),
  bit(0, "Direction", "Direction of the transfer", "write (STC)", "read (LDC)"),
];

export const WAIT: readonly SyndromeField[] = [
  ...CONDITION,
  bits(9, 5, "RN", "Register of WFET or WFIT; valid if RV is 1"),
  bit(2, "RV", "RN is valid", "no", "yes"),
  bits(1, 0, "TI", "Trapped instruction", { "0b00": "WFI", "0b01": "WFE", "0b10": "WFIT", "0b11": "WFET" }),
];

export const SME_TRAP: readonly SyndromeField[] = [
  bits(2, 0, "SMTC", "SME trap code", {
    "0b000": "SME trapped by a control register",
    "0b001": "illegal while PSTATE.SM is 1",
    "0b010": "illegal while PSTATE.SM is 0",
    "0b011": "illegal while PSTATE.ZA is 0",
    "0b100": "access to ZT0 trapped",
  }),
];

export const ERET_TRAP: readonly SyndromeField[] = [
  bit(1, "ERET", "Trapped instruction", "ERET", "ERETAA or ERETAB"),
  only(bit(0, "ERETA", "Which of the two", "ERETAA", "ERETAB"), (esr) => (esr & 2n) !== 0n),
];

export const OTHER_INSTRUCTION: readonly SyndromeField[] = [
  bits(24, 0, "ISS", "Instruction", {
    [`0b${"0".padStart(25, "0")}`]: "ST64BV",
    [`0b${"1".padStart(25, "0")}`]: "ST64BV0",
    [`0b${"10".padStart(25, "0")}`]: "LD64B or ST64B",
    [`0b${"11".padStart(25, "0")}`]: "TSB CSYNC",
    [`0b${"100".padStart(25, "0")}`]: "PSB CSYNC",
  }),
];
