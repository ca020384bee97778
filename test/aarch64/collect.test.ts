import { describe, expect, it, vi } from "vitest";
import { collectTables, DEFAULT_MAX_TABLES } from "../../src/aarch64/collect.ts";
import { mapRegime } from "../../src/aarch64/walk.ts";
import { RecordingMemory } from "../../src/snapshot/page-memory.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { el1Regime, regimeOf, tcrEl1 } from "../support/regimes.ts";
import { randomWorld, rootEntries, type World } from "../support/tables.ts";

vi.setConfig({ testTimeout: 120_000 });

const WORLDS = 800;
const ASCENDING = (a: bigint, b: bigint): number => (a < b ? -1 : Number(a > b));

const bits = (value: bigint, high: number, low: number): bigint => BigInt.asUintN(high - low + 1, value >> BigInt(low));

interface Root {
  readonly table: bigint;
  readonly level: number;
  readonly entries: number;
}

/** The roots of a world by its registers, read anew from the manual: D24.2 TCR_ELx, TTBRn_ELx. */
function rootsOf({ regime, registers }: World): Root[] {
  const el = regime === "EL1&0" ? 1 : regime === "EL3" ? 3 : 2;
  const tcr = registers.get(`TCR_EL${el}`) ?? 0n;
  if (bits(registers.get(`SCTLR_EL${el}`) ?? 0n, 0, 0) === 0n) return [];
  const root = (ttbr: string, txsz: bigint): Root => {
    const entries = rootEntries(Number(txsz));
    const table = bits(registers.get(ttbr) ?? 0n, 47, 1) << 1n;
    return { table, level: txsz <= 24n ? 0 : txsz <= 33n ? 1 : 2, entries };
  };
  if (regime === "EL2" || regime === "EL3") return [root(`TTBR0_EL${el}`, bits(tcr, 5, 0))];
  const lower = bits(tcr, 7, 7) === 0n ? [root(`TTBR0_EL${el}`, bits(tcr, 5, 0))] : [];
  const upper = bits(tcr, 23, 23) === 0n ? [root(`TTBR1_EL${el}`, bits(tcr, 21, 16))] : [];
  return [...lower, ...upper];
}

/** The width of output addresses: D24.2 TCR_ELx.{IPS,PS}, ID_AA64MMFR0_EL1.PARange; at most 48 in these worlds. */
function outputBitsOf({ regime, registers }: World): number {
  const el = regime === "EL1&0" ? 1 : regime === "EL3" ? 3 : 2;
  const tcr = registers.get(`TCR_EL${el}`) ?? 0n;
  const ps = regime === "EL2" || regime === "EL3" ? bits(tcr, 18, 16) : bits(tcr, 34, 32);
  const range = bits(registers.get("ID_AA64MMFR0_EL1") ?? 5n, 3, 0);
  const width = (field: bigint): number => [32, 36, 40, 42, 44, 48, 52, 56][Number(field)] as number;
  return Math.min(48, width(ps), width(range));
}

/** What must be fetched for a root: the pages of each level. */
function levelsOf(memory: FakeMemory, { table, level, entries }: Root, outputBits: number): bigint[][] {
  const levels: bigint[][] = [];
  let tables = table >> BigInt(outputBits) === 0n ? [{ table, entries }] : [];
  for (let at = level; at <= 3 && tables.length > 0; at++) {
    levels.push(tables.map((each) => each.table & ~0xfffn).sort(ASCENDING));
    const next = new Set<bigint>();
    for (const each of at < 3 ? tables : []) {
      for (let i = 0; i < each.entries; i++) {
        const descriptor = memory.word(each.table + BigInt(i * 8));
        if (descriptor === undefined || bits(descriptor, 1, 0) !== 3n) continue;
        const output = bits(descriptor, 47, 12) << 12n;
        if (output >> BigInt(outputBits) === 0n) next.add(output);
      }
    }
    tables = [...next].map((each) => ({ table: each, entries: 512 }));
  }
  return levels;
}

function batchesOf(memory: FakeMemory): bigint[][] {
  return memory.batches.map((spans) => spans.map(({ address }) => address as bigint).sort(ASCENDING));
}

describe("tables of random worlds", () => {
  it("are fetched level by level, each level one batch, and nothing else is read", async () => {
    let batches = 0;
    for (let seed = 2_000_000; seed < 2_000_000 + WORLDS; seed++) {
      const world = randomWorld(seed);
      const { memory } = world;
      const regime = regimeOf(world);
      await collectTables(memory, regime);
      const wanted = rootsOf(world).flatMap((root) => levelsOf(memory, root, outputBitsOf(world)));
      if (JSON.stringify(batchesOf(memory), hexes) !== JSON.stringify(wanted, hexes)) {
        expect(batchesOf(memory), `seed ${seed}`).toEqual(wanted);
      }
      batches += wanted.length;
    }
    expect(batches).toBeGreaterThan(WORLDS * 2);
  });

  it("give one gap for each table of a level that is not there, with its address, level and reason", async () => {
    let gaps = 0;
    for (let seed = 3_000_000; seed < 3_000_000 + WORLDS; seed++) {
      const world = randomWorld(seed);
      const regime = regimeOf(world);
      const got = (await collectTables(world.memory, regime)).map(({ pa, level, code }) => `${pa} ${level} ${code}`);
      const wanted = rootsOf(world).flatMap((root) =>
        levelsOf(world.memory, root, outputBitsOf(world)).flatMap((pages, i) =>
          pages.flatMap((page) => {
            const read = world.memory.page(page as never);
            return read.state === "present" ? [] : [`${page} ${root.level + i} ${read.code}`];
          }),
        ),
      );
      if (got.sort().join() !== wanted.sort().join()) expect(got, `seed ${seed}`).toEqual(wanted);
      gaps += wanted.length;
    }
    expect(gaps).toBeGreaterThan(WORLDS / 2);
  });

  it("are all that the walker asks for afterwards: no run is lost for want of a capture", async () => {
    for (let seed = 4_000_000; seed < 4_000_000 + 200; seed++) {
      const world = randomWorld(seed);
      const regime = regimeOf(world);
      const recorded = new RecordingMemory(world.memory);
      await collectTables(recorded, regime);
      const { runs, lost } = mapRegime(regime, recorded);
      expect(
        lost.filter(({ code }) => code === "not-captured"),
        `seed ${seed}`,
      ).toEqual([]);
      expect(runs.length, `seed ${seed}`).toBe(mapRegime(regime, world.memory).runs.length);
    }
  });
});

function hexes(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString(16) : value;
}

const regime = el1Regime({ TTBR0_EL1: 0x1000n });
const WALK_LEVELS = 4;

/** A table page all of whose entries are `entry`. */
function filled(memory: FakeMemory, page: bigint, entry: bigint): void {
  for (let i = 0n; i < 512n; i++) memory.setWord(page + i * 8n, entry);
}

describe("tables that refer to themselves", () => {
  it("are read once a level: a root all of whose entries lead to itself takes four reads", async () => {
    const memory = new FakeMemory();
    filled(memory, 0x1000n, 0x1003n);
    expect(await collectTables(memory, regime)).toEqual([]);
    expect(memory.batches).toHaveLength(WALK_LEVELS);
    expect(memory.pagesRead).toEqual([0x1000n, 0x1000n, 0x1000n, 0x1000n]);
  });

  it("are read from the machine once when the memory keeps what it reads", async () => {
    const memory = new FakeMemory();
    filled(memory, 0x1000n, 0x1003n);
    await collectTables(new RecordingMemory(memory), regime);
    expect(memory.pagesRead).toEqual([0x1000n]);
  });

  it("end when three tables lead to each other", async () => {
    const memory = new FakeMemory();
    for (const page of [0x1000n, 0x2000n, 0x3000n]) {
      for (const [i, target] of [0x1000n, 0x2000n, 0x3000n].entries())
        memory.setWord(page + BigInt(i * 8), target | 3n);
    }
    expect(await collectTables(memory, regime)).toEqual([]);
    expect(memory.batches.map((spans) => spans.length)).toEqual([1, 3, 3, 3]);
  });

  it("need not be known to end: a page of ones names one table outside memory", async () => {
    const memory = new FakeMemory();
    filled(memory, 0x1000n, 0xffff_ffff_ffff_ffffn);
    const gaps = await collectTables(memory, regime);
    expect(gaps).toEqual([{ regime: "EL1&0", pa: 0xffff_ffff_f000n, level: 1, code: "outside-memory" }]);
    expect(memory.batches).toHaveLength(2);
  });
});

describe("tables that are not there", () => {
  it("are a gap and a lost run each, and never unmapped", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1000n, 0x2003n);
    memory.setWord(0x1008n, 0x5003n);
    memory.setWord(0x2000n, 0x6003n);
    memory.bytes(0x5000n);
    memory.makeUnreadable(0x5000n);
    const recorded = new RecordingMemory(memory);
    const gaps = await collectTables(recorded, regime);
    expect(gaps).toEqual([
      { regime: "EL1&0", pa: 0x5000n, level: 1, code: "read-failed" },
      { regime: "EL1&0", pa: 0x6000n, level: 2, code: "outside-memory" },
    ]);
    expect(mapRegime(regime, recorded).lost).toEqual([
      { start: 0, pages: 2 ** 18, table: 6, level: 2, code: "outside-memory" },
      { start: 2 ** 27, pages: 2 ** 27, table: 5, level: 1, code: "read-failed" },
    ]);
  });

  it("are a gap for the root, and nothing more is read", async () => {
    const memory = new FakeMemory();
    expect(await collectTables(memory, regime)).toMatchObject([{ pa: 0x1000n, level: 0, code: "outside-memory" }]);
    expect(memory.batches).toHaveLength(1);
  });

  it("are no gap above the width of output addresses, where they are no address", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1000n, 0x10_0000_0003n);
    const narrow = el1Regime({ TTBR0_EL1: 0x1000n, ID_AA64MMFR0_EL1: 1n });
    expect(await collectTables(memory, narrow)).toEqual([]);
    expect(memory.pagesRead).toEqual([0x1000n]);
  });
});

describe("a root table shorter than a page", () => {
  /** T0SZ = 21: 16 entries, so the table may start at each multiple of 128 bytes. */
  const short = el1Regime({ TTBR0_EL1: 0x1080n, TCR_EL1: tcrEl1({ t0sz: 21 }) });

  it("starts inside a page, whose other entries are not followed", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1078n, 0x2003n);
    memory.setWord(0x1080n, 0x3003n);
    memory.setWord(0x10f8n, 0x4003n);
    memory.setWord(0x1100n, 0x5003n);
    for (const page of [0x3000n, 0x4000n]) memory.setWord(page, 0x4000_0401n);
    await collectTables(memory, short);
    expect(batchesOf(memory)).toEqual([[0x1000n], [0x3000n, 0x4000n]]);
    const { runs } = mapRegime(short, memory);
    expect(runs.map(({ start }) => start)).toEqual([0, 15 * 2 ** 27]);
  });

  it("may be the last of its page", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1ff8n, 0x3003n);
    memory.bytes(0x3000n);
    const last = el1Regime({ TTBR0_EL1: 0x1f80n, TCR_EL1: tcrEl1({ t0sz: 21 }) });
    await collectTables(memory, last);
    expect(memory.pagesRead).toEqual([0x1000n, 0x3000n]);
  });
});

describe("the bound on tables", () => {
  /** A root with 8 tables at level 1, each with one at level 2. */
  function wide(): FakeMemory {
    const memory = new FakeMemory();
    for (let i = 0n; i < 8n; i++) {
      memory.setWord(0x1000n + i * 8n, ((0x10n + i) << 12n) | 3n);
      memory.setWord((0x10n + i) << 12n, ((0x20n + i) << 12n) | 3n);
      memory.bytes((0x20n + i) << 12n);
    }
    return memory;
  }

  it.each([1, 2, 8, 9, 10, 16])(
    "of %i lets so many be read; the next level's rest is a gap each",
    async (maxTables) => {
      const memory = wide();
      const gaps = await collectTables(memory, regime, { maxTables });
      expect(memory.pagesRead).toHaveLength(maxTables);
      // What is read at one level names what is wanted at the next.
      const atLevel1 = Math.min(8, maxTables - 1);
      const atLevel2 = maxTables - 1 - atLevel1;
      expect(gaps).toHaveLength(8 - atLevel1 + (atLevel1 - atLevel2));
      expect(new Set(gaps.map(({ code }) => code))).toEqual(new Set(["too-many-tables"]));
    },
  );

  it("is not met when there are exactly so many", async () => {
    expect(await collectTables(wide(), regime, { maxTables: 17 })).toEqual([]);
    expect(await collectTables(wide(), regime)).toEqual([]);
    expect(DEFAULT_MAX_TABLES).toBeGreaterThanOrEqual(4096);
  });

  it("holds for both TTBRs together", async () => {
    const memory = wide();
    const both = el1Regime({ TTBR0_EL1: 0x1000n, TTBR1_EL1: 0x1000n, TCR_EL1: tcrEl1({ t1sz: 16 }) });
    const gaps = await collectTables(memory, both, { maxTables: 20 });
    expect(memory.pagesRead).toHaveLength(20);
    expect(gaps.filter(({ code }) => code === "too-many-tables")).toHaveLength(6 + 2);
  });

  it("leaves what it kept from being read unknown, never unmapped", async () => {
    const recorded = new RecordingMemory(wide());
    await collectTables(recorded, regime, { maxTables: 12 });
    const { lost } = mapRegime(regime, recorded);
    expect(lost.map(({ table }) => table)).toEqual([0x23, 0x24, 0x25, 0x26, 0x27]);
  });

  it("of 0 reads nothing", async () => {
    const memory = wide();
    expect(await collectTables(memory, regime, { maxTables: 0 })).toMatchObject([
      { pa: 0x1000n, code: "too-many-tables" },
    ]);
    expect(memory.batches).toEqual([]);
  });
});

describe("what is not decoded", () => {
  it("has its root pages kept raw, and is a gap with the reason", async () => {
    const memory = new FakeMemory();
    filled(memory, 0x1000n, 0x2003n);
    memory.bytes(0x9000n);
    const values = { TTBR0_EL1: 0x1000n, TTBR1_EL1: 0x9000n, TCR_EL1: tcrEl1({ t1sz: 16 }), TCR2_EL1: 1n << 5n };
    const gaps = await collectTables(memory, el1Regime(values));
    expect(batchesOf(memory)).toEqual([[0x1000n, 0x9000n]]);
    expect(gaps.map(({ pa, code }) => [pa, code])).toEqual([
      [0x1000n, "extension-not-decoded"],
      [0x9000n, "extension-not-decoded"],
    ]);
    expect(gaps[0]?.why).toContain("D128");
  });

  it("reads nothing where there is no root to keep", async () => {
    const memory = new FakeMemory();
    expect(await collectTables(memory, el1Regime({ SCTLR_EL1: 0n }))).toEqual([]);
    expect(memory.batches).toEqual([]);
  });
});
