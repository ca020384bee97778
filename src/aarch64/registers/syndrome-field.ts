/**
 * What the syndromes of several exception classes share.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, "ISS encoding for …". syndrome-fields.ts says how the fields are laid out.
 */
import { bit, bits, type RegisterField } from "./types.ts";

/** A field that is there only while `when` holds for the whole of ESR_ELx. */
export interface SyndromeField extends RegisterField {
  readonly when?: (esr: bigint) => boolean;
}

/** Gives a field its condition. */
export function only(field: RegisterField, when: (esr: bigint) => boolean): SyndromeField {
  return { ...field, when };
}

/** IFSC, DFSC or xFSC: bits [5:0]. */
export function statusCode(esr: bigint): number {
  return Number(esr & 0x3fn);
}

export function isBitSet(esr: bigint, position: bigint): boolean {
  return ((esr >> position) & 1n) === 1n;
}

/** Bits [17:16] and [14] of an abort and an SError (FEAT_RASv2, FEAT_PFAR). */
export const WRITE_UPDATE = bits(17, 16, "WU", "Write update: the location was", {
  "0b10": "not updated",
  "0b11": "updated",
});
export const PFV = bit(14, "PFV", "PFAR_ELx is valid", "no", "yes");
export const hasWriteUpdate = (esr: bigint): boolean => ((esr >> 16n) & 3n) !== 0n;

export const VNCR = bit(13, "VNCR", "Fault on an access through VNCR_EL2", "no", "yes");
export const CM = bit(8, "CM", "Cache maintenance or address translation instruction", "no", "yes");
export const S1PTW = bit(7, "S1PTW", "Stage 2 fault on a stage 1 table walk", "no", "yes");
export const WNR = bit(6, "WnR", "Write not Read", "read", "write");
