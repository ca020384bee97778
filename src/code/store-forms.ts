/**
 * Where an instruction stores: base, offset and size, by the encodings of loads and stores.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Loads and Stores" and C6.2, C7.2 of the instructions named below. Not looked at is what is written on the
 * side: allocation tags, the Guarded Control Stack by calls, access flags and dirty states by table walks, System registers that stand in
 * memory (FEAT_NV2).
 */
import { encodingParts } from "../aarch64/registers/encodings.ts";
import { indexOf } from "./memory-words.ts";
import { field, type MemoryOperand, SP, signedField } from "./operation.ts";
import { systemWord } from "./system-words.ts";

export interface StoreForm {
  /** The zero register for DC ZVA of XZR. */
  readonly base: MemoryOperand["base"] | "zero";
  /** In bytes, added to the base before the store; with `index` it is 0. */
  readonly offset: number;
  readonly index?: NonNullable<MemoryOperand["index"]>;
  /** In bytes. `block`: as many as DCZID_EL0 says, from the address aligned down to as many. */
  readonly size: number | "block";
}

/** `none`: it surely stores nothing. `unknown`: it may, but is not decoded. */
export type Stores = StoreForm | "none" | "unknown";

/** What the word stores, if it is executed and not UNDEFINED. What only may store (STXR, CAS) counts as a store. */
export function storeForm(signed: number): Stores {
  const word = signed >>> 0;
  const group = field(word, 28, 25);
  if ((group & 0b0101) === 0b0100) return memoryStore(word);
  if ((group & 0b1110) === 0b1010) return systemStore(word);
  // Data processing.
  if (group >= 0b1000 || (group & 0b0101) === 0b0101) return "none";
  // SVE: 111 at bits 31:29 are stores, 100, 101 and 110 loads.
  if (group === 0b0010) return field(word, 31, 29) === 0b111 ? "unknown" : "none";
  if (group === 0 && word >= 0x8000_0000) return matrixStore(word);
  // UDF, or unallocated.
  return word >>> 16 === 0 ? "none" : "unknown";
}

/** SME: 101 and 111 at bits 31:29 load and, with bit 21, store; but 101 with bit 23 makes outer products. */
function matrixStore(word: number): Stores {
  const [op, products] = [field(word, 31, 29), field(word, 23, 23) === 1];
  const moves = op === 0b111 || (op === 0b101 && !products);
  return moves && field(word, 21, 21) === 1 ? "unknown" : "none";
}

function at(word: number, size: number, offset = 0): StoreForm {
  return { base: field(word, 9, 5), offset, size };
}

function memoryStore(word: number): Stores {
  const upper = field(word, 24, 24) === 1;
  switch (field(word, 29, 28)) {
    case 0b00:
      if (field(word, 26, 26) === 1) return upper ? singleStructure(word) : multipleStructures(word);
      return upper ? "unknown" : exclusiveStore(word);
    case 0b01:
      // LDR and PRFM (literal).
      return upper ? releaseStore(word) : "none";
    case 0b10:
      return pairStore(word);
    default:
      return singleStore(word);
  }
}

/** STP, STNP and STGP: see pairEffect of memory-words.ts. */
function pairStore(word: number): Stores {
  const [opc, vector, mode] = [field(word, 31, 30), field(word, 26, 26) === 1, field(word, 24, 23)];
  if (opc === 0b11) return "unknown";
  if (field(word, 22, 22) === 1) return "none";
  const tags = opc === 0b01 && !vector;
  if (tags && mode === 0b00) return "unknown";
  const size = vector ? 4 << opc : opc === 0b00 ? 4 : 8;
  const offset = signedField(word, 21, 15) * (tags ? 16 : size);
  return at(word, size * 2, mode === 0b01 ? 0 : offset);
}

/** STR, STUR, STTR and their like, by bits 24, 21 and 11:10. */
function singleStore(word: number): Stores {
  const [mode, vector] = [field(word, 11, 10), field(word, 26, 26) === 1];
  const registers = field(word, 24, 24) === 0 && field(word, 21, 21) === 1;
  if (registers && mode !== 0b10) return mode === 0b00 && !vector ? atomicStore(word) : authenticatedLoad(word);
  const scale = scaleOf(word);
  if (typeof scale === "string") return scale;
  const size = 1 << scale;
  if (field(word, 24, 24) === 1) return at(word, size, field(word, 21, 10) * size);
  // Options without bit 1 are none.
  if (registers) return field(word, 14, 14) === 1 ? { ...at(word, size), index: indexOf(word, scale) } : "unknown";
  if (vector && mode === 0b10) return "unknown";
  return at(word, size, mode === 0b01 ? 0 : signedField(word, 20, 12));
}

/** The size of a store as a power of two, by size (31:30), V (26) and opc (23:22); opc 00 stores, and 10 with V a quadword. */
function scaleOf(word: number): number | "none" | "unknown" {
  const [size, vector, opc] = [field(word, 31, 30), field(word, 26, 26) === 1, field(word, 23, 22)];
  if (opc === 0b00) return size;
  if (!vector || opc !== 0b10) return "none";
  return size === 0 ? 4 : "unknown";
}

/** LDRAA and LDRAB; other sizes are none, nor are atomics of vector registers decoded (FEAT_LSFE). */
function authenticatedLoad(word: number): Stores {
  return field(word, 31, 30) === 3 && field(word, 26, 26) === 0 && field(word, 10, 10) === 1 ? "none" : "unknown";
}

/** LDADD … LDUMIN, SWP and their ST forms; LDAPR and LD64B only load; ST64B stores eight registers. */
function atomicStore(word: number): Stores {
  const [scale, o3, opc] = [field(word, 31, 30), field(word, 15, 15), field(word, 14, 12)];
  if (o3 === 0 || opc === 0b000) return at(word, 1 << scale);
  if (opc === 0b100) return "none";
  if (scale !== 3 || field(word, 23, 22) !== 0b00) return "unknown";
  if (opc === 0b101) return "none";
  return opc <= 0b011 ? at(word, 64) : "unknown";
}

/** STXR, STXP, STLR, STLLR, CAS and CASP: by o2 (bit 23), L (22) and o1 (21); Rt2 is 31 where there is none. */
function exclusiveStore(word: number): Stores {
  const [scale, loads] = [field(word, 31, 30), field(word, 22, 22) === 1];
  const [o2, o1] = [field(word, 23, 23) === 1, field(word, 21, 21) === 1];
  const swaps = o1 && (o2 || scale < 2);
  if (swaps && field(word, 14, 10) !== 31) return "unknown";
  if (swaps) return at(word, o2 ? 1 << scale : 8 << scale);
  if (loads) return "none";
  return at(word, o1 ? 2 << scale : 1 << scale);
}

/** STLUR, STLR and STILP with writeback, memory tags, atomics of 128 bits; block copies and the Guarded Control Stack are not told apart. */
function releaseStore(word: number): Stores {
  const [scale, vector, mode] = [field(word, 31, 30), field(word, 26, 26) === 1, field(word, 11, 10)];
  if (field(word, 21, 21) === 1) {
    if (vector) return "unknown";
    return scale === 3 ? tagStore(word) : scale === 0 ? quadwordAtomic(word) : "unknown";
  }
  // Of vector registers (FEAT_LRCPC3) it is mode 10.
  if (mode === (vector ? 0b10 : 0b00)) {
    const stored = scaleOf(word);
    return typeof stored === "string" ? stored : at(word, 1 << stored, signedField(word, 20, 12));
  }
  return !vector && mode === 0b10 && scale >= 2 ? orderedWriteback(word, 1 << scale) : "unknown";
}

/** FEAT_LRCPC3: STILP by opc (23:22) 00 and bits 15:12 000x, with x = 0 pre-indexed by its own size; 10 is STLR, pre-indexed. */
function orderedWriteback(word: number, size: number): Stores {
  const [opc, rest] = [field(word, 23, 22), field(word, 15, 12)];
  if (opc === 0b01 && rest <= 1) return "none";
  if (opc === 0b00 && rest <= 1) return at(word, size * 2, rest === 0 ? -size * 2 : 0);
  if (field(word, 20, 12) !== 0) return "unknown";
  return opc === 0b10 ? at(word, size, -size) : opc === 0b11 ? "none" : "unknown";
}

/** FEAT_LSE128: LDCLRP, LDSETP, SWPP. */
function quadwordAtomic(word: number): Stores {
  const which = field(word, 15, 10);
  return which === 0b000100 || which === 0b001100 || which === 0b100000 ? at(word, 16) : "unknown";
}

/** FEAT_MTE: STZG and STZ2G store zeros, STZGM a block of them; STG, ST2G and STGM tags only. By opc (23:22) and mode (11:10). */
function tagStore(word: number): Stores {
  const [opc, mode] = [field(word, 23, 22), field(word, 11, 10)];
  if (mode === 0b00) return opc === 0b00 ? { ...at(word, 0), size: "block" } : "none";
  if ((opc & 1) === 0) return "none";
  return at(word, opc === 0b01 ? 16 : 32, mode === 0b01 ? 0 : signedField(word, 20, 12) * 16);
}

/** Registers of ST1 … ST4 (multiple structures) by opcode (15:12). */
const STRUCTURE_REGISTERS: Readonly<Record<number, number>> = { 0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2 };

/** L (22) 0 stores; bit 23 is post-indexed, without which bits 20:16 are 0. */
function multipleStructures(word: number): Stores {
  const registers = STRUCTURE_REGISTERS[field(word, 15, 12)];
  const indexed = field(word, 23, 23) === 1;
  if (field(word, 31, 31) === 1 || registers === undefined || field(word, 21, 21) === 1) return "unknown";
  if (field(word, 22, 22) === 1) return "none";
  if (!indexed && field(word, 20, 16) !== 0) return "unknown";
  return at(word, registers * (field(word, 30, 30) === 1 ? 16 : 8));
}

/** The scale is opcode<2:1> (15:14), with 2 also of doublewords; 3 only loads. STL1 has 1 where post-indexed forms have their register. */
function singleStructure(word: number): Stores {
  if (field(word, 31, 31) === 1) return "unknown";
  if (field(word, 22, 22) === 1) return "none";
  const [scale, size, spare] = [field(word, 15, 14), field(word, 11, 10), field(word, 20, 16)];
  const doubleword = scale === 2 && size === 1 && field(word, 12, 12) === 0;
  const whole = scale === 0 || (scale === 1 && (size & 1) === 0) || (scale === 2 && size === 0) || doubleword;
  const registers = field(word, 13, 13) * 2 + field(word, 21, 21) + 1;
  const ordered = spare === 1 && doubleword && registers === 1;
  const indexed = field(word, 23, 23) === 1;
  if (!whole || !(indexed || spare === 0 || ordered)) return "unknown";
  return at(word, registers << (doubleword ? 3 : scale));
}

/** DC ZVA and GZVA. The Guarded Control Stack's instructions and what is IMPLEMENTATION DEFINED may store; DC GVA stores tags only. */
function systemStore(word: number): Stores {
  const system = systemWord(word);
  if (system?.kind !== "sys" && system?.kind !== "sysl") return "none";
  const { op1, crn, crm, op2 } = encodingParts(system.encoding);
  if (crn === 11 || crn === 15) return "unknown";
  if (crn !== 7) return "none";
  if (crm === 7) return "unknown";
  if (op1 !== 3 || crm !== 4) return "none";
  const base = system.rt === SP ? "zero" : system.rt;
  if (op2 === 1 || op2 === 4) return { base, offset: 0, size: "block" };
  return op2 === 3 ? "none" : "unknown";
}
