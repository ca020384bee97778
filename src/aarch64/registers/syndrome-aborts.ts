/**
 * Syndromes of instruction aborts, data aborts, SErrors and Granule Protection Check exceptions.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, "ISS encoding for an exception from an Instruction Abort" and from a Data
 * Abort, "… for an SError exception" and "… from a Granule Protection Check", with their ISS2.
 */
import { faultStatus } from "./fault-status.ts";
import {
  CM,
  hasWriteUpdate,
  isBitSet,
  only,
  PFV,
  S1PTW,
  type SyndromeField,
  statusCode,
  VNCR,
  WNR,
  WRITE_UPDATE,
} from "./syndrome-field.ts";
import { bit, bits, generated } from "./types.ts";

const hasSyndrome = (esr: bigint): boolean => ((esr >> 24n) & 1n) === 1n;
const isExternalAbort = (esr: bigint): boolean => statusCode(esr) === 0b010000;
const hasIss2 = (esr: bigint): boolean => ((esr >> 32n) & 0xffffffn) !== 0n;

/** Load/Store Type (FEAT_LS64) is given with MMU faults other than address size faults; 0b00 is "not given". */
function hasLoadStoreType(esr: bigint): boolean {
  const code = statusCode(esr);
  const applies = (code >= 0b000100 && code <= 0b001111) || code === 0b101010 || code === 0b101011;
  return applies && (esr & 0x1800n) !== 0n;
}

const ERROR_STATE = {
  "0b00": "recoverable (UER)",
  "0b01": "reserved",
  "0b10": "uncontainable (UC)",
  "0b11": "restartable (UEO)",
} as const;

const SET = only(bits(12, 11, "SET", "Synchronous error type", ERROR_STATE), isExternalAbort);
const FNV = only(bit(10, "FnV", "FAR is valid", "FAR valid", "FAR not valid"), isExternalAbort);
const EA = bit(9, "EA", "External abort type (IMPLEMENTATION DEFINED)");
const IFSC = generated(5, 0, "IFSC", "Instruction fault status code", faultStatus);
const DFSC = generated(5, 0, "DFSC", "Data fault status code", faultStatus);

const ABORT_ISS2: readonly SyndromeField[] = [
  bit(39, "AssuredOnly", "Fault due to AssuredOnly (FEAT_THE)", "no", "yes"),
  bit(38, "Overlay", "Fault due to overlay permissions", "no", "yes"),
  bit(37, "DirtyBit", "Permission fault due to dirty state", "no", "yes"),
].map((field) => only(field, hasIss2));

export const INSTRUCTION_ABORT: readonly SyndromeField[] = [
  ...ABORT_ISS2,
  bit(21, "TopLevel", "Fault due to TopLevel (FEAT_THE)", "no", "yes"),
  only(PFV, (esr) => isBitSet(esr, 14n)),
  SET,
  FNV,
  EA,
  S1PTW,
  IFSC,
];

export const DATA_ABORT: readonly SyndromeField[] = [
  only(bit(43, "HDBSSF", "Fault due to the HDBSS", "no", "yes"), hasIss2),
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
  only(WRITE_UPDATE, (esr) => !hasSyndrome(esr) && isExternalAbort(esr) && hasWriteUpdate(esr)),
  only(bit(15, "SF", "Width of that register", "32 bits", "64 bits"), hasSyndrome),
  only(bit(15, "FnP", "FAR not Precise", "no", "yes"), (esr) => !hasSyndrome(esr) && isBitSet(esr, 15n)),
  only(bit(14, "AR", "Acquire/Release semantics", "no", "yes"), hasSyndrome),
  only(PFV, (esr) => !hasSyndrome(esr) && isBitSet(esr, 14n)),
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

const isImplementationDefined = (esr: bigint): boolean => ((esr >> 24n) & 1n) === 1n;
const isArchitected = (esr: bigint): boolean => !isImplementationDefined(esr);
const isAsynchronousError = (esr: bigint): boolean => isArchitected(esr) && statusCode(esr) === 0b010001;

/** A bit that FEAT_RASv2 or FEAT_PFAR has put into the syndrome of an SError, and that is set. */
const isLateError = (esr: bigint, bit: bigint): boolean => isAsynchronousError(esr) && isBitSet(esr, bit);

export const SERROR: readonly SyndromeField[] = [
  bit(24, "IDS", "Format of the syndrome", "architected", "IMPLEMENTATION DEFINED"),
  only(bits(23, 0, "IMPDEF", "IMPLEMENTATION DEFINED syndrome"), isImplementationDefined),
  only(bit(18, "ELS", "ELR_ELx is the cause (FEAT_RASv2)", "no", "yes"), (esr) => isLateError(esr, 18n)),
  only(WRITE_UPDATE, (esr) => isAsynchronousError(esr) && hasWriteUpdate(esr)),
  only(bit(15, "VFV", "FAR_ELx is valid", "no", "yes"), (esr) => isLateError(esr, 15n)),
  only(PFV, (esr) => isLateError(esr, 14n)),
  only(bit(13, "IESB", "Taken at an implicit error synchronization", "no", "yes"), isAsynchronousError),
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
  only(bit(7, "WnRV", "WnR is valid", "no", "yes"), (esr) => isLateError(esr, 7n)),
  only(WNR, (esr) => isLateError(esr, 7n)),
  only(
    bits(5, 0, "DFSC", "Data fault status code", {
      "0b000000": "uncategorized error",
      "0b010001": "asynchronous SError exception",
    }),
    isArchitected,
  ),
];

export const GRANULE_PROTECTION: readonly SyndromeField[] = [
  bit(21, "S2PTW", "Fault on a stage 2 table walk", "no", "yes"),
  bit(20, "InD", "Kind of access", "data", "instruction"),
  bits(19, 14, "GPCSC", "Granule Protection Check status code", {
    "0b000000": "GPT address size fault, level 0",
    "0b000100": "GPT walk fault, level 0",
    "0b000101": "GPT walk fault, level 1",
    "0b001100": "Granule Protection Fault, level 0",
    "0b001101": "Granule Protection Fault, level 1",
    "0b010100": "synchronous External abort on GPT fetch, level 0",
    "0b010101": "synchronous External abort on GPT fetch, level 1",
  }),
  VNCR,
  CM,
  S1PTW,
  WNR,
  generated(5, 0, "xFSC", "Fault status code", faultStatus),
];
