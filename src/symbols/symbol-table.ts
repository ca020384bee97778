/**
 * Symbols by address and by name.
 *
 * Which symbol names an address: the innermost symbol with a size that covers it; else, when the nearest symbol before it has no size
 * (labels of assembler, System.map), that one as far as the next symbol and the end of its section; but a label at the start of something
 * with a size (`_sinittext`) does not name what comes after that. Of several at the same address: what begins there before a mark of what
 * ends there, a function before data before a bare label, global before weak before local, then the name with fewer leading underscores,
 * then the lower one. ELF gABI 4.19 says of st_size only that 0 means none or unknown.
 */
import { printable } from "../base/text.ts";
import { joinHalves, type SymbolColumns, type SymbolType, typeOfRank } from "./symbol-columns.ts";

export interface SymbolEntry {
  /** Printable, at most 256 characters. */
  readonly name: string;
  /** As linked. */
  readonly value: bigint;
  /** In bytes; 0 when the file does not say. */
  readonly size: bigint;
  readonly type: SymbolType;
  readonly global: boolean;
}

export interface SymbolHit extends SymbolEntry {
  /** From the symbol's value. */
  readonly offset: bigint;
}

/** Where a section lies as linked. */
export interface SymbolSection {
  readonly name: string;
  readonly address: bigint;
  /** In bytes. */
  readonly size: bigint;
}

const MAX_NAME = 256;
const MAX_FOUND = 256;
/** Symbols within symbols within symbols: real files nest two or three deep. */
const MAX_NESTING = 64;
const NONE = 0xffff_ffff;
const TOP = (1n << 64n) - 1n;
/** What linker scripts and assembler code call the first address that no longer belongs: `__hyp_text_end`, `_etext`, `__end_rodata`. */
const END_MARK = /_end(_[0-9]+)?$|^_+e(text|data|inittext)$|^__end_/;

export class SymbolTable {
  readonly #values: BigUint64Array;
  readonly #sizes: BigUint64Array;
  readonly #names: Uint32Array;
  readonly #ranks: Uint8Array;
  readonly #sections: Uint16Array;
  /** For each symbol the nearest one at or before it that has a size. */
  readonly #sized: Uint32Array;
  /** For each symbol with a size the nearest one before it that reaches further. */
  readonly #outer: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #ends: readonly (bigint | undefined)[];

  /** `bytes` holds the names, each up to a NUL or the end. `sections` are what the columns' section indices mean. */
  constructor(columns: SymbolColumns, bytes: Uint8Array, sections: readonly (SymbolSection | undefined)[]) {
    const order = columns.order();
    const { low, high, sizes } = columns;
    this.#values = joinHalves(
      (i) => low[order[i] ?? 0] ?? 0,
      (i) => high[order[i] ?? 0] ?? 0,
      order.length,
    );
    this.#sizes = joinHalves(
      (i) => sizes[2 * (order[i] ?? 0)] ?? 0,
      (i) => sizes[2 * (order[i] ?? 0) + 1] ?? 0,
      order.length,
    );
    this.#names = inOrder(order, columns.names, new Uint32Array(order.length));
    this.#ranks = inOrder(order, columns.ranks, new Uint8Array(order.length));
    this.#sections = inOrder(order, columns.sections, new Uint16Array(order.length));
    this.#bytes = bytes;
    this.#ends = sections.map((section) => (section === undefined ? undefined : section.address + section.size));
    [this.#sized, this.#outer] = nest(this.#values, this.#sizes);
  }

  get length(): number {
    return this.#values.length;
  }

  /** What the table keeps in memory, in bytes. */
  get byteLength(): number {
    const columns = [this.#values, this.#sizes, this.#names, this.#ranks, this.#sections, this.#sized, this.#outer];
    return columns.reduce((sum, column) => sum + column.byteLength, this.#bytes.byteLength);
  }

  /** The symbol at an index, 0 … length - 1, by ascending value. */
  at(index: number): SymbolEntry | undefined {
    const value = this.#values[index];
    if (value === undefined) return undefined;
    const rank = this.#ranks[index] ?? 0;
    const name = this.#name(index);
    return { name, value, size: this.#sizes[index] ?? 0n, type: typeOfRank(rank), global: (rank & 3) === 0 };
  }

  *[Symbol.iterator](): Generator<SymbolEntry> {
    for (let i = 0; i < this.length; i++) yield this.at(i) as SymbolEntry;
  }

  /** The symbol that holds an address as linked; undefined when none can be said to. */
  lookup(address: bigint): SymbolHit | undefined {
    const last = this.#lastAtOrBefore(address);
    if (last < 0) return undefined;
    const best = this.#covering(last, address) ?? this.#reaching(last, address);
    const entry = best === undefined ? undefined : this.at(best);
    return entry === undefined ? undefined : { ...entry, offset: address - entry.value };
  }

  /** The values of all symbols of this name, ascending and each once; at most 256. */
  find(name: string): bigint[] {
    const wanted = Buffer.from(name, "utf8");
    const found = new Set<bigint>();
    if (wanted.length === 0 || wanted.includes(0)) return [];
    for (let i = 0; i < this.length && found.size < MAX_FOUND; i++) {
      if (this.#isNamed(i, wanted)) found.add(this.#values[i] ?? 0n);
    }
    return [...found];
  }

  #isNamed(index: number, wanted: Uint8Array): boolean {
    const start = this.#names[index] ?? 0;
    if (start + wanted.length > this.#bytes.length) return false;
    for (let i = 0; i < wanted.length; i++) if (this.#bytes[start + i] !== wanted[i]) return false;
    return (this.#bytes[start + wanted.length] ?? 0) === 0;
  }

  #lastAtOrBefore(address: bigint): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#values[middle] ?? TOP) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The best of the innermost symbols whose size covers the address. */
  #covering(last: number, address: bigint): number | undefined {
    let at = this.#sized[last] ?? NONE;
    for (let i = 0; i < MAX_NESTING && at !== NONE; i++) {
      if (this.#covers(at, address)) return this.#bestAt(at, (other) => this.#covers(other, address));
      at = this.#outer[at] ?? NONE;
    }
    return undefined;
  }

  #covers(index: number, address: bigint): boolean {
    const size = this.#sizes[index] ?? 0n;
    return size > 0n && address - (this.#values[index] ?? 0n) < size;
  }

  /** The best of the symbols without a size at the nearest value, when they reach as far. */
  #reaching(last: number, address: bigint): number | undefined {
    const sized = this.#sized[last] ?? NONE;
    const shared = sized !== NONE && this.#values[sized] === this.#values[last];
    const suits = (i: number): boolean =>
      this.#sizes[i] === 0n && !(shared && typeOfRank(this.#ranks[i] ?? 0) === "notype");
    return this.#bestAt(last, (i) => suits(i) && address < this.#reach(i, last));
  }

  /** Where a symbol without a size ends: with its section; without one, the last symbol of all stands for its own address alone. */
  #reach(index: number, last: number): bigint {
    const end = this.#ends[this.#sections[index] ?? NONE];
    return end ?? (last + 1 < this.length ? TOP : (this.#values[index] ?? 0n) + 1n);
  }

  /** The best of the symbols with the same value as one of them that suit; of very many, only some around that one are asked. */
  #bestAt(member: number, suits: (index: number) => boolean): number | undefined {
    const value = this.#values[member] ?? 0n;
    let first = member;
    while (first > 0 && member - first < MAX_FOUND - 1 && this.#values[first - 1] === value) first--;
    let best: number | undefined;
    for (let i = first; i < first + MAX_FOUND && this.#values[i] === value; i++) {
      if (suits(i) && (best === undefined || this.#better(i, best))) best = i;
    }
    return best;
  }

  #better(one: number, other: number): boolean {
    const [a, b] = [this.#rawName(one), this.#rawName(other)];
    if (END_MARK.test(a) !== END_MARK.test(b)) return END_MARK.test(b);
    const byRank = (this.#ranks[one] ?? 0) - (this.#ranks[other] ?? 0);
    if (byRank !== 0) return byRank < 0;
    const byUnderscores = underscores(a) - underscores(b);
    return byUnderscores !== 0 ? byUnderscores < 0 : a < b;
  }

  #name(index: number): string {
    return printable(this.#nameBytes(index).toString("utf8"), MAX_NAME);
  }

  /** One character a byte: to compare the names of hundreds of symbols at one address, which are not to be printed. */
  #rawName(index: number): string {
    return this.#nameBytes(index).toString("latin1");
  }

  #nameBytes(index: number): Buffer {
    const start = this.#names[index] ?? 0;
    // Four bytes a character at most.
    const raw = this.#bytes.subarray(start, start + 4 * MAX_NAME + 1);
    const end = raw.indexOf(0);
    return Buffer.from(raw.buffer, raw.byteOffset, end < 0 ? raw.length : end);
  }
}

function inOrder<T extends Uint8Array | Uint16Array | Uint32Array>(order: Uint32Array, column: T, into: T): T {
  for (let i = 0; i < order.length; i++) into[i] = column[order[i] ?? 0] ?? 0;
  return into;
}

function underscores(name: string): number {
  return name.search(/[^_]|$/);
}

/**
 * In one pass over the symbols by value: for each the nearest one with a size, and for each of those the nearest before it that reaches
 * further. What starts earlier and ends no later covers nothing that this one does not: it never has to be asked.
 */
function nest(values: BigUint64Array, sizes: BigUint64Array): [Uint32Array, Uint32Array] {
  const sized = new Uint32Array(values.length).fill(NONE);
  const outer = new Uint32Array(values.length).fill(NONE);
  const open: number[] = [];
  for (let i = 0, last = NONE; i < values.length; i++) {
    if (sizes[i] !== 0n) {
      const end = endOf(i);
      while (open.length > 0 && endOf(open.at(-1) ?? 0) <= end) open.pop();
      outer[i] = open.at(-1) ?? NONE;
      open.push(i);
      last = i;
    }
    sized[i] = last;
  }
  return [sized, outer];

  function endOf(index: number): bigint {
    return (values[index] ?? 0n) + (sizes[index] ?? 0n);
  }
}
