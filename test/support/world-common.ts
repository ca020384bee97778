/** What the kinds of random worlds share. */
import type { FakeMemory } from "./fake-memory.ts";
import type { Random } from "./random.ts";
import type { SlowMachine, SlowRegime } from "./slow-decoder.ts";
import type { Layout } from "./slow-walk.ts";
import { levelOf, type Registers, type Stage1Plan } from "./world-registers.ts";
import { Content, type Pool, type Root, randomInput, type Style, type TableStore } from "./world-tables.ts";

export interface World {
  readonly regime: SlowRegime;
  /** EL1&0 through stage 2. */
  readonly twoStages: boolean;
  readonly registers: ReadonlyMap<string, bigint>;
  readonly memory: FakeMemory;
  readonly machine: SlowMachine;
  /** A random input address, likely one that the tables say something about. */
  readonly address: () => bigint;
  /** What this world has, such as "stage 1, granule 16 KiB", "PIE", "FWB", "16 tables side by side". */
  readonly features: readonly string[];
}

export function machineOf(registers: Registers, memory: FakeMemory): SlowMachine {
  return { register: (name) => registers.get(name), word: (address) => memory.word(address) };
}

/** A table's place: mostly where firmware has its memory, sometimes far up, where the output size allows it. */
export function randomPlace(random: Random, layout: Layout): bigint {
  const far = layout.outputBits > 48 && random.chance(0.2) ? 52 : random.pick([32, 32, 32, 32, 36, 42, 48]);
  return random.word() & ((1n << BigInt(far)) - 1n) & ~0xfffn;
}

/** NS, GP and the bits for software. */
const NOISE = [1n << 5n, 1n << 50n, 1n << 55n, 1n << 57n, 1n << 63n, (1n << 5n) | (1n << 58n)];

export function stage1Style(layout: Layout, outputs: readonly bigint[], certain: boolean): Style {
  return {
    profile: (random) => random.word(),
    clean: (word) => (certain && !layout.ds && ((word >> 8n) & 3n) === 1n ? word | (1n << 9n) : word),
    noise: NOISE,
    tableAttributes: 0x1fn << 59n,
    outputs,
  };
}

export function randomOutputs(random: Random, { outputBits }: Layout): bigint[] {
  const mask = ((1n << BigInt(Math.max(outputBits, 48))) - 1n) & ~0xfffn;
  return [0n, 0x4000_0000n, 0x80_4020_1000n, random.word() & mask];
}

/** TBI of each half. */
export function tagged(registers: Registers, { regime, halves }: Stage1Plan): boolean[] {
  const tcr = registers.get(`TCR_EL${levelOf(regime)}`) as bigint;
  return halves.map((_, i) => (tcr >> BigInt(halves.length === 2 ? 37 + i : 20)) % 2n === 1n);
}

export function on(registers: Registers, { regime }: Stage1Plan): boolean {
  return (registers.get(`SCTLR_EL${levelOf(regime)}`) as bigint) % 2n === 1n;
}

export function fillPool(random: Random, pool: Pool, style: Style, store: TableStore): void {
  const content = new Content(random, pool, style, store);
  for (const [i, table] of pool.present.entries()) content.fill(table, pool.levels[i]);
}

export interface Ranges {
  readonly pools: readonly Pool[];
  readonly roots: readonly Root[];
  /** TBI. */
  readonly tags: readonly boolean[];
  readonly enabled: boolean;
}

/** In either half where there are two; sometimes with a tag, rarely where nothing can be. */
export function randomVa(random: Random, { pools, roots, tags, enabled }: Ranges): bigint {
  if (random.chance(enabled ? 0.02 : 0.4)) return random.word() >> BigInt(random.below(40));
  const half = pools.length === 2 ? random.below(2) : 0;
  const pool = pools[half] as Pool;
  const input = randomInput(random, pool, roots[half] as Root);
  const address = half === 1 ? BigInt.asUintN(64, input | (-1n << BigInt(pool.layout.inputBits))) : input;
  const tag = BigInt(random.below(256)) << 56n;
  if (random.chance(tags[half] ? 0.5 : 0.02)) return address ^ tag;
  return random.chance(0.01) ? address ^ (1n << 55n) : address;
}
