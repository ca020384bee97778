import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Attributes } from "../../src/aarch64/attributes.ts";
import { type RegimeMap, runMapping } from "../../src/aarch64/regime-map.ts";
import { mapRegime } from "../../src/aarch64/walk.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { mappingText, slowText } from "../support/mapping-text.ts";
import { Random } from "../support/random.ts";
import { el1Regime, regimeOf, tcrEl1 } from "../support/regimes.ts";
import { slowTranslate } from "../support/slow-decoder.ts";
import { anyWorld, randomWorld, type World } from "../support/tables.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const WORLDS = 1500;
const RANDOM_ADDRESSES = 20;
const BOUNDARIES = 12;
const TOP_PAGE = 2 ** 52;

interface Interval {
  readonly start: number;
  readonly pages: number;
}

const endOf = ({ start, pages }: Interval): number => start + pages;

/** The interval that holds a page; they are sorted and do not overlap. */
function holding<T extends Interval>(intervals: readonly T[], page: number): T | undefined {
  let low = 0;
  for (let high = intervals.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (endOf(intervals[middle] as T) <= page) low = middle + 1;
    else high = middle;
  }
  const found = intervals[low];
  return found !== undefined && found.start <= page ? found : undefined;
}

/** What a map says of an address, in the words of the slow decoder. */
function mapText(map: RegimeMap, twoStages: boolean, va: bigint): string {
  const page = Number(va >> 12n);
  const run = holding(map.runs, page);
  const lost = map.lost.filter((each) => each.start <= page && page < endOf(each));
  if (run !== undefined && lost.length > 0) return "mapped and lost at once";
  if (run !== undefined) {
    const output = (BigInt(run.output + (page - run.start)) << 12n) | (va & 0xfffn);
    return mappingText(output, run.attributes);
  }
  if (lost.length === 0) return "unmapped";
  return twoStages ? "unreadable" : `unreadable table ${lost[0]?.table} level ${lost[0]?.level}`;
}

function slowMapText({ machine, regime, twoStages }: World, va: bigint): string {
  const result = slowTranslate(machine, regime, va);
  if (result.outcome === "mapped") return slowText(result);
  if (result.outcome === "fault") return "unmapped";
  // Where stage 2 keeps a table of stage 1 unknown, the map of EL1&0 names no table: stage 2's own does.
  return twoStages ? "unreadable" : `unreadable table ${Number(result.descriptor >> 12n)} level ${result.level}`;
}

/** The pages at both ends of the intervals, and those before and after: of all of them, or of a sample of a great many. */
function boundaries(random: Random, intervals: readonly Interval[]): number[] {
  const all = intervals.length <= BOUNDARIES;
  const some = all ? intervals : Array.from({ length: BOUNDARIES }, () => random.pick(intervals));
  return some.flatMap(({ start, pages }) => {
    const last = start + pages - 1;
    return [start - 1, start, start + 1, last - 1, last, last + 1, start + random.below(pages)];
  });
}

function sampleOf(world: World, map: RegimeMap, random: Random): bigint[] {
  const pages = [...boundaries(random, map.runs), ...boundaries(random, map.lost)];
  const ends = pages.filter((page) => page >= 0 && page < TOP_PAGE).map((page) => BigInt(page) << 12n);
  return [...ends, ...Array.from({ length: RANDOM_ADDRESSES }, () => untagged(world.address()))];
}

/** Bits 63:56 as bit 55 has it: maps are of addresses without tags. */
function untagged(va: bigint): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(56, va));
}

/** Where two neighbours should have been one run. */
function seams({ runs }: RegimeMap): number {
  return runs.filter((run, i) => {
    const last = runs[i - 1];
    if (last === undefined || endOf(last) !== run.start || last.output + last.pages !== run.output) return false;
    return everything(last.attributes) === everything(run.attributes);
  }).length;
}

/** All that keeps runs apart, also what the slow decoder does not know. */
function everything(attributes: Attributes): string {
  return `${mappingText(0n, attributes)} ${attributes.fetch} ${attributes.faultsOnAccess}`;
}

function disorder(intervals: readonly Interval[]): number {
  return intervals.filter(({ start }, i) => i > 0 && endOf(intervals[i - 1] as Interval) > start).length;
}

describe("maps of random tables", () => {
  const differences: string[] = [];
  const count = { addresses: 0, runs: 0, seams: 0, disorder: 0, empty: 0 };
  const outcomes = new Map<string, number>();

  beforeAll(() => {
    for (let seed = 0; seed < WORLDS; seed++) {
      const world = seed % 3 === 0 ? randomWorld(seed) : anyWorld(seed);
      const map = mapRegime(regimeOf(world), world.memory);
      count.runs += map.runs.length;
      count.seams += seams(map);
      count.disorder += disorder(map.runs) + disorder(map.lost);
      count.empty += map.runs.filter(({ pages }) => pages < 1).length;
      for (const va of sampleOf(world, map, new Random(seed))) {
        const wanted = slowMapText(world, va);
        const got = mapText(map, world.twoStages, va);
        count.addresses++;
        const kind = wanted.startsWith("0x") ? `level ${wanted.split("|")[1]}` : (wanted.split(" ")[0] as string);
        outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
        if (got !== wanted) differences.push(`seed ${seed}, 0x${va.toString(16)}: ${got}, not ${wanted}`);
      }
    }
  });

  it("say the same as the slow decoder at every address that was tried", () => {
    expect(differences.slice(0, 5)).toEqual([]);
  });

  it("were tried at mapped, unmapped and unreadable addresses of every level", () => {
    expect(count.addresses).toBeGreaterThan(90_000);
    for (const kind of ["level 1", "level 2", "level 3", "level ", "unmapped", "unreadable"]) {
      expect(outcomes.get(kind), kind).toBeGreaterThan(400);
    }
  });

  it("have runs that are sorted, do not overlap and are not empty", () => {
    expect(count).toMatchObject({ disorder: 0, empty: 0 });
  });

  it("have runs that are as long as they can be", () => {
    expect(count.runs).toBeGreaterThan(100_000);
    expect(count.seams).toBe(0);
  });
});

/** A root at 0x1000 and the tables below it on the way to va 0: level 1 at 0x2000, 2 at 0x3000, 3 at 0x4000. */
function chain(): FakeMemory {
  const memory = new FakeMemory();
  for (const page of [0x1000n, 0x2000n, 0x3000n]) memory.setWord(page, (page + 0x1000n) | 3n);
  memory.bytes(0x4000n);
  return memory;
}

const PAGE_ATTRIBUTES = 0x403n;

describe("one map", () => {
  const regime = el1Regime({ TTBR0_EL1: 0x1000n });

  it("joins pages and a block that go on from each other only where their level is the same", () => {
    const memory = chain();
    for (let i = 0n; i < 512n; i++) memory.setWord(0x4000n + i * 8n, (i << 12n) | PAGE_ATTRIBUTES);
    memory.setWord(0x3008n, 0x20_0000n | 0x401n);
    memory.setWord(0x3010n, 0x40_0000n | 0x401n);
    const { runs } = mapRegime(regime, memory);
    expect(runs.map(({ start, pages, attributes }) => [start, pages, attributes.level])).toEqual([
      [0, 512, 3],
      [512, 1024, 2],
    ]);
  });

  it("joins pages across two tables", () => {
    const memory = chain();
    memory.setWord(0x3008n, 0x5003n);
    memory.setWord(0x4ff8n, 0x8000_0000n | PAGE_ATTRIBUTES);
    memory.setWord(0x5000n, 0x8000_1000n | PAGE_ATTRIBUTES);
    const { runs } = mapRegime(regime, memory);
    expect(runs.map((run) => runMapping("EL1&0", run))).toMatchObject([
      { va: 0x1f_f000n, size: 0x2000n, pa: 0x8000_0000n },
    ]);
  });

  it.each([
    ["NS", 1n << 5n],
    ["a software bit", 1n << 55n],
    ["DBM without hardware dirty state", 1n << 51n],
  ])("joins pages that differ in %s only", (_, noise) => {
    const memory = chain();
    memory.setWord(0x4000n, 0x8000_0000n | PAGE_ATTRIBUTES);
    memory.setWord(0x4008n, 0x8000_1000n | PAGE_ATTRIBUTES | noise);
    expect(mapRegime(regime, memory).runs).toHaveLength(1);
  });

  it("does not join what is contiguous in only one of the two address spaces", () => {
    const memory = chain();
    memory.setWord(0x4000n, 0x8000_0000n | PAGE_ATTRIBUTES);
    memory.setWord(0x4008n, 0x8000_2000n | PAGE_ATTRIBUTES);
    memory.setWord(0x4018n, 0x8000_3000n | PAGE_ATTRIBUTES);
    expect(mapRegime(regime, memory).runs.map(({ start }) => start)).toEqual([0, 1, 3]);
  });

  it("puts the lower range before the upper one", () => {
    const memory = chain();
    memory.setWord(0x4000n, 0x8000_0000n | PAGE_ATTRIBUTES);
    const both = el1Regime({ TCR_EL1: tcrEl1({ t1sz: 16 }), TTBR0_EL1: 0x1000n, TTBR1_EL1: 0x1000n });
    expect(mapRegime(both, memory).runs.map(({ start }) => start)).toEqual([0, 2 ** 52 - 2 ** 36]);
  });

  it("names each table once a level", () => {
    const memory = chain();
    memory.setWord(0x1008n, 0x2003n);
    const { tables } = mapRegime(regime, memory);
    expect(tables).toEqual([1, 2, 3, 4].map((pageNumber, level) => ({ pageNumber, level })));
  });

  it("leaves all of a table that is outside memory unknown", () => {
    const memory = chain();
    memory.remove(0x3000n);
    const lost = { start: 0, pages: 2 ** 18, table: 3, level: 2, code: "outside-memory" };
    expect(mapRegime(regime, memory)).toMatchObject({ runs: [], lost: [lost] });
  });

  it("leaves all of a table that was never asked for unknown", () => {
    const memory = chain();
    const map = mapRegime(regime, { page: (page) => (page === 0x4000n ? undefined : memory.page(page)) });
    expect(map).toMatchObject({ runs: [], lost: [{ start: 0, pages: 512, table: 4, level: 3, code: "not-captured" }] });
  });

  it("leaves the whole range unknown when the root cannot be read", () => {
    const memory = chain();
    memory.makeUnreadable(0x1000n);
    const lost = { start: 0, pages: 2 ** 36, table: 1, level: 0, code: "read-failed" };
    expect(mapRegime(regime, memory)).toMatchObject({ runs: [], lost: [lost] });
  });

  it("leaves a table page of the wrong length unknown", () => {
    const memory = chain();
    const short = { state: "present", bytes: new Uint8Array(8) } as const;
    const map = mapRegime(regime, { page: (page) => (page === 0x4000n ? short : memory.page(page)) });
    expect(map.lost).toMatchObject([{ table: 4, code: "read-failed" }]);
  });

  it("reads pages that are not aligned in their buffer", () => {
    const memory = chain();
    memory.setWord(0x4000n, 0x8000_0000n | PAGE_ATTRIBUTES);
    const shifted = new Uint8Array(4099);
    shifted.set(memory.bytes(0x4000n), 3);
    const odd = { state: "present", bytes: shifted.subarray(3) } as const;
    const map = mapRegime(regime, { page: (page) => (page === 0x4000n ? odd : memory.page(page)) });
    expect(map.runs).toMatchObject([{ start: 0, pages: 1, output: 0x8_0000 }]);
  });

  it("leaves the half of a TTBR that is not decoded unknown, and only that", () => {
    const memory = chain();
    memory.setWord(0x4000n, 0x8000_0000n | PAGE_ATTRIBUTES);
    const half = el1Regime({ TTBR0_EL1: 0x1000n, TTBR1_EL1: 0x9000n, TCR_EL1: tcrEl1({ t1sz: 16 }) & ~(3n << 30n) });
    const map = mapRegime(half, memory);
    expect(map.runs).toMatchObject([{ start: 0, pages: 1 }]);
    expect(map.lost).toMatchObject([
      { start: 2 ** 52 - 2 ** 40, pages: 2 ** 40, table: 9, code: "constrained-unpredictable" },
    ]);
  });

  it("has what is unknown by ascending address, whatever the reason", () => {
    const tcr = tcrEl1({ t1sz: 16, extra: 3n << 14n });
    const { lost } = mapRegime(el1Regime({ TTBR0_EL1: 0x9000n, TTBR1_EL1: 0x1000n, TCR_EL1: tcr }), new FakeMemory());
    expect(lost.map(({ start, code }) => [start, code])).toEqual([
      [0, "constrained-unpredictable"],
      [2 ** 52 - 2 ** 36, "outside-memory"],
    ]);
  });

  it("is one run from 0 to the end of physical memory with translation off", () => {
    const off = el1Regime({ SCTLR_EL1: 0n, ID_AA64MMFR0_EL1: 0b0100n });
    const map = mapRegime(off, new FakeMemory());
    expect(map.runs).toMatchObject([{ start: 0, pages: 2 ** 32, output: 0, attributes: { level: null } }]);
    expect(map.lost).toEqual([]);
  });
});

describe("tables that would never end", () => {
  const regime = el1Regime({ TTBR0_EL1: 0x1000n });

  /** Each page's 512 entries all lead to `target`. */
  function fill(memory: FakeMemory, page: bigint, target: bigint): void {
    for (let i = 0n; i < 512n; i++) memory.setWord(page + i * 8n, target | PAGE_ATTRIBUTES);
  }

  it("map the first of what a root wholly of references to itself leads to, and leave the rest unknown", () => {
    const memory = new FakeMemory();
    fill(memory, 0x1000n, 0x1000n);
    const { runs, lost, tables } = mapRegime(regime, memory);
    expect(runs.length).toBeGreaterThan(2 ** 16);
    expect(runs.length).toBeLessThan(2 ** 16 + 1024);
    expect(lost.length).toBeLessThan(2048);
    expect(new Set(lost.map(({ code }) => code))).toEqual(new Set(["too-many-tables"]));
    expect(tables).toEqual([0, 1, 2, 3].map((level) => ({ pageNumber: 1, level })));
    const known = [...runs, ...lost].reduce((sum, { pages }) => sum + pages, 0);
    expect(known).toBe(2 ** 36);
  });

  it("end after a bounded number of references to tables that are not there", () => {
    const memory = new FakeMemory();
    fill(memory, 0x1000n, 0x2000n);
    fill(memory, 0x2000n, 0x3000n);
    fill(memory, 0x3000n, 0x4000n);
    const { runs, lost } = mapRegime(regime, memory);
    expect(runs).toEqual([]);
    expect(lost.length).toBeGreaterThan(2 ** 17);
    expect(lost.length).toBeLessThan(2 ** 19);
    expect(new Set(lost.map(({ code }) => code))).toEqual(new Set(["outside-memory", "too-many-tables"]));
    expect(lost.reduce((sum, { pages }) => sum + pages, 0)).toBe(2 ** 36);
  });

  it("are a loop of two tables cut at level 3", () => {
    const memory = new FakeMemory();
    memory.setWord(0x1000n, 0x2000n | PAGE_ATTRIBUTES);
    memory.setWord(0x2000n, 0x1000n | PAGE_ATTRIBUTES);
    const { runs, tables } = mapRegime(regime, memory);
    expect(runs).toMatchObject([{ start: 0, pages: 1, output: 1 }]);
    expect(tables.map(({ pageNumber }) => pageNumber)).toEqual([1, 2, 1, 2]);
  });

  it("are pages of ones, whose tables lie outside memory: unknown, not unmapped", () => {
    const memory = new FakeMemory();
    memory.bytes(0x1000n).fill(0xff);
    const { runs, lost } = mapRegime(regime, memory);
    expect(runs).toEqual([]);
    expect(lost).toHaveLength(512);
    expect(lost[511]).toMatchObject({
      start: 511 * 2 ** 27,
      pages: 2 ** 27,
      table: 0xf_ffff_ffff,
      level: 1,
      code: "outside-memory",
    });
  });
});
