/** What one A64 instruction does, as far as following a pointer backwards through code needs it. */
import type { VirtAddr } from "../base/address.ts";

/** An instruction word where it stands. */
export interface CodeWord {
  readonly address: VirtAddr;
  readonly word: number;
}

/** 0 … 30: x0 … x30; 31: sp. The zero register is none: what is written to it is gone. */
export type RegisterNumber = number;
export const SP = 31;
export const LINK = 30;

export function registerName(register: RegisterNumber): string {
  return register === SP ? "sp" : `x${register}`;
}

/** `[base, #offset]` or `[base, index, extend #shift]`, after which writeback may change the base. */
export interface MemoryOperand {
  readonly base: RegisterNumber;
  readonly offset: bigint;
  readonly index?: {
    readonly register: RegisterNumber | "zero";
    readonly extend: "uxtw" | "lsl" | "sxtw" | "sxtx";
    readonly shift: number;
  };
  /** The base is authenticated before use (LDRAA, LDRAB). */
  readonly authenticated?: true;
}

/** What an index register of this value adds to a base, before the shift. */
export function extended(value: bigint, extend: NonNullable<MemoryOperand["index"]>["extend"]): bigint {
  if (extend === "uxtw") return BigInt.asUintN(32, value);
  return extend === "sxtw" ? BigInt.asIntN(32, value) : value;
}

/** How a register gets its value. Values are of 64 bits and wrap. */
export type Operation =
  | {
      readonly kind: "load";
      readonly from: MemoryOperand;
      /** In bytes: 1, 2, 4 or 8. */
      readonly size: number;
      readonly signed: boolean;
    }
  | { readonly kind: "load-literal"; readonly at: VirtAddr; readonly size: number; readonly signed: boolean }
  | { readonly kind: "constant"; readonly value: bigint }
  | { readonly kind: "copy"; readonly from: RegisterNumber }
  | { readonly kind: "add"; readonly from: RegisterNumber; readonly amount: bigint }
  /** MOVK: 16 bits at `shift` become `value`. */
  | { readonly kind: "insert"; readonly from: RegisterNumber; readonly value: bigint; readonly shift: number }
  /** A pointer authentication code is made, checked or taken off. */
  | { readonly kind: "authenticate"; readonly from: RegisterNumber }
  /** Anything else that surely writes the register. */
  | { readonly kind: "computed" };

export interface Write {
  readonly register: RegisterNumber;
  readonly operation: Operation;
}

/** Where execution goes on. `next`: at the next word. */
export type Flow =
  | { readonly kind: "next" }
  | { readonly kind: "jump" | "conditional" | "call"; readonly target: VirtAddr }
  | { readonly kind: "jump-register" | "call-register" | "return"; readonly register: RegisterNumber }
  /** SVC, HVC, SMC, BRK, HLT, ERET: another Exception level has its turn. */
  | { readonly kind: "exception" }
  /** Nothing that runs, or nothing that is known. */
  | { readonly kind: "undefined" };

export interface Decoded extends CodeWord {
  readonly flow: Flow;
  readonly writes: readonly Write[];
  /** Registers that it may write as well, as bits: it is not decoded far enough to tell. */
  readonly mayWrite: number;
  /** Where calls (or jumps too) through registers may land: BTI, PACIASP, PACIBSP. */
  readonly landing: boolean;
}

export type Effect = Partial<Pick<Decoded, "flow" | "writes" | "mayWrite" | "landing">>;

/** The bits `word<high:low>`. */
export function field(word: number, high: number, low: number): number {
  return (word >>> low) & (2 ** (high - low + 1) - 1);
}

/** The bits as a signed number. */
export function signedField(word: number, high: number, low: number): number {
  const width = high - low + 1;
  const value = field(word, high, low);
  return value >= 2 ** (width - 1) ? value - 2 ** width : value;
}

/** A write of a general register where 31 is the zero register: none then. */
export function toRegister(register: number, operation: Operation): readonly Write[] {
  return register === 31 ? [] : [{ register, operation }];
}

/** A write of a general register where 31 is the stack pointer. */
export function toRegisterOrStack(register: number, operation: Operation): readonly Write[] {
  return [{ register, operation }];
}

export function computed(register: number): Effect {
  return { writes: toRegister(register, { kind: "computed" }) };
}

/** The registers as bits; the zero register is none. */
export function registerBits(...registers: readonly number[]): number {
  return registers.reduce((bits, register) => (register > 30 ? bits : bits | (1 << register)), 0);
}

export function mayWriteRegister({ mayWrite }: Decoded, register: RegisterNumber): boolean {
  return ((mayWrite >>> register) & 1) === 1;
}
