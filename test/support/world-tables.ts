/**
 * Random tables in fake memory: blocks, pages, tables, invalid and reserved entries, junk, tables that are shared, refer to themselves,
 * lie outside memory or cannot be read. A table knows nothing of its level, as in a real machine: the same one may be a root, a
 * middle table and a leaf table.
 */
import type { FakeMemory } from "./fake-memory.ts";
import type { Random } from "./random.ts";
import { bits, swapBytes } from "./slow-bits.ts";
import { blockSupported, type Layout, lowestBit } from "./slow-walk.ts";

/** Where words of tables go: an address of the stage, not always a physical one, and not always little-endian. */
export interface TableStore {
  readonly memory: FakeMemory;
  readonly bigEndian: boolean;
  readonly physical: (address: bigint) => bigint;
}

export function storeWord({ memory, bigEndian, physical }: TableStore, address: bigint, word: bigint): void {
  memory.setWord(physical(address), bigEndian ? swapBytes(word) : word);
}

/** An address in the fields of a descriptor. */
export function addressFields({ granuleBits, ds, lpa }: Layout, address: bigint): bigint {
  const low = bits(address, 47, 12) << 12n;
  if (granuleBits === 16) return (low & ~0xf000n) | (lpa ? bits(address, 51, 48) << 12n : 0n);
  return ds ? low | (bits(address, 49, 48) << 48n) | (bits(address, 51, 50) << 8n) : low;
}

/** The bits of a leaf that are not its address, and not its type. */
export function attributeMask({ ds }: Layout): bigint {
  return (0xfffn << 52n) | (3n << 50n) | (ds ? 0xcfcn : 0xffcn);
}

/** The address of a table in TTBR. */
export function ttbrFields({ granuleBits, ds, lpa, ps52 }: Layout, address: bigint): bigint {
  const wide = ds || (granuleBits === 16 && lpa && ps52);
  return wide ? (bits(address, 47, 6) << 6n) | (bits(address, 51, 48) << 2n) : bits(address, 47, 1) << 1n;
}

/** The bits of the input address that the first lookup resolves. */
export function rootBits({ granuleBits, inputBits, level }: Layout): number {
  return inputBits - lowestBit(granuleBits, level);
}

export interface Pool {
  readonly layout: Layout;
  readonly present: readonly bigint[];
  /** The level that each of `present` is made for; without it a table's entries are made for any level. */
  readonly levels: readonly (number | undefined)[];
  /** With some that are outside memory or cannot be read. */
  readonly all: readonly bigint[];
  /** The indices at which the tables have entries: so a random address finds its way down. */
  readonly indices: readonly number[];
}

export interface Style {
  /** Random attributes of a leaf; what it must not have is masked out. */
  readonly profile: (random: Random) => bigint;
  /** Takes what is not modelled out of any descriptor. */
  readonly clean: (descriptor: bigint) => bigint;
  /** Bits of leaves that say nothing. */
  readonly noise: readonly bigint[];
  readonly tableAttributes: bigint;
  readonly outputs: readonly bigint[];
}

export function randomPool(random: Random, layout: Layout, place: () => bigint, store: TableStore): Pool {
  const align = (address: bigint): bigint => (address >> BigInt(layout.granuleBits)) << BigInt(layout.granuleBits);
  const depth = Math.min(Math.max(4 - layout.level, 1), 5);
  const ordered = random.chance(0.65);
  const count = ordered ? depth + random.below(3) : random.between(1, layout.granuleBits === 12 ? 7 : 5);
  const present = Array.from({ length: count }, () => align(place()));
  const levels = present.map((_, i) => (ordered && random.chance(0.95) ? layout.level + (i % depth) : undefined));
  const absent = random.chance(0.5) ? [align(place())] : [];
  const unreadable = random.chance(0.3) ? [align(place())] : [];
  for (const table of unreadable) store.memory.makeUnreadable(store.physical(table));
  const all = [...present, ...present, ...present, ...absent, ...unreadable];
  return { layout, present, levels, all, indices: randomIndices(random, 2 ** (layout.granuleBits - 3)) };
}

function randomIndices(random: Random, entries: number): number[] {
  const first = random.below(entries - 12);
  return [0, 1, 2, entries - 2, entries - 1, first, first + 1, first + 2, random.below(entries), random.below(entries)];
}

/** Fills the tables of a pool. */
export class Content {
  readonly #random: Random;
  readonly #pool: Pool;
  readonly #style: Style;
  readonly #store: TableStore;
  readonly #profiles: readonly bigint[];

  constructor(random: Random, pool: Pool, style: Style, store: TableStore) {
    this.#random = random;
    this.#pool = pool;
    this.#style = style;
    this.#store = store;
    const mask = attributeMask(pool.layout);
    this.#profiles = Array.from({ length: 4 }, () => style.profile(random) & mask);
  }

  fill(table: bigint, level: number | undefined): void {
    const random = this.#random;
    const size = 2 ** this.#pool.layout.granuleBits;
    this.#pages(table, size);
    for (const index of this.#pool.indices) this.#set(table, index, this.#entry(index, level));
    if (random.chance(0.4)) this.#stretch(table, size / 8, level);
    if (random.chance(0.04)) this.#ones(table);
    if (size > 4096 && random.chance(0.3)) this.#store.memory.remove(this.#page(table, random.below(size / 4096)));
  }

  #page(table: bigint, number: number): bigint {
    return this.#store.physical(table + BigInt(number) * 4096n);
  }

  /** The pages of a table, some of which no entry that matters is in: of those only a few are there. */
  #pages(table: bigint, size: number): void {
    for (let i = 0; i < size / 4096; i++) {
      if (i === 0 || this.#random.chance(0.3)) this.#store.memory.bytes(this.#page(table, i));
    }
  }

  #ones(table: bigint): void {
    for (let i = 0; i < 512; i++) this.#set(table, i, (1n << 64n) - 1n);
  }

  #set(table: bigint, index: number, descriptor: bigint): void {
    storeWord(this.#store, table + BigInt(index * 8), this.#style.clean(descriptor));
  }

  #entry(index: number, level: number | undefined): bigint {
    const random = this.#random;
    const kind = random.below(32);
    if (kind === 0) return 0n;
    if (kind === 1) return random.word() & ~1n;
    if (kind === 2) return random.word();
    if (level === undefined || kind === 3)
      return kind < 19 ? this.#table(level) : this.#leaf(this.#output(index), random.pick([1n, 1n, 3n]));
    if (level === 3) return this.#leaf(this.#output(index), 3n);
    const block = blockSupported(this.#pool.layout, level) && random.chance(0.4);
    return block ? this.#leaf(this.#output(index), 1n) : this.#table(level);
  }

  #output(index: number): bigint {
    const random = this.#random;
    const { granuleBits } = this.#pool.layout;
    const step = 1n << BigInt(lowestBit(granuleBits, random.pick([3, 3, 2, 1])));
    return random.pick(this.#style.outputs) + BigInt(index) * step;
  }

  #table(level: number | undefined): bigint {
    const random = this.#random;
    const attributes = random.chance(0.5) ? 0n : random.word() & this.#style.tableAttributes;
    const ignored = random.chance(0.8) ? 0n : random.word() & attributeMask(this.#pool.layout) & ~(0x1fn << 59n);
    return addressFields(this.#pool.layout, this.#nextTable(level)) | attributes | ignored | 3n;
  }

  #nextTable(level: number | undefined): bigint {
    const { present, levels, all } = this.#pool;
    const next = present.filter((_, i) => level !== undefined && levels[i] === level + 1);
    return this.#random.pick(next.length > 0 && this.#random.chance(0.85) ? next : all);
  }

  #leaf(output: bigint, type: bigint): bigint {
    const random = this.#random;
    const noise = random.chance(0.7) ? 0n : random.pick(this.#style.noise);
    return addressFields(this.#pool.layout, output) | (random.pick(this.#profiles) & ~noise) | noise | type;
  }

  /** Entries in a row that lead to memory in a row: what runs are made of. */
  #stretch(table: bigint, entries: number, intended: number | undefined): void {
    const random = this.#random;
    const level = intended ?? random.pick([3, 2, 1]);
    const step = 1n << BigInt(lowestBit(this.#pool.layout.granuleBits, level));
    const start = random.below(entries);
    const end = Math.min(entries, start + random.between(2, 40));
    const output = random.pick(this.#style.outputs) & ~(step - 1n);
    const profile = random.pick(this.#profiles);
    for (let i = start; i < end; i++) {
      const noise = random.chance(0.8) ? 0n : random.pick(this.#style.noise);
      const base = addressFields(this.#pool.layout, output + BigInt(i) * step);
      const leaf = base | (profile & ~noise) | noise | (level === 3 ? 3n : 1n);
      this.#set(table, i, random.chance(0.05) ? this.#entry(i, intended) : leaf);
    }
  }
}

export interface Root {
  readonly table: bigint;
  /** The indices at which it has entries, from its own start. */
  readonly indices: readonly number[];
}

/** A first table, aligned to its size: part of one of the pool where it is small. */
export function randomRoot(random: Random, { layout, present, levels, all, indices }: Pool): Root {
  const { granuleBits, ds, lpa, ps52 } = layout;
  const entries = 2 ** Math.max(1, Math.min(rootBits(layout), granuleBits - 3));
  const wide = ds || (granuleBits === 16 && lpa && ps52);
  const unit = entries < 8 && (wide || random.chance(0.5)) ? 8 : entries;
  const entry = random.chance(0.9) ? random.pick(indices) : random.below(2 ** (granuleBits - 3));
  const start = Math.floor(entry / unit) * unit;
  const first = present.filter((_, i) => levels[i] === layout.level);
  const table = random.pick(first.length > 0 && random.chance(0.9) ? first : all) + BigInt(start * 8);
  const inside = indices.filter((index) => index >= start && index < start + entries);
  return { table, indices: inside.length > 0 ? inside.map((index) => index - start) : [0, 1] };
}

/** Tables side by side, in room of their size: those numbered `subtables` have entries. */
export function wideRoot(place: bigint, { layout, indices }: Pool, subtables: readonly number[]): Root {
  const size = 8n << BigInt(rootBits(layout));
  const entries = 2 ** (layout.granuleBits - 3);
  const all = subtables.flatMap((sub) => indices.map((index) => sub * entries + index));
  return { table: (place / size) * size, indices: all };
}

/** An input address that is likely to find its way down. */
export function randomInput(random: Random, { layout, indices }: Pool, root: Root): bigint {
  const { granuleBits, inputBits, level } = layout;
  const entries = 2 ** (granuleBits - 3);
  let address = random.word() & ((1n << BigInt(granuleBits)) - 1n);
  for (let each = level; each <= 3; each++) {
    const index = random.chance(0.05) ? random.below(entries) : random.pick(each === level ? root.indices : indices);
    address |= BigInt(index) << BigInt(lowestBit(granuleBits, each));
  }
  return random.chance(0.02) ? address : BigInt.asUintN(inputBits, address);
}
