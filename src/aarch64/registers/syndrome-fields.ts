/**
 * The inside of ESR_ELx.ISS and ISS2, for each exception class.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, ESR_EL2, ESR_EL3, "ISS encoding for …" and "ISS2 encoding for …". Positions
 * are those in ESR_ELx: ISS is [24:0], ISS2 is [55:32]. Some bits have a meaning only while others have a value; such a
 * field has `when`. Left out: WU, FnP and PFV of aborts, VFV, PFV, IESB, WnRV and WnR of SError, VECITR of
 * floating-point exceptions, and the ISS of EC 0x14, 0x1f and 0x3d.
 */
import { FAULT_STATUS_VALUES } from "./fault-status.ts";
import { bit, bits, type RegisterField } from "./types.ts";

/** A field that is there only while `when` holds for the whole of ESR_ELx. */
export interface SyndromeField extends RegisterField {
  readonly when?: (esr: bigint) => boolean;
}

function only(field: RegisterField, when: (esr: bigint) => boolean): SyndromeField {
  return { ...field, when };
}

function statusCode(esr: bigint): number {
  return Number(esr & 0x3fn);
}

const hasSyndrome = (esr: bigint): boolean => ((esr >> 24n) & 1n) === 1n;
const isExternalAbort = (esr: bigint): boolean => statusCode(esr) === 0b010000;
const hasIss2 = (esr: bigint): boolean => ((esr >> 32n) & 0xffffffn) !== 0n;

/** Load/Store Type (FEAT_LS64) is given with MMU faults other than address size faults; 0b00 is "not given". */
function hasLoadStoreType(esr: bigint): boolean {
  const code = statusCode(esr);
  const applies = (code >= 0b000100 && code <= 0b001111) || code === 0b101010 || code === 0b101011;
  return applies && (esr & 0x1800n) !== 0n;
}

const CONDITION: readonly SyndromeField[] = [
  bit(24, "CV", "COND is valid", "no", "yes"),
  bits(23, 20, "COND", "Condition code of the trapped instruction"),
];

const ERROR_STATE = {
  "0b00": "recoverable (UER)",
  "0b01": "reserved",
  "0b10": "uncontainable (UC)",
  "0b11": "restartable (UEO)",
} as const;

const VNCR = bit(13, "VNCR", "Fault on an access through VNCR_EL2", "no", "yes");
const SET = only(bits(12, 11, "SET", "Synchronous error type", ERROR_STATE), isExternalAbort);
const FNV = only(bit(10, "FnV", "FAR is valid", "FAR valid", "FAR not valid"), isExternalAbort);
const EA = bit(9, "EA", "External abort type (IMPLEMENTATION DEFINED)");
const CM = bit(8, "CM", "Cache maintenance or address translation instruction", "no", "yes");
const S1PTW = bit(7, "S1PTW", "Stage 2 fault on a stage 1 table walk", "no", "yes");
const WNR = bit(6, "WnR", "Write not Read", "read", "write");
const IFSC = bits(5, 0, "IFSC", "Instruction fault status code", FAULT_STATUS_VALUES);
const DFSC = bits(5, 0, "DFSC", "Data fault status code", FAULT_STATUS_VALUES);

const ABORT_ISS2: readonly SyndromeField[] = [
  bit(39, "AssuredOnly", "Fault due to AssuredOnly (FEAT_THE)", "no", "yes"),
  bit(38, "Overlay", "Fault due to overlay permissions", "no", "yes"),
  bit(37, "DirtyBit", "Permission fault due to dirty state", "no", "yes"),
].map((field) => only(field, hasIss2));

const INSTRUCTION_ABORT: readonly SyndromeField[] = [
  ...ABORT_ISS2,
  bit(21, "TopLevel", "Fault due to TopLevel (FEAT_THE)", "no", "yes"),
  SET,
  FNV,
  EA,
  S1PTW,
  IFSC,
];

const DATA_ABORT: readonly SyndromeField[] = [
  only(bit(42, "TnD", "Tag not Data: fault on an Allocation Tag", "no", "yes"), hasIss2),
  only(bit(41, "TagAccess", "Fault due to NoTagAccess", "no", "yes"), hasIss2),
  only(bit(40, "GCS", "Guarded Control Stack access", "no", "yes"), hasIss2),
  ...ABORT_ISS2,
  only(bits(36, 32, "Xs", "Status register of ST64BV, ST64BV0"), hasIss2),
  bit(24, "ISV", "SAS, SSE, SRT, SF and AR are valid", "no", "yes"),
  only(
    bits(23, 22, "SAS", "Size of the access", {
      "0b00": "byte",
      "0b01": "halfword",
      "0b10": "word",
      "0b11": "doubleword",
    }),
    hasSyndrome,
  ),
  only(bit(21, "SSE", "Sign extension of the loaded value", "no", "yes"), hasSyndrome),
  only(bit(21, "TopLevel", "Fault due to TopLevel (FEAT_THE)", "no", "yes"), (esr) => !hasSyndrome(esr)),
  only(bits(20, 16, "SRT", "Register of the access"), hasSyndrome),
  only(bit(15, "SF", "Width of that register", "32 bits", "64 bits"), hasSyndrome),
  only(bit(14, "AR", "Acquire/Release semantics", "no", "yes"), hasSyndrome),
  VNCR,
  SET,
  only(
    bits(12, 11, "LST", "Load/Store Type (FEAT_LS64)", {
      "0b01": "ST64BV",
      "0b10": "LD64B or ST64B",
      "0b11": "ST64BV0",
    }),
    hasLoadStoreType,
  ),
  FNV,
  EA,
  CM,
  S1PTW,
  WNR,
  DFSC,
];

const SYSTEM_REGISTER: readonly SyndromeField[] = [
  bits(21, 20, "Op0", "Op0 of the instruction"),
  bits(19, 17, "Op2", "Op2 of the instruction"),
  bits(16, 14, "Op1", "Op1 of the instruction"),
  bits(13, 10, "CRn", "CRn of the instruction"),
  bits(9, 5, "Rt", "General-purpose register of the transfer"),
  bits(4, 1, "CRm", "CRm of the instruction"),
  bit(0, "Direction", "Direction of the transfer", "write", "read"),
];

const MCR_MRC: readonly SyndromeField[] = [
  ...CONDITION,
  bits(19, 17, "Opc2", "Opc2 of the instruction"),
  bits(16, 14, "Opc1", "Opc1 of the instruction"),
  bits(13, 10, "CRn", "CRn of the instruction"),
  bits(9, 5, "Rt", "General-purpose register of the transfer"),
  bits(4, 1, "CRm", "CRm of the instruction"),
  bit(0, "Direction", "Direction of the transfer", "write (MCR)", "read (MRC or VMRS)"),
];

const MCRR_MRRC: readonly SyndromeField[] = [
  ...CONDITION,
  bits(19, 16, "Opc1", "Opc1 of the instruction"),
  bits(14, 10, "Rt2", "Second general-purpose register"),
  bits(9, 5, "Rt", "First general-purpose register"),
  bits(4, 1, "CRm", "CRm of the instruction"),
  bit(0, "Direction", "Direction of the transfer", "write (MCRR)", "read (MRRC)"),
];

const LDC_STC: readonly SyndromeField[] = [
  ...CONDITION,
  bits(19, 12, "imm8", "Immediate of the instruction"),
  bits(9, 5, "Rn", "Base register"),
  bit(4, "Offset", "Offset is", "subtracted", "added"),
  bits(3, 1, "AM", "Addressing mode"),
  bit(0, "Direction", "Direction of the transfer", "write (STC)", "read (LDC)"),
];

const IMMEDIATE: readonly SyndromeField[] = [bits(15, 0, "imm16", "Immediate of the instruction")];
const COMMENT: readonly SyndromeField[] = [bits(15, 0, "Comment", "Comment field of the instruction")];

const FLOATING_POINT: readonly SyndromeField[] = [
  bit(23, "TFV", "The exception bits are valid", "no", "yes"),
  bit(7, "IDF", "Input Denormal", "did not occur", "occurred"),
  bit(4, "IXF", "Inexact", "did not occur", "occurred"),
  bit(3, "UFF", "Underflow", "did not occur", "occurred"),
  bit(2, "OFF", "Overflow", "did not occur", "occurred"),
  bit(1, "DZF", "Divide by Zero", "did not occur", "occurred"),
  bit(0, "IOF", "Invalid Operation", "did not occur", "occurred"),
];

const isImplementationDefined = (esr: bigint): boolean => ((esr >> 24n) & 1n) === 1n;
const isArchitected = (esr: bigint): boolean => !isImplementationDefined(esr);
const isAsynchronousError = (esr: bigint): boolean => isArchitected(esr) && statusCode(esr) === 0b010001;

const SERROR: readonly SyndromeField[] = [
  bit(24, "IDS", "Format of the syndrome", "architected", "IMPLEMENTATION DEFINED"),
  only(bits(23, 0, "IMPDEF", "IMPLEMENTATION DEFINED syndrome"), isImplementationDefined),
  only(
    bits(12, 10, "AET", "Asynchronous error type", {
      "0b000": "uncontainable (UC)",
      "0b001": "unrecoverable (UEU)",
      "0b010": "restartable (UEO)",
      "0b011": "recoverable (UER)",
      "0b110": "corrected (CE)",
    }),
    isAsynchronousError,
  ),
  only(bit(9, "EA", "External abort type (IMPLEMENTATION DEFINED)"), isAsynchronousError),
  only(
    bits(5, 0, "DFSC", "Data fault status code", {
      "0b000000": "uncategorized error",
      "0b010001": "asynchronous SError exception",
    }),
    isArchitected,
  ),
];

const DEBUG_STATUS = { "0b100010": "debug exception" } as const;
const BREAKPOINT: readonly SyndromeField[] = [bits(5, 0, "IFSC", "Instruction fault status code", DEBUG_STATUS)];

const SOFTWARE_STEP: readonly SyndromeField[] = [
  bit(24, "ISV", "EX is valid", "no", "yes"),
  only(bit(6, "EX", "Stepped instruction", "not a Load-Exclusive", "Load-Exclusive"), hasSyndrome),
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

const WAIT: readonly SyndromeField[] = [
  ...CONDITION,
  bits(9, 5, "RN", "Register of WFET or WFIT; valid if RV is 1"),
  bit(2, "RV", "RN is valid", "no", "yes"),
  bits(1, 0, "TI", "Trapped instruction", { "0b00": "WFI", "0b01": "WFE", "0b10": "WFIT", "0b11": "WFET" }),
];

const GRANULE_PROTECTION: readonly SyndromeField[] = [
  bit(21, "S2PTW", "Fault on a stage 2 table walk", "no", "yes"),
  bit(20, "InD", "Kind of access", "data", "instruction"),
  bits(19, 14, "GPCSC", "Granule Protection Check status code"),
  VNCR,
  CM,
  S1PTW,
  WNR,
  bits(5, 0, "xFSC", "Fault status code", FAULT_STATUS_VALUES),
];

const SME_TRAP: readonly SyndromeField[] = [
  bits(2, 0, "SMTC", "SME trap code", {
    "0b000": "SME trapped by a control register",
    "0b001": "illegal while PSTATE.SM is 1",
    "0b010": "illegal while PSTATE.SM is 0",
    "0b011": "illegal while PSTATE.ZA is 0",
    "0b100": "access to ZT0 trapped",
  }),
];

const ERET_TRAP: readonly SyndromeField[] = [
  bit(1, "ERET", "Trapped instruction", "ERET", "ERETAA or ERETAB"),
  only(bit(0, "ERETA", "Which of the two", "ERETAA", "ERETAB"), (esr) => (esr & 2n) !== 0n),
];

const AUTHENTICATION_FAILURE: readonly SyndromeField[] = [
  bit(1, "DnI", "Kind of key", "Instruction key", "Data key"),
  bit(0, "BnA", "Key", "A key", "B key"),
];

const OTHER_INSTRUCTION: readonly SyndromeField[] = [
  bits(24, 0, "ISS", "Instruction", {
    [`0b${"0".padStart(25, "0")}`]: "ST64BV",
    [`0b${"1".padStart(25, "0")}`]: "ST64BV0",
    [`0b${"10".padStart(25, "0")}`]: "LD64B or ST64B",
    [`0b${"11".padStart(25, "0")}`]: "TSB CSYNC",
    [`0b${"100".padStart(25, "0")}`]: "PSB CSYNC",
  }),
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
  [0x15, IMMEDIATE],
  [0x16, IMMEDIATE],
  [0x17, IMMEDIATE],
  [0x18, SYSTEM_REGISTER],
  [0x1a, ERET_TRAP],
  [0x1b, [bits(9, 5, "Rd", "Destination register of the instruction")]],
  [0x1c, AUTHENTICATION_FAILURE],
  [0x1d, SME_TRAP],
  [0x1e, GRANULE_PROTECTION],
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
