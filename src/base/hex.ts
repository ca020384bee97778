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

/** From so many digits on views of words are worth their price. */
const MANY_DIGITS = 64;

/**
 * Writes the bytes that the digits stand for at `at`; false when they are not whole pairs of hex digits or do not fit. What stands there
 * then is of no use.
 */
export function decodeDigits(digits: Uint8Array, into: Uint8Array, at: number): boolean {
  const length = digits.length / 2;
  if (digits.length % 2 !== 0 || at + length > into.length) return false;
  if (digits.length < MANY_DIGITS) return decodePairs(digits, into, at);
  if (!LITTLE_ENDIAN || length % 4 !== 0 || (into.byteOffset + at) % 4 !== 0) {
    return bufferOver(into).write(latin1(digits), at, "hex") === length;
  }
  const words = new Int32Array(into.buffer, into.byteOffset + at, length / 4);
  const { buffer, byteOffset } = digits;
  if (byteOffset % 2 === 0) return decodeEven(new Uint16Array(buffer, byteOffset, length), words);
  // The pairs lie across the halves of words: one more of those, which ends a byte after the digits.
  const around = byteOffset + digits.length < buffer.byteLength;
  return around ? decodeOdd(new Uint16Array(buffer, byteOffset - 1, length + 1), words) : decodePairs(digits, into, at);
}

function decodePairs(digits: Uint8Array, into: Uint8Array, at: number): boolean {
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

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The byte that two digits stand for, by both as they lie in memory, read as a little-endian number; -1 when one is none. */
const PAIR_VALUES = new Int16Array(1 << 16).fill(-1);
const DIGITS = [...DIGIT_VALUES.keys()].filter((digit) => (DIGIT_VALUES[digit] as number) >= 0);
for (const high of DIGITS) {
  for (const low of DIGITS) {
    PAIR_VALUES[high | (low << 8)] = ((DIGIT_VALUES[high] as number) << 4) | (DIGIT_VALUES[low] as number);
  }
}

/** Pairs as numbers to four bytes at a time. */
function decodeEven(pairs: Uint16Array, into: Int32Array): boolean {
  let all = 0;
  for (let i = 0, from = 0; i < into.length; i++, from += 4) {
    const a = PAIR_VALUES[pairs[from] as number] as number;
    const b = PAIR_VALUES[pairs[from + 1] as number] as number;
    const c = PAIR_VALUES[pairs[from + 2] as number] as number;
    const d = PAIR_VALUES[pairs[from + 3] as number] as number;
    all |= a | b | c | d;
    into[i] = a | (b << 8) | (c << 16) | (d << 24);
  }
  return all >= 0;
}

/** The same where a pair is the upper half of one number and the lower half of the next. */
function decodeOdd(halves: Uint16Array, into: Int32Array): boolean {
  let all = 0;
  let first = halves[0] as number;
  for (let i = 0, from = 1; i < into.length; i++, from += 4) {
    const second = halves[from] as number;
    const third = halves[from + 1] as number;
    const fourth = halves[from + 2] as number;
    const last = halves[from + 3] as number;
    const a = PAIR_VALUES[(first >> 8) | ((second & 0xff) << 8)] as number;
    const b = PAIR_VALUES[(second >> 8) | ((third & 0xff) << 8)] as number;
    const c = PAIR_VALUES[(third >> 8) | ((fourth & 0xff) << 8)] as number;
    const d = PAIR_VALUES[(fourth >> 8) | ((last & 0xff) << 8)] as number;
    all |= a | b | c | d;
    into[i] = a | (b << 8) | (c << 16) | (d << 24);
    first = last;
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
  // From 999.5 on three digits would be written as a power of ten.
  return `${Number.isInteger(value) ? value : value < 999.5 ? value.toPrecision(3) : Math.round(value)} ${name}`;
}

/** A size in the largest binary unit that divides it: `64 KiB`, `1028 KiB`, `17 B`. */
export function sizeText(size: bigint): string {
  for (const [unit, name] of UNITS) {
    if (size >= unit && size % unit === 0n) return `${size / unit} ${name}`;
  }
  return `${size} B`;
}
