/**
 * Random translation tables with the registers that lead to them: blocks, pages, tables, invalid and reserved entries, junk, tables that
 * are shared, refer to themselves, lie outside memory or cannot be read. A table page knows nothing of its level, as in a real machine:
 * the same page may be a root, a middle table and a leaf table.
 */
import { FakeMemory } from "./fake-memory.ts";
import { Random } from "./random.ts";
import { MEMORY_WORDS, type SlowMachine, type SlowRegime } from "./slow-decoder.ts";

export interface World {
  readonly regime: SlowRegime;
  readonly registers: ReadonlyMap<string, bigint>;
  readonly memory: FakeMemory;
  readonly machine: SlowMachine;
  /** A random virtual address, likely one that the tables say something about. */
  readonly address: () => bigint;
}

const REGIMES: readonly SlowRegime[] = ["EL1&0", "EL1&0", "EL1&0", "EL2", "EL2&0", "EL2&0", "EL3"];
const MAIR_BYTES = [...MEMORY_WORDS.keys()];
const LEVEL_SHIFTS = [39n, 30n, 21n, 12n] as const;

export function randomWorld(seed: number): World {
  const random = new Random(seed);
  const regime = random.pick(REGIMES);
  const memory = new FakeMemory();
  const indices = randomIndices(random);
  const pool = randomPool(random, memory);
  const content = new Content(random, pool, indices);
  for (const page of pool.present) content.fill(memory, page);
  const upperShare = regime === "EL1&0" || regime === "EL2&0" ? 0.5 : 0.03;
  const sizes = [random.between(16, 39), random.between(16, 39)] as const;
  const registers = randomRegisters(random, { regime, sizes, pages: pool.all, indices });
  return {
    regime,
    registers,
    memory,
    machine: { register: (name) => registers.get(name), word: (address) => memory.word(address) },
    address: () => randomAddress(random, indices, sizes, upperShare),
  };
}

/** The indices at which tables have entries, in all tables of a world: so a random address finds its way down. */
function randomIndices(random: Random): number[] {
  const first = random.below(500);
  return [0, 1, 2, 510, 511, first, first + 1, first + 2, random.below(512), random.below(512)];
}

interface Pool {
  readonly present: readonly bigint[];
  /** With some that are outside memory or cannot be read. */
  readonly all: readonly bigint[];
}

function randomPool(random: Random, memory: FakeMemory): Pool {
  const present = Array.from({ length: random.between(1, 7) }, () => randomPage(random));
  const absent = random.chance(0.5) ? [randomPage(random)] : [];
  const unreadable = random.chance(0.3) ? [randomPage(random)] : [];
  for (const page of present) memory.bytes(page);
  for (const page of unreadable) memory.makeUnreadable(page);
  return { present, all: [...present, ...present, ...absent, ...unreadable] };
}

function randomPage(random: Random): bigint {
  const width = random.pick([20, 20, 20, 20, 24, 30, 36]);
  return (random.word() & ((1n << BigInt(width)) - 1n)) << 12n;
}

/** Bits of leaf descriptors that mean something here, and some that do not: NS, GP and those for software. */
const LEAF_ATTRIBUTES = 0x00f8_0000_0000_0fdcn | (0x3n << 53n);
const INSIGNIFICANT = [1n << 5n, 1n << 50n, 1n << 55n, 1n << 57n, 1n << 63n, (1n << 5n) | (1n << 59n)];
const TABLE_ATTRIBUTES = 0xf800_0000_0000_0000n;
const TABLE_IGNORED = 0x07f8_0000_0000_0ffcn;

class Content {
  readonly #random: Random;
  readonly #pool: Pool;
  readonly #indices: readonly number[];
  readonly #profiles: readonly bigint[];
  readonly #outputs: readonly bigint[];

  constructor(random: Random, pool: Pool, indices: readonly number[]) {
    this.#random = random;
    this.#pool = pool;
    this.#indices = indices;
    this.#profiles = Array.from({ length: 4 }, () => random.word() & LEAF_ATTRIBUTES);
    this.#outputs = [0n, 0x4000_0000n, 0x80_4020_1000n, random.word() & 0xffff_ffff_f000n];
  }

  fill(memory: FakeMemory, page: bigint): void {
    const random = this.#random;
    if (random.chance(0.04)) return void memory.bytes(page).fill(0xff);
    for (const index of this.#indices) memory.setWord(page + BigInt(index * 8), this.#entry(index));
    if (random.chance(0.4)) this.#stretch(memory, page);
  }

  #entry(index: number): bigint {
    const random = this.#random;
    const kind = random.below(20);
    if (kind === 0) return 0n;
    if (kind === 1) return random.word() & ~1n;
    if (kind === 2) return random.word();
    if (kind < 13) return this.#table();
    const step = random.pick([0x1000n, 0x20_0000n, 0x4000_0000n]);
    return this.#leaf(random.pick(this.#outputs) + BigInt(index) * step, random.pick([1n, 1n, 3n]));
  }

  #table(): bigint {
    const random = this.#random;
    const attributes = random.chance(0.5) ? 0n : random.word() & TABLE_ATTRIBUTES;
    const ignored = random.chance(0.8) ? 0n : random.word() & TABLE_IGNORED;
    return random.pick(this.#pool.all) | attributes | ignored | 3n;
  }

  #leaf(output: bigint, type: bigint): bigint {
    const random = this.#random;
    const noise = random.chance(0.7) ? 0n : random.pick(INSIGNIFICANT);
    return (output & 0xffff_ffff_f000n) | (random.pick(this.#profiles) & ~noise) | noise | type;
  }

  /** Entries in a row that lead to memory in a row: what runs are made of. */
  #stretch(memory: FakeMemory, page: bigint): void {
    const random = this.#random;
    const step = random.pick([0x1000n, 0x20_0000n, 0x4000_0000n]);
    const type = step === 0x1000n ? 3n : 1n;
    const start = random.below(512);
    const end = Math.min(512, start + random.between(2, 40));
    const output = random.pick(this.#outputs) & ~(step - 1n);
    const profile = random.pick(this.#profiles);
    for (let i = start; i < end; i++) {
      const noise = random.chance(0.8) ? 0n : random.pick(INSIGNIFICANT);
      const leaf = ((output + BigInt(i) * step) & 0xffff_ffff_f000n) | (profile & ~noise) | noise | type;
      memory.setWord(page + BigInt(i * 8), random.chance(0.05) ? this.#entry(i) : leaf);
    }
  }
}

interface RegisterPlan {
  readonly regime: SlowRegime;
  /** T0SZ and T1SZ. */
  readonly sizes: readonly [number, number];
  readonly pages: readonly bigint[];
  readonly indices: readonly number[];
}

function randomRegisters(random: Random, plan: RegisterPlan): Map<string, bigint> {
  const { regime, sizes } = plan;
  const el = regime === "EL1&0" ? 1 : regime === "EL3" ? 3 : 2;
  const twoRanges = regime === "EL1&0" || regime === "EL2&0";
  const flag = (probability: number, position: number): bigint =>
    random.chance(probability) ? 1n << BigInt(position) : 0n;
  const addressSize = (): bigint => (random.chance(0.88) ? 5n : BigInt(random.below(7)));

  let tcr = BigInt(sizes[0]);
  if (twoRanges) {
    tcr |= (BigInt(sizes[1]) << 16n) | (0b10n << 30n) | (addressSize() << 32n);
    tcr |= flag(0.06, 7) | flag(0.06, 23) | flag(0.25, 41) | flag(0.25, 42) | flag(0.5, 39) | flag(0.5, 40);
  } else {
    tcr |= (addressSize() << 16n) | flag(0.25, 24) | flag(0.5, 21) | flag(0.5, 22);
  }
  const mair = Array.from({ length: 8 }, (_, i) => BigInt(random.pick(MAIR_BYTES)) << BigInt(i * 8));
  const registers = new Map([
    [`SCTLR_EL${el}`, flag(0.97, 0) | flag(0.3, 19) | flag(0.5, 2) | flag(0.5, 12)],
    [`TCR_EL${el}`, tcr],
    [`MAIR_EL${el}`, mair.reduce((all, byte) => all | byte, 0n)],
    [`TTBR0_EL${el}`, randomTtbr(random, sizes[0], plan)],
    ["ID_AA64MMFR0_EL1", addressSize()],
  ]);
  if (twoRanges) registers.set(`TTBR1_EL${el}`, randomTtbr(random, sizes[1], plan));
  if (random.chance(0.5)) registers.set("ID_AA64MMFR1_EL1", BigInt(random.below(4)));
  return registers;
}

/** The entries of a root table: fewer than 512 where the address size leaves few bits for its level. */
export function rootEntries(txsz: number): number {
  const inputBits = 64 - txsz;
  const bottom = [39, 30, 21].find((each) => inputBits > each) as number;
  return 2 ** (inputBits - bottom);
}

function randomTtbr(random: Random, txsz: number, { pages, indices }: RegisterPlan): bigint {
  const alignment = Math.max(64, rootEntries(txsz) * 8);
  const entry = random.chance(0.8) ? random.pick(indices) : random.below(512);
  const offset = Math.floor((entry * 8) / alignment) * alignment;
  const asid = BigInt(random.next() & 0xffff) << 48n;
  const cnp = BigInt(random.below(2));
  return asid | random.pick(pages) | BigInt(offset) | cnp;
}

function randomAddress(
  random: Random,
  indices: readonly number[],
  sizes: readonly [number, number],
  upperShare: number,
): bigint {
  if (random.chance(0.05)) return random.word();
  let va = BigInt(random.below(4096));
  for (const shift of LEVEL_SHIFTS) {
    const index = random.chance(0.1) ? random.below(512) : random.pick(indices);
    va |= BigInt(index) << shift;
  }
  const upper = random.chance(upperShare);
  if (random.chance(0.1)) return upper ? va | (0xffffn << 48n) : va;
  const inRange = BigInt.asUintN(64 - sizes[upper ? 1 : 0], va);
  return upper ? inRange | BigInt.asUintN(64, -1n << BigInt(64 - sizes[1])) : inRange;
}
