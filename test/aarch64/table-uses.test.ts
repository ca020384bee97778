/**
 * Which pages are tables, and of what, after each of many random writes: held against a model that walks all tables anew each time. The model
 * knows descriptors of 4, 16 and 64 KiB granules by itself (Arm ARM DDI 0487, D8.2, D8.3): table where bits 1:0 are 11 above level 3.
 */
import { describe, expect, it } from "vitest";
import { readRegime } from "../../src/aarch64/regime.ts";
import type { Regime, RegimeName } from "../../src/aarch64/regime-model.ts";
import { TableUses, translatedBy } from "../../src/aarch64/table-uses.ts";
import { type PhysAddr, phys } from "../../src/base/address.ts";
import type { MemoryRead, PageSource } from "../../src/base/memory.ts";
import { Random } from "../support/random.ts";
import { el1Regime, registersFrom } from "../support/regimes.ts";

const BASE = 0x4000_0000n;
const TABLES = 6;
const SECOND_STAGE = 0x5000_0000n;

/** Pages that are replaced whole when a word of them changes. */
class Pages implements PageSource {
  readonly pages = new Map<bigint, Uint8Array>();
  readonly hidden = new Set<bigint>();

  page(page: PhysAddr): MemoryRead | undefined {
    const bytes = this.hidden.has(page) ? undefined : this.pages.get(page);
    return bytes && { state: "present", bytes };
  }

  set(address: bigint, word: bigint, bigEndian = false): void {
    const page = address & ~0xfffn;
    const bytes = (this.pages.get(page) ?? new Uint8Array(4096)).slice();
    new DataView(bytes.buffer).setBigUint64(Number(address & 0xfffn), word, !bigEndian);
    this.pages.set(page, bytes);
  }

  word(address: bigint, bigEndian = false): bigint {
    const page = address & ~0xfffn;
    const bytes = this.hidden.has(page) ? undefined : this.pages.get(page);
    return bytes === undefined ? 0n : new DataView(bytes.buffer).getBigUint64(Number(address & 0xfffn), !bigEndian);
  }
}

interface Plan {
  readonly name: RegimeName;
  readonly granuleBits: number;
  readonly inputBits: number;
  readonly root: bigint;
  readonly bigEndian?: boolean;
  /** Where the tables lie, by what the descriptors say. */
  readonly physical: (address: bigint) => bigint;
}

/** `page regime level first count start`, sorted. */
function modelOf(plans: readonly Plan[], source: Pages): string[] {
  const found: string[] = [];
  for (const plan of plans) {
    const { granuleBits, inputBits, name } = plan;
    const stride = granuleBits - 3;
    const startLevel = 4 - Math.ceil((inputBits - granuleBits) / stride);
    const below = (level: number): bigint => 1n << BigInt(granuleBits + (3 - level) * stride);
    const visit = (table: bigint, entries: number, level: number, start: bigint): void => {
      for (let i = 0; i < entries; ) {
        const at = plan.physical(table + BigInt(8 * i));
        const first = Number(at & 0xfffn) / 8;
        const count = Math.min(entries - i, 512 - first);
        const va = start + BigInt(i) * below(level);
        found.push([at & ~0xfffn, name, level, first, count, va >> 12n].join(" "));
        for (let j = 0; j < count && level < 3; j++) {
          const word = source.word(at + BigInt(8 * j), plan.bigEndian);
          if ((word & 3n) !== 3n) continue;
          const next = BigInt.asUintN(48, word) & ~((1n << BigInt(granuleBits)) - 1n);
          visit(next, 1 << stride, level + 1, va + BigInt(j) * below(level));
        }
        i += count;
      }
    };
    visit(plan.root, Number((1n << BigInt(inputBits)) / below(startLevel)), startLevel, 0n);
  }
  return found.sort();
}

function usesOf(uses: TableUses): string[] {
  return uses
    .pages()
    .flatMap((page) =>
      uses
        .usesOf(page)
        .map(({ regime, level, first, count, start }) => [page, regime.name, level, first, count, start].join(" ")),
    )
    .sort();
}

/** With what the descriptors above say of permissions: whatever form that has, it must not depend on how one came there. */
function inheritedOf(uses: TableUses): string[] {
  const all = uses.pages().flatMap((page) => uses.usesOf(page).map((use) => ({ page, use })));
  return all
    .map(({ page, use }) => [page, use.regime.name, use.level, use.start, use.first, use.inherited].join(" "))
    .sort();
}

function pagesOf(model: readonly string[]): Set<bigint> {
  return new Set(model.map((line) => BigInt(line.split(" ")[0] ?? "")));
}

const GRANULES = {
  12: { tg0: 0n, bits: [48, 39, 30] },
  14: { tg0: 2n, bits: [48, 47, 36] },
  16: { tg0: 1n, bits: [48, 42] },
};
type GranuleBits = keyof typeof GRANULES;

interface Case {
  readonly plans: readonly Plan[];
  readonly regimes: readonly Regime[];
  readonly source: Pages;
  readonly random: Random;
  readonly granuleBits: GranuleBits;
}

type Kind = "one" | "two regimes" | "behind stage 2" | "big-endian";

function randomCase(seed: number, granuleBits: GranuleBits, kind: Kind): Case {
  const random = new Random(seed);
  const source = new Pages();
  const bigEndian = kind === "big-endian";
  const inputBits = random.pick(GRANULES[granuleBits].bits);
  const root = (): bigint => BASE + (BigInt(random.below(TABLES)) << BigInt(granuleBits));
  const roots = [root(), root()] as const;
  const tcr = BigInt(64 - inputBits) | (GRANULES[granuleBits].tg0 << 14n) | (5n << 32n) | (1n << 23n);
  // TCR_EL2: PS in bits 18:16.
  const tcr2 = BigInt(64 - inputBits) | (GRANULES[granuleBits].tg0 << 14n) | (5n << 16n);
  const behind = kind === "behind stage 2";
  const registers = registersFrom({
    ...{ cpsr: 5n, SCTLR_EL1: 1n | (bigEndian ? 1n << 25n : 0n), TCR_EL1: tcr, TTBR0_EL1: roots[0], TTBR1_EL1: 0n },
    ...{ MAIR_EL1: 0xffn, SCTLR_EL2: 1n, TCR_EL2: tcr2, TTBR0_EL2: roots[1], MAIR_EL2: 0xffn },
    // 39 bits from level 1 on: T0SZ 25, SL0 1, PS 5. HCR_EL2.VM.
    ...{ HCR_EL2: behind ? 1n : 0n, VTCR_EL2: 25n | (1n << 6n) | (5n << 16n), VTTBR_EL2: SECOND_STAGE },
  });
  const same = (address: bigint): bigint => address;
  const moved = (address: bigint): bigint => address ^ 0x2000n;
  if (behind) secondStage(source);
  const el1: Plan = {
    name: "EL1&0",
    granuleBits,
    inputBits,
    root: roots[0],
    physical: behind ? moved : same,
    bigEndian,
  };
  const el2: Plan = { name: "EL2", granuleBits, inputBits, root: roots[1], physical: same };
  const stage2: Plan = { name: "stage2", granuleBits: 12, inputBits: 39, root: SECOND_STAGE, physical: same };
  const plans = { one: [el1], "big-endian": [el1], "two regimes": [el1, el2], "behind stage 2": [stage2, el1] }[kind];
  const regimes = plans.map(({ name }) => readRegime(name, registers));
  for (let i = 0; i < TABLES << (granuleBits - 12); i++) source.pages.set(BASE + BigInt(i << 12), new Uint8Array(4096));
  return { plans, regimes, source, random, granuleBits };
}

/** Stage 2 that swaps pages: what the tables call 0x2000 lies at 0, and the other way round. */
function secondStage(source: Pages): void {
  const [second, third] = [SECOND_STAGE + 0x1000n, SECOND_STAGE + 0x2000n];
  source.set(SECOND_STAGE + 8n, second | 3n);
  source.set(second, third | 3n);
  for (let i = 0n; i < 512n; i++) source.set(third + 8n * i, (BASE + ((i << 12n) ^ 0x2000n)) | 0x7ffn);
}

/** A descriptor: of a table of the pool as a rule, with whatever permissions it hands down. */
function descriptor({ random, granuleBits }: Case): bigint {
  const table = BASE + (BigInt(random.below(TABLES)) << BigInt(granuleBits));
  if (random.chance(0.3)) return 0n;
  if (random.chance(0.15)) return table | 0x701n;
  const permissions = random.chance(0.3) ? BigInt(random.below(32)) << 59n : 0n;
  return table | permissions | 3n;
}

/** A place in a table: mostly one of few, so that what is linked is written to as well. */
function place({ random, granuleBits }: Case): bigint {
  const entries = 1 << (granuleBits - 3);
  const index = random.chance(0.9) ? random.pick([0, 1, 63, entries - 1]) : random.below(entries);
  return BASE + (BigInt(random.below(TABLES)) << BigInt(granuleBits)) + BigInt(8 * index);
}

const KINDS: readonly Kind[] = ["one", "two regimes", "behind stage 2", "big-endian"];
const CASES = ([12, 14, 16] as const).flatMap((granuleBits) => KINDS.map((kind) => [granuleBits, kind] as const));

describe("the tables of live regimes", () => {
  it.each(CASES)("with granules of 2^%i bytes, %s: are after each write what a walk finds", (granuleBits, kind) => {
    let [most, came, went] = [0, 0, 0];
    for (let seed = 1; seed <= (granuleBits === 12 ? 12 : 4); seed++) {
      const all = randomCase(seed, granuleBits, kind);
      const { source, plans, regimes, random } = all;
      const bigEndian = kind === "big-endian";
      // What is behind stage 2 is not looked up again when stage 2 is read later.
      if (random.chance(0.5)) source.hidden.add(BASE + BigInt(random.below(TABLES) << granuleBits));
      const uses = new TableUses(regimes, source);
      let before = pagesOf(modelOf(plans, source));
      for (let step = 0; step < 60; step++) {
        const [shown] = source.hidden;
        let change: ReturnType<TableUses["written"]>;
        if (shown !== undefined && random.chance(0.05)) {
          source.hidden.clear();
          change = uses.arrived(phys(shown));
        } else {
          const at = place(all);
          source.set(at, descriptor(all), bigEndian);
          change = uses.written(phys(at));
        }
        const model = modelOf(plans, source);
        expect(usesOf(uses), `seed ${seed}, step ${step}`).toEqual(model);
        expect(uses.size).toBe(model.length);
        const after = pagesOf(model);
        const sorted = (pages: Iterable<bigint>): bigint[] => [...pages].sort((a, b) => (a < b ? -1 : 1));
        expect(sorted(change.added)).toEqual(sorted([...after].filter((page) => !before.has(page))));
        expect(sorted(change.removed)).toEqual(sorted([...before].filter((page) => !after.has(page))));
        most = Math.max(most, model.length);
        came += change.added.length;
        went += change.removed.length;
        before = after;
      }
      expect(inheritedOf(uses), `seed ${seed}`).toEqual(inheritedOf(new TableUses(regimes, source)));
      expect(uses.overflowed).toBe(false);
    }
    // The writes did something.
    expect(Math.min(came, went)).toBeGreaterThan(4);
    expect(most).toBeGreaterThan(4);
  });

  it("are no more than are followed, and it is told when there are", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const all = randomCase(seed, 12, "two regimes");
      const { source, plans, regimes } = all;
      const uses = new TableUses(regimes, source, 40);
      let most = 0;
      for (let step = 0; step < 80; step++) {
        const at = place(all);
        source.set(at, descriptor(all));
        uses.written(phys(at));
        const model = modelOf(plans, source);
        most = Math.max(most, model.length);
        expect(uses.size).toBeLessThanOrEqual(40);
        // What comes is counted before what goes: it may be told a little early.
        if (most > 40) expect(uses.overflowed).toBe(true);
        if (!uses.overflowed) expect(usesOf(uses)).toEqual(model);
      }
    }
  });

  it("that refer to themselves everywhere come and go within a second", () => {
    const source = new Pages();
    const [root, other] = [phys(BASE), phys(BASE + 0x1000n)];
    source.pages.set(root, new Uint8Array(4096));
    for (let i = 0n; i < 512n; i++) source.set(other + 8n * i, other | 3n);
    const uses = new TableUses([el1Regime({ TTBR0_EL1: root })], source);
    const started = performance.now();
    for (let i = 0n; i < 4n; i++) {
      source.set(root, other | 3n);
      uses.written(root);
      source.set(other + 8n, i);
      uses.written(phys(other + 8n));
      source.set(root, 0n);
      uses.written(root);
    }
    expect(uses.pages()).toEqual([root]);
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  it("translate what their entries stand for", () => {
    const source = new Pages();
    const [l0, l1] = [BASE, BASE + 0x1000n];
    source.set(l0 + 8n * 3n, l1 | 3n);
    const uses = new TableUses([el1Regime({ TTBR0_EL1: l0 })], source);
    const [use] = uses.usesOf(phys(l1));
    if (use === undefined) throw new Error("no table");
    // Level 1 entries map 1 GiB, those of level 0 512 GiB.
    expect(translatedBy(use, 5)).toEqual({ va: 3n * (1n << 39n) + 5n * (1n << 30n), size: 1n << 30n });
    expect(translatedBy(use, 512)).toBeUndefined();
  });
});
