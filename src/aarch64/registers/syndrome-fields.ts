/**
 * The inside of ESR_ELx.ISS and ISS2, for each exception class.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, ESR_EL2, ESR_EL3, "ISS encoding for …" and "ISS2 encoding for …". Positions
 * are those in ESR_ELx: ISS is [24:0], ISS2 is [55:32]. Some bits have a meaning only while others have a value; such
 * a field has `when`. Fields of late extensions (ISS2, and what FEAT_RASv2, FEAT_PFAR and FEAT_MOPS put into bits that
 * were reserved) are given only while they are not 0, as most PEs never set them.
 */
import { DATA_ABORT, GRANULE_PROTECTION, INSTRUCTION_ABORT, SERROR } from "./syndrome-aborts.ts";
import { isBitSet, only, type SyndromeField, VNCR, WNR } from "./syndrome-field.ts";
import {
  CONDITION,
  ERET_TRAP,
  LDC_STC,
  MCR_MRC,
  MCRR_MRRC,
  OTHER_INSTRUCTION,
  SME_TRAP,
  SYSTEM_REGISTER,
  SYSTEM_REGISTER_128,
  WAIT,
} from "./syndrome-traps.ts";
import { bit, bits } from "./types.ts";

const IMMEDIATE: readonly SyndromeField[] = [bits(15, 0, "imm16", "Immediate of the instruction")];
const COMMENT: readonly SyndromeField[] = [bits(15, 0, "Comment", "Comment field of the instruction")];

const FLOATING_POINT: readonly SyndromeField[] = [
  bit(23, "TFV", "The exception bits are valid", "no", "yes"),
  bits(10, 8, "VECITR", "Always 0b111 from AArch32; UNKNOWN from AArch64"),
  bit(7, "IDF", "Input Denormal", "did not occur", "occurred"),
  bit(4, "IXF", "Inexact", "did not occur", "occurred"),
  bit(3, "UFF", "Underflow", "did not occur", "occurred"),
  bit(2, "OFF", "Overflow", "did not occur", "occurred"),
  bit(1, "DZF", "Divide by Zero", "did not occur", "occurred"),
  bit(0, "IOF", "Invalid Operation", "did not occur", "occurred"),
];

const DEBUG_STATUS = { "0b100010": "debug exception" } as const;
const BREAKPOINT: readonly SyndromeField[] = [bits(5, 0, "IFSC", "Instruction fault status code", DEBUG_STATUS)];

const SOFTWARE_STEP: readonly SyndromeField[] = [
  bit(24, "ISV", "EX is valid", "no", "yes"),
  only(bit(6, "EX", "Stepped instruction", "not a Load-Exclusive", "Load-Exclusive"), (esr) => isBitSet(esr, 24n)),
  ...BREAKPOINT,
];

const WATCHPOINT: readonly SyndromeField[] = [
  bits(23, 18, "WPT", "Number of the watchpoint; valid if WPTV is 1"),
  bit(17, "WPTV", "WPT is valid", "no", "yes"),
  bit(16, "WPF", "Watchpoint might be a false positive", "no", "yes"),
  bit(15, "FnP", "FAR not Precise", "no", "yes"),
  VNCR,
  bit(10, "FnV", "FAR is valid", "FAR valid", "FAR not valid"),
  bit(8, "CM", "Cache maintenance instruction", "no", "yes"),
  WNR,
  bits(5, 0, "DFSC", "Data fault status code", DEBUG_STATUS),
];

const MEMORY_OPERATION: readonly SyndromeField[] = [
  bit(24, "MemInst", "Class of the instruction", "CPY*", "SET*"),
  bit(23, "isSETG", "SETG* instruction", "no", "yes"),
  bits(22, 19, "Options", "Options field of the instruction"),
  bit(18, "FromEpilogue", "From an epilogue instruction", "no", "yes"),
  bit(17, "WrongOption", "Wrong algorithm option", "no", "yes"),
  bit(16, "OptionA", "Algorithm option of PSTATE.C", "Option B", "Option A"),
  bits(14, 10, "destreg", "Register with the destination"),
  bits(9, 5, "srcreg", "Register with the source"),
  bits(4, 0, "sizereg", "Register with the size"),
];

const gcsType = (esr: bigint): number => Number((esr >> 20n) & 0xfn);

const GUARDED_CONTROL_STACK: readonly SyndromeField[] = [
  bits(23, 20, "ExType", "Type of the exception", {
    "0b0000": "data check",
    "0b0001": "EXLOCK",
    "0b0010": "GCSSTR or GCSSTTR instruction",
  }),
  only(bits(14, 10, "Raddr", "Register with the address"), (esr) => gcsType(esr) === 2),
  only(bits(9, 5, "Rvalue", "Register with the value"), (esr) => gcsType(esr) === 2),
  only(bits(9, 5, "Rn", "Register of the instruction"), (esr) => gcsType(esr) === 0),
  only(
    bits(4, 0, "IT", "Type of the instruction", {
      "0b00000": "RET",
      "0b00001": "GCSPOPM",
      "0b00010": "RETAA or RETAASPPC",
      "0b00011": "RETAB or RETABSPPC",
      "0b00100": "GCSSS1",
      "0b00101": "GCSSS2",
      "0b00110": "GCSPOPCX",
      "0b00111": "GCSPOPX",
    }),
    (esr) => gcsType(esr) === 0,
  ),
];

const AUTHENTICATION_FAILURE: readonly SyndromeField[] = [
  bit(1, "DnI", "Kind of key", "Instruction key", "Data key"),
  bit(0, "BnA", "Key", "A key", "B key"),
];

const PROFILING: readonly SyndromeField[] = [
  bits(5, 1, "FSC", "Why the exception was generated"),
  bit(0, "SYNC", "Exception was taken", "asynchronously", "synchronously"),
];

const BY_CLASS: ReadonlyMap<number, readonly SyndromeField[]> = new Map([
  [0x01, WAIT],
  [0x03, MCR_MRC],
  [0x04, MCRR_MRRC],
  [0x05, MCR_MRC],
  [0x06, LDC_STC],
  [0x07, CONDITION],
  [0x08, MCR_MRC],
  [0x0a, OTHER_INSTRUCTION],
  [0x0c, MCRR_MRRC],
  [0x0d, [bits(1, 0, "BTYPE", "PSTATE.BTYPE that caused the exception")]],
  [0x11, IMMEDIATE],
  [0x12, IMMEDIATE],
  [0x13, [...CONDITION, bit(19, "CCKNOWNPASS", "Instruction passed its condition", "yes", "may have failed")]],
  [0x14, SYSTEM_REGISTER_128],
  [0x15, IMMEDIATE],
  [0x16, IMMEDIATE],
  [0x17, IMMEDIATE],
  [0x18, SYSTEM_REGISTER],
  [0x1a, ERET_TRAP],
  [0x1b, [bits(9, 5, "Rd", "Destination register of the instruction")]],
  [0x1c, AUTHENTICATION_FAILURE],
  [0x1d, SME_TRAP],
  [0x1e, GRANULE_PROTECTION],
  [0x1f, [bits(24, 0, "IMPDEF", "IMPLEMENTATION DEFINED syndrome")]],
  [0x20, INSTRUCTION_ABORT],
  [0x21, INSTRUCTION_ABORT],
  [0x24, DATA_ABORT],
  [0x25, DATA_ABORT],
  [0x27, MEMORY_OPERATION],
  [0x28, FLOATING_POINT],
  [0x2c, FLOATING_POINT],
  [0x2d, GUARDED_CONTROL_STACK],
  [0x2f, SERROR],
  [0x30, BREAKPOINT],
  [0x31, BREAKPOINT],
  [0x32, SOFTWARE_STEP],
  [0x33, SOFTWARE_STEP],
  [0x34, WATCHPOINT],
  [0x35, WATCHPOINT],
  [0x38, COMMENT],
  [0x3a, BREAKPOINT],
  [0x3c, COMMENT],
  [0x3d, PROFILING],
]);

/**
 * The fields of ISS and ISS2 that apply to a value of ESR_ELx; `[]` for a class without an ISS. Source: Arm ARM DDI
 * 0487, D24.2 ESR_ELx.
 */
export function syndromeFields(esr: bigint): readonly SyndromeField[] {
  const ec = Number((esr >> 26n) & 0x3fn);
  return (BY_CLASS.get(ec) ?? []).filter((field) => field.when?.(esr) ?? true);
}

/** Every field of every class, for tests of the tables. */
export function allSyndromeFields(): readonly (readonly [ec: number, fields: readonly SyndromeField[]])[] {
  return [...BY_CLASS];
}
