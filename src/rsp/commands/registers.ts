/**
 * Registers: `g` and `G` all at once, `p` and `P` one by number.
 *
 * Source: "Debugging with GDB", appendix E, Packets. Values are bytes in target byte order, two hex digits each. Which registers `g`
 * holds, and how wide they are, is told by the target description (or known beforehand); `x` in place of every digit of a register says
 * that the stub has no value for it now.
 *
 * Quirks: QEMU 7.2 answers `p` with nothing until target.xml was read on the connection; QEMU's `g` holds the core registers only (`x0` to
 * `cpsr`), and writes of system registers are answered with `OK` and ignored. gdbserver 13 has neither `p` nor `P`. lldb-server's `g` is laid
 * out by the `offset` attributes of its description.
 */
import { bytesOfHex, hexOfBytes } from "../../base/hex.ts";
import type { RegisterRead } from "../../base/registers.ts";
import { latin1 } from "../../base/text.ts";
import { type Command, decodeReply } from "../command.ts";
import { badArgument, type Done, decodeDone, hexNumber } from "./wire.ts";

/** A register's bytes in target byte order, or `unavailable`: the stub has no value for it now. */
export type RegisterValue = Exclude<RegisterRead, { state: "unreadable" }>;

const UNAVAILABLE: RegisterValue = { state: "unavailable" };
/** Wider than any register there is: SME's ZA takes 64 KiB. */
const MAX_REGISTER_BYTES = 1 << 17;

/**
 * `g`. `sizes` are the registers' widths in bytes, in the order of their numbers. The value may hold fewer registers than that: the others
 * are read with `p`. A reply that ends inside a register, or is longer than all of them, is `malformed`.
 */
export function readRegisters(sizes: readonly number[]): Command<readonly RegisterValue[]> {
  if (sizes.length === 0 || !sizes.every(isSize)) throw badArgument("a register has no usable width");
  return {
    payload: "g",
    label: "reading the registers",
    decode: (reply) => decodeReply(reply, (bytes) => splitRegisters(latin1(bytes), sizes)),
  };
}

function isSize(bytes: number): boolean {
  return Number.isInteger(bytes) && bytes >= 1 && bytes <= MAX_REGISTER_BYTES;
}

function splitRegisters(text: string, sizes: readonly number[]): RegisterValue[] | undefined {
  const values: RegisterValue[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at === text.length) break;
    const value = registerValue(text.slice(at, at + 2 * size), size);
    if (value === undefined) return undefined;
    values.push(value);
    at += 2 * size;
  }
  return at === text.length ? values : undefined;
}

function registerValue(digits: string, size: number): RegisterValue | undefined {
  if (digits.length !== 2 * size) return undefined;
  if (/^x+$/.test(digits)) return UNAVAILABLE;
  const bytes = bytesOfHex(digits);
  return bytes === undefined ? undefined : { state: "present", bytes };
}

/** `G`: the bytes of all registers that `g` holds, in their order. */
export function writeRegisters(bytes: Uint8Array): Command<Done> {
  if (bytes.length === 0) throw badArgument("there are no registers to write");
  return { payload: `G${hexOfBytes(bytes)}`, label: "writing the registers", decode: decodeDone };
}

/** `p`. When the register's width in bytes is given, a reply of another one is `malformed`. */
export function readRegister(number: number, size?: number): Command<RegisterValue> {
  if (size !== undefined && !isSize(size)) throw badArgument("the register has no usable width");
  return {
    payload: `p${hexNumber(number, "the register")}`,
    label: () => `reading register ${number}`,
    decode: (reply) => decodeReply(reply, (bytes) => oneRegister(bytes, size ?? bytes.length / 2)),
  };
}

function oneRegister(reply: Uint8Array, size: number): RegisterValue | undefined {
  return isSize(size) && reply.length === 2 * size ? registerValue(latin1(reply), size) : undefined;
}

/** `P`: the register's bytes in target byte order. */
export function writeRegister(number: number, bytes: Uint8Array): Command<Done> {
  if (bytes.length === 0) throw badArgument("the register has no bytes");
  return {
    payload: `P${hexNumber(number, "the register")}=${hexOfBytes(bytes)}`,
    label: () => `writing register ${number}`,
    decode: decodeDone,
  };
}
