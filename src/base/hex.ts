/** Numbers and bytes as the text that users, JSON and the remote protocol see. */
import { latin1 } from "./text.ts";

/** `"0x…"`, lower case, no padding: the form of every address and 64-bit value in ebscope's output. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** `0x` and 16 digits, for columns of addresses that people read. */
export function hex16(value: bigint): string {
  return `0x${value.toString(16).padStart(16, "0")}`;
}

/** Parses `0x…` or decimal digits; undefined for anything else or more than 64 bits. */
export function parseInteger(text: string): bigint | undefined {
  if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,20})$/i.test(text)) return undefined;
  const value = BigInt(text);
  return value < 1n << 64n ? value : undefined;
}

/** Bytes as lower-case hex digits, two a byte. */
export function hexOfBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** Bytes from hex digits; undefined when the text is not whole pairs of hex digits. */
export function bytesOfHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined;
  const bytes = Buffer.from(text, "hex");
  return bytes.length * 2 === text.length ? bytes : undefined;
}

/** The value of each byte as a hex digit, -1 for what is none. */
const DIGIT_VALUES = new Int8Array(256).fill(-1);
for (const [value, digit] of [..."0123456789abcdef"].entries()) {
  DIGIT_VALUES[digit.charCodeAt(0)] = value;
  DIGIT_VALUES[digit.toUpperCase().charCodeAt(0)] = value;
}

/** Bytes from hex digits as they came over the wire; undefined when they are not whole pairs of hex digits. */
export function bytesOfDigits(digits: Uint8Array): Uint8Array | undefined {
  const bytes = new Uint8Array(digits.length >> 1);
  return decodeDigits(digits, bytes, 0) ? bytes : undefined;
}

/** From so many digits on the way by a string is quicker. */
const MANY_DIGITS = 64;

/**
 * Writes the bytes that the digits stand for at `at`; false when they are not whole pairs of hex digits or do not fit. What stands there
 * then is of no use.
 */
export function decodeDigits(digits: Uint8Array, into: Uint8Array, at: number): boolean {
  const length = digits.length / 2;
  if (digits.length % 2 !== 0 || at + length > into.length) return false;
  if (digits.length >= MANY_DIGITS) return bufferOver(into).write(latin1(digits), at, "hex") === length;
  // Negative once one of them was.
  let all = 0;
  for (let i = 0; i < digits.length; i += 2) {
    const high = DIGIT_VALUES[digits[i] as number] as number;
    const value = (high << 4) | (DIGIT_VALUES[digits[i + 1] as number] as number);
    all |= value;
    into[at + i / 2] = value;
  }
  return all >= 0;
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const UNITS: readonly (readonly [bigint, string])[] = [
  [1n << 40n, "TiB"],
  [1n << 30n, "GiB"],
  [1n << 20n, "MiB"],
  [1n << 10n, "KiB"],
];

/** A size for orientation, three digits of it: `2.19 MiB`, `515 GiB`. */
export function roughSize(size: bigint): string {
  const [unit, name] = UNITS.find(([each]) => size >= each) ?? [1n, "B"];
  const value = Number(size) / Number(unit);
  return `${Number.isInteger(value) ? value : value.toPrecision(3)} ${name}`;
}

/** A size in the largest binary unit that divides it: `64 KiB`, `1028 KiB`, `17 B`. */
export function sizeText(size: bigint): string {
  for (const [unit, name] of UNITS) {
    if (size >= unit && size % unit === 0n) return `${size / unit} ${name}`;
  }
  return `${size} B`;
}
