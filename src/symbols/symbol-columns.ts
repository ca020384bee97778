/**
 * Symbols while a file is read: a column each for values, sizes and names, so that a kernel's quarter of a million symbols costs a few
 * megabytes and no object. Names stay bytes until one is asked for.
 */

export type SymbolType = "func" | "object" | "notype";

/** Codes of SymbolType and binding in one byte: the better a symbol names an address, the lower. */
export const TYPE_CODES: Readonly<Record<SymbolType, number>> = { func: 0, object: 1, notype: 2 };
export const SYMBOL_TYPES: readonly SymbolType[] = ["func", "object", "notype"];

export type SymbolBinding = "global" | "weak" | "local";
export const BINDING_CODES: Readonly<Record<SymbolBinding, number>> = { global: 0, weak: 1, local: 2 };

/** No more symbols are taken from a file: several times a kernel's. */
export const MAX_SYMBOLS = 1_000_000;

const NO_SECTION = 0xffff;

/** A symbol on its way into the columns, in 32-bit halves: a bigint a field would cost more than everything else. */
export interface ColumnsEntry {
  readonly low: number;
  readonly high: number;
  readonly sizeLow: number;
  readonly sizeHigh: number;
  /** Where the name starts in the table's bytes. */
  readonly name: number;
  readonly rank: number;
  /** An index of the table's sections. */
  readonly section?: number | undefined;
}

/** Columns that grow; `order()` sorts them. */
export class SymbolColumns {
  #capacity: number;
  count = 0;
  overflowed = false;
  low: Uint32Array;
  high: Uint32Array;
  /** The low and the high half of each size. */
  sizes: Uint32Array;
  names: Uint32Array;
  ranks: Uint8Array;
  sections: Uint16Array;

  /** `capacity`: how many are expected. */
  constructor(capacity = 1024) {
    this.#capacity = Math.max(1, Math.min(capacity, MAX_SYMBOLS));
    this.low = new Uint32Array(this.#capacity);
    this.high = new Uint32Array(this.#capacity);
    this.sizes = new Uint32Array(2 * this.#capacity);
    this.names = new Uint32Array(this.#capacity);
    this.ranks = new Uint8Array(this.#capacity);
    this.sections = new Uint16Array(this.#capacity);
  }

  /** Adds a symbol; one too many only sets `overflowed`. */
  add(symbol: ColumnsEntry): void {
    if (this.count >= MAX_SYMBOLS) {
      this.overflowed = true;
      return;
    }
    if (this.count === this.#capacity) this.#grow();
    const i = this.count++;
    this.low[i] = symbol.low;
    this.high[i] = symbol.high;
    this.sizes[2 * i] = symbol.sizeLow;
    this.sizes[2 * i + 1] = symbol.sizeHigh;
    this.names[i] = symbol.name;
    this.ranks[i] = symbol.rank;
    this.sections[i] = symbol.section ?? NO_SECTION;
  }

  /** Lists and maps are in order already. */
  #ascends(): boolean {
    const { low, high } = this;
    for (let i = 1; i < this.count; i++) {
      const [upper, before] = [high[i] ?? 0, high[i - 1] ?? 0];
      if (upper < before || (upper === before && (low[i] ?? 0) < (low[i - 1] ?? 0))) return false;
    }
    return true;
  }

  #grow(): void {
    this.#capacity = Math.min(this.#capacity * 2, MAX_SYMBOLS);
    this.low = grown(this.low, new Uint32Array(this.#capacity));
    this.high = grown(this.high, new Uint32Array(this.#capacity));
    this.sizes = grown(this.sizes, new Uint32Array(2 * this.#capacity));
    this.names = grown(this.names, new Uint32Array(this.#capacity));
    this.ranks = grown(this.ranks, new Uint8Array(this.#capacity));
    this.sections = grown(this.sections, new Uint16Array(this.#capacity));
  }

  /** Indices by ascending value; equal values stay in the order of the file. */
  order(): Uint32Array {
    let order = new Uint32Array(this.count);
    for (let i = 0; i < order.length; i++) order[i] = i;
    if (this.#ascends()) return order;
    // Few passes for many symbols, with counters that still fit a processor's first cache; small counters for few.
    const bits = this.count > 0x1_0000 ? 11 : 8;
    for (const column of [this.low, this.high]) {
      for (let shift = 0; shift < 32; shift += bits) order = radixPass(order, column, shift, bits);
    }
    return order;
  }
}

export function rankOf(type: SymbolType, binding: SymbolBinding): number {
  return TYPE_CODES[type] * 4 + BINDING_CODES[binding];
}

export function typeOfRank(rank: number): SymbolType {
  return SYMBOL_TYPES[rank >> 2] ?? "notype";
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** 64-bit values out of their halves. */
export function joinHalves(low: (i: number) => number, high: (i: number) => number, count: number): BigUint64Array {
  const values = new BigUint64Array(count);
  const words = new Uint32Array(values.buffer);
  const [first, second] = LITTLE_ENDIAN ? [low, high] : [high, low];
  for (let i = 0; i < count; i++) {
    words[2 * i] = first(i);
    words[2 * i + 1] = second(i);
  }
  return values;
}

function grown<T extends { set(from: T): void }>(from: T, into: T): T {
  into.set(from);
  return into;
}

/** One stable pass over some bits: comparing a million bigints would take seconds. */
function radixPass(
  order: Uint32Array<ArrayBuffer>,
  column: Uint32Array,
  shift: number,
  bits: number,
): Uint32Array<ArrayBuffer> {
  const mask = (1 << bits) - 1;
  const count = order.length;
  const digit = (i: number): number => ((column[i] ?? 0) >>> shift) & mask;
  const starts = new Uint32Array(mask + 2);
  // Counted in the order of the column, not in that of `order`: going through memory at random is what costs here.
  for (let i = 0; i < count; i++) starts[digit(i) + 1] = (starts[digit(i) + 1] ?? 0) + 1;
  if (count > 0 && starts[digit(0) + 1] === count) return order;
  for (let i = 0; i <= mask; i++) starts[i + 1] = (starts[i + 1] ?? 0) + (starts[i] ?? 0);
  const sorted = new Uint32Array(count);
  for (let at = 0; at < count; at++) {
    const i = order[at] ?? 0;
    const to = starts[digit(i)] ?? 0;
    starts[digit(i)] = to + 1;
    sorted[to] = i;
  }
  return sorted;
}
