/**
 * Where a vCPU executes: its pc, or where it was when it took the exception whose vector it has just entered.
 *
 * Source: Arm ARM DDI 0487, D1.4.1 "Exception vectors" and "Exception entry": at the entry of a vector ELR_ELx has the address to return
 * to (the instruction that faulted), SPSR_ELx the state before, of which M<3:2> is the Exception level and M<0> whether SP_ELx was
 * in use; x0 to x30 are untouched.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import { bit, bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import { currentExceptionLevel } from "./machine-state.ts";

export interface Context {
  readonly pc: VirtAddr;
  readonly sp: VirtAddr | undefined;
  /** x29 */
  readonly fp: VirtAddr | undefined;
  /** x30 */
  readonly lr: VirtAddr | undefined;
  /** Whether this is the state that an exception was taken from. */
  readonly exception: boolean;
  /** The Exception level of that code; undefined when only SPSR_ELx could tell and it could not be read. */
  readonly level: number | undefined;
}

/** The size of the 16 vectors and the distance from one to the next. */
const VECTORS_BYTES = 0x800n;
const VECTOR_BYTES = 0x80n;
const FROM_LOWER_LEVEL = 0x400n;

/** Undefined in AArch32 state, when that is where the exception came from, and without a pc. */
export function contextOf(registers: Registers): Context | undefined {
  const level = currentExceptionLevel(registers);
  const pc = address(registers, "pc");
  if (level === undefined || pc === undefined) return undefined;
  const shared = { fp: address(registers, "x29"), lr: address(registers, "x30") };
  const offset = pc - (registers.get(`VBAR_EL${level}`) ?? pc + 1n);
  if (offset < 0n || offset >= VECTORS_BYTES || offset % VECTOR_BYTES !== 0n) {
    return { pc, sp: address(registers, "sp"), ...shared, exception: false, level };
  }
  const elr = address(registers, `ELR_EL${level}`);
  const spsr = registers.get(`SPSR_EL${level}`);
  if (elr === undefined || (spsr !== undefined && bit(spsr, 4))) return undefined;
  const before = stackBefore(registers, level, offset, spsr);
  return { pc: elr, ...before, ...shared, exception: true };
}

function stackBefore(registers: Registers, level: number, offset: bigint, spsr: bigint | undefined) {
  // The vector tells what SPSR_ELx would, unless a lower level was left.
  const lower = offset >= FROM_LOWER_LEVEL;
  const from = !lower ? level : spsr === undefined ? undefined : bitsNumber(spsr, 3, 2);
  if (from === undefined) return { sp: undefined, level: undefined };
  const own = lower ? spsr !== undefined && bit(spsr, 0) : offset >= 0x200n;
  const name = !own || from === 0 ? "SP_EL0" : from === level ? "sp" : `SP_EL${from}`;
  return { sp: address(registers, name), level: from };
}

function address(registers: Registers, name: string): VirtAddr | undefined {
  const value = registers.get(name);
  return value === undefined ? undefined : virt(value);
}
