/**
 * The shape of an identification field: four bits that count up with each feature.
 *
 * Source: Arm ARM DDI 0487, D24.1, principles of the ID scheme for fields in ID registers.
 */
import { bits, type RegisterField, valueKey } from "./types.ts";

/** A four-bit field `[low + 3:low]`; `words` are for the values 0, 1, 2, … and `null` leaves a value without words. */
export function feature(
  low: number,
  name: string,
  meaning: string,
  ...words: readonly (string | null)[]
): RegisterField {
  const values: Record<string, string> = {};
  for (const [value, word] of words.entries()) if (word !== null) values[valueKey(value, 4)] = word;
  return bits(low + 3, low, name, meaning, values);
}

/** A field whose 0b1111 means "not implemented". */
export function signedFeature(low: number, name: string, meaning: string, ...words: readonly string[]): RegisterField {
  const field = feature(low, name, meaning, ...words);
  return { ...field, values: { ...field.values, "0b1111": NO } };
}

export const NO = "not implemented";
export const YES = "implemented";
export const LEVEL_STATES = [NO, "AArch64 only", "AArch64 and AArch32"] as const;
