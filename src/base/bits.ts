/** Bit fields of 64-bit values, by the Arm ARM's `<high:low>` notation. */

/** The field `value<high:low>`, shifted down. Both ends are included. */
export function bits(value: bigint, high: number, low: number): bigint {
  return (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
}

/** The field `value<high:low>` as a number; the field is at most 32 bits wide. */
export function bitsNumber(value: bigint, high: number, low: number): number {
  return Number(bits(value, high, low));
}

/** Whether `value<position>` is 1. */
export function bit(value: bigint, position: number): boolean {
  return ((value >> BigInt(position)) & 1n) === 1n;
}
