/**
 * Loads and stores.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Loads and Stores"; C6.2 LDR, LDUR, LDP, LDAR, LDAPR, LDXR, LDRAA, CAS, LDADD, … What is not known may
 * write every register that it names.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import {
  type Effect,
  field,
  type MemoryOperand,
  type Operation,
  registerBits,
  signedField,
  toRegister,
  toRegisterOrStack,
  type Write,
} from "./operation.ts";

export function memoryEffect(address: VirtAddr, word: number): Effect {
  const vector = field(word, 26, 26) === 1;
  switch (field(word, 29, 27)) {
    case 0b101:
      return pairEffect(word, vector);
    case 0b111:
      return singleEffect(word, vector);
    case 0b011:
      return field(word, 24, 24) === 0 ? literalEffect(address, word, vector) : otherEffect(word, vector);
    case 0b001:
      if (vector) return structureEffect(word);
      return field(word, 24, 24) === 0 ? exclusiveEffect(word) : unknownEffect(word);
    default:
      return unknownEffect(word);
  }
}

/** Rt, Rn, Rt2 and Rs, and the second of each pair. */
function unknownEffect(word: number): Effect {
  const named = [field(word, 4, 0), field(word, 9, 5), field(word, 14, 10), field(word, 20, 16)];
  // Rn = 31 is SP.
  const stack = named[1] === 31 ? 1 << 31 : 0;
  return { mayWrite: registerBits(...named, ...named.map((each) => each | 1)) | stack };
}

function load(word: number, offset: bigint | number, size: number, signed: boolean): Operation {
  return { kind: "load", from: { base: field(word, 9, 5), offset: BigInt(offset) }, size, signed };
}

function writeback(word: number, amount: number): readonly Write[] {
  const base = field(word, 9, 5);
  return toRegisterOrStack(base, { kind: "add", from: base, amount: BigInt(amount) });
}

/** LDP, STP, LDPSW and their non-temporal forms: bits 24:23 are 01 post-indexed, 10 offset, 11 pre-indexed, 00 non-temporal. */
function pairEffect(word: number, vector: boolean): Effect {
  const opc = field(word, 31, 30);
  if (opc === 0b11) return unknownEffect(word);
  const loads = field(word, 22, 22) === 1;
  const tags = opc === 0b01 && !loads && !vector;
  const size = vector ? 4 << opc : opc === 0b10 ? 8 : 4;
  const offset = signedField(word, 21, 15) * (tags ? 16 : size);
  const [mode, changes] = [field(word, 24, 23), field(word, 23, 23) === 1];
  const back = changes ? writeback(word, offset) : [];
  if (vector || !loads) return { writes: back };
  const at = mode === 0b01 ? 0 : offset;
  const signed = opc === 0b01;
  const first = toRegister(field(word, 4, 0), load(word, at, size, signed));
  return { writes: [...first, ...toRegister(field(word, 14, 10), load(word, at + size, size, signed)), ...back] };
}

/** One register, by bits 24, 21 and 11:10. */
function singleEffect(word: number, vector: boolean): Effect {
  const scale = field(word, 31, 30);
  if (field(word, 24, 24) === 1) return accessEffect(word, vector, { offset: field(word, 21, 10) << scale });
  const mode = field(word, 11, 10);
  const offset = signedField(word, 20, 12);
  if (field(word, 21, 21) === 0) {
    if (mode === 0b01) return accessEffect(word, vector, { offset: 0, back: offset });
    return accessEffect(word, vector, mode === 0b11 ? { offset, back: offset } : { offset });
  }
  if (mode === 0b10) return accessEffect(word, vector, { offset: 0, index: indexOf(word, scale) });
  // LSFE atomics have vector registers only.
  if (vector) return {};
  if (mode === 0b00) return atomicEffect(word);
  return scale === 3 ? authenticatedEffect(word) : unknownEffect(word);
}

interface Access {
  readonly offset: number;
  /** What writeback adds to the base. */
  readonly back?: number;
  readonly index?: NonNullable<MemoryOperand["index"]>;
}

const EXTENDS = { 2: "uxtw", 3: "lsl", 6: "sxtw", 7: "sxtx" } as const;

/** Rm, option and S of a register offset; `scale` is the size of the access as a power of two. */
export function indexOf(word: number, scale: number): NonNullable<MemoryOperand["index"]> {
  const register = field(word, 20, 16);
  const option = field(word, 15, 13);
  return {
    register: register === 31 ? "zero" : register,
    extend: EXTENDS[option as keyof typeof EXTENDS] ?? "lsl",
    shift: field(word, 12, 12) * scale,
  };
}

/** opc at bits 23:22: 00 store, 01 load, 1x load with sign (but PRFM for 64 bits). */
function accessEffect(word: number, vector: boolean, { offset, back, index }: Access): Effect {
  const [scale, opc] = [field(word, 31, 30), field(word, 23, 22)];
  const after = back === undefined ? [] : writeback(word, back);
  const prefetch = scale === 3 && opc >= 0b10;
  if (vector || opc === 0b00) return { writes: after };
  // RPRFM and PRFM have numbers where registers stand.
  if (prefetch) return { writes: after };
  const from: MemoryOperand = { base: field(word, 9, 5), offset: BigInt(offset), ...(index && { index }) };
  // A sign extended to 32 bits only is not followed.
  const operation: Operation =
    opc === 0b11 ? { kind: "computed" } : { kind: "load", from, size: 1 << scale, signed: opc === 0b10 };
  return { writes: [...toRegister(field(word, 4, 0), operation), ...after] };
}

/** LDADD … LDUMIN, SWP and LDAPR load the old value into Rt; LD64B loads eight registers. */
function atomicEffect(word: number): Effect {
  const [size, o3, opc] = [1 << field(word, 31, 30), field(word, 15, 15), field(word, 14, 12)];
  const register = field(word, 4, 0);
  if (o3 === 0 || opc === 0b000 || opc === 0b100) {
    return { writes: toRegister(register, load(word, 0, size, false)) };
  }
  const eight = Array.from({ length: 8 }, (_, i) => register + i);
  return { mayWrite: (unknownEffect(word).mayWrite ?? 0) | registerBits(...eight) };
}

/** LDRAA, LDRAB: ten signed bits in units of eight bytes. */
function authenticatedEffect(word: number): Effect {
  const [register, base] = [field(word, 4, 0), field(word, 9, 5)];
  const offset = (field(word, 20, 12) - field(word, 22, 22) * 512) * 8;
  const from: MemoryOperand = { base, offset: BigInt(offset), authenticated: true };
  const loaded = toRegister(register, { kind: "load", from, size: 8, signed: false });
  const back = field(word, 11, 11) === 1 ? toRegisterOrStack(base, { kind: "computed" }) : [];
  return { writes: [...loaded, ...back] };
}

/** LDR (literal), LDRSW (literal), PRFM (literal) by opc. */
function literalEffect(address: VirtAddr, word: number, vector: boolean): Effect {
  const opc = field(word, 31, 30);
  if (vector || opc === 0b11) return {};
  const at = virt(address + BigInt(signedField(word, 23, 5) * 4));
  const operation = { kind: "load-literal", at, size: opc === 0b01 ? 8 : 4, signed: opc === 0b10 } as const;
  return { writes: toRegister(field(word, 4, 0), operation) };
}

/** LDAPUR and STLUR; memory tags, block copies and the rest of this corner are not told apart. */
function otherEffect(word: number, vector: boolean): Effect {
  if (field(word, 21, 21) === 1 || field(word, 11, 10) !== 0b00) return unknownEffect(word);
  return accessEffect(word, vector, { offset: signedField(word, 20, 12) });
}

/** LD1 … ST4: only the post-indexed forms (bit 23) write a general register. */
function structureEffect(word: number): Effect {
  const base = field(word, 9, 5);
  if (field(word, 31, 31) === 1) return unknownEffect(word);
  return field(word, 23, 23) === 1 ? { writes: toRegisterOrStack(base, { kind: "computed" }) } : {};
}

/** Exclusive and ordered accesses and compare-and-swap, by o2 (bit 23), L (22) and o1 (21). */
function exclusiveEffect(word: number): Effect {
  const [size, loads] = [1 << field(word, 31, 30), field(word, 22, 22) === 1];
  const [register, second, status] = [field(word, 4, 0), field(word, 14, 10), field(word, 20, 16)];
  const [o2, o1] = [field(word, 23, 23) === 1, field(word, 21, 21) === 1];
  if (o2 && o1) return { writes: toRegister(status, load(word, 0, size, false)) };
  if (o2) return { writes: loads ? toRegister(register, load(word, 0, size, false)) : [] };
  if (o1 && size < 4) return { mayWrite: registerBits(status, status | 1) };
  if (!loads) return { writes: toRegister(status, { kind: "computed" }) };
  const first = toRegister(register, load(word, 0, size, false));
  return { writes: o1 ? [...first, ...toRegister(second, load(word, size, size, false))] : first };
}
