/**
 * Tables that a guest wrote to do harm: bounded in what is read and made, and no mapping that the hardware would not make. What the
 * hardware would do is the slow decoder's word.
 */
import { describe, expect, it, vi } from "vitest";
import { collectTables } from "../../src/aarch64/collect.ts";
import { readRegime } from "../../src/aarch64/regime.ts";
import type { RegimeMap } from "../../src/aarch64/regime-map.ts";
import type { RegimeName } from "../../src/aarch64/regime-model.ts";
import { mapRegime } from "../../src/aarch64/walk.ts";
import { RecordingMemory } from "../../src/snapshot/page-memory.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { Random } from "../support/random.ts";
import { registersFrom } from "../support/regimes.ts";
import { slowTranslate } from "../support/slow-decoder.ts";

vi.setConfig({ testTimeout: 120_000 });

const ROOT = 0x10_0000n;
const MAX_TABLES = 64;
const MAX_VISITS = 200;
const TABLE = 3n;
/** AF, Normal memory, and type bits of a table or page. */
const VALID = 0x403n;

interface Format {
  readonly name: string;
  readonly regime: RegimeName;
  readonly registers: Readonly<Record<string, bigint>>;
  /** Bytes of a table. */
  readonly granule: bigint;
}

/** PARange of 52 bits, FEAT_LPA2 for 4 and 16 KiB, FEAT_XNX. */
const ID = { ID_AA64MMFR0_EL1: 0x1020_0006n, ID_AA64MMFR1_EL1: 1n << 28n, ID_AA64MMFR2_EL1: 0n };
const ON = { SCTLR_EL1: 0x1005n, MAIR_EL1: 0xffn, TTBR0_EL1: ROOT, cpsr: 5n, ...ID };
const EPD1 = 1n << 23n;
const PS_48 = 5n;

function stage1(name: string, tcr: bigint, granule: bigint): Format {
  const registers = { ...ON, TCR_EL1: tcr | EPD1 | (PS_48 << 32n) };
  return { name, regime: "EL1&0", registers, granule };
}

function stage2(name: string, vtcr: bigint, granule: bigint): Format {
  const registers = { ...ID, SCTLR_EL2: 0n, HCR_EL2: 1n, VTTBR_EL2: ROOT, VTCR_EL2: vtcr | (PS_48 << 16n) };
  return { name, regime: "stage2", registers, granule };
}

const FORMATS: readonly Format[] = [
  stage1("4 KiB", 16n, 0x1000n),
  stage1("16 KiB", 17n | (2n << 14n), 0x4000n),
  stage1("64 KiB", 22n | (1n << 14n), 0x1_0000n),
  stage1("4 KiB with FEAT_LPA2", 12n | (1n << 59n), 0x1000n),
  stage2("4 KiB, stage 2", 16n | (2n << 6n), 0x1000n),
  stage2("16 KiB, stage 2", 17n | (2n << 6n) | (2n << 14n), 0x4000n),
  stage2("64 KiB, stage 2", 22n | (1n << 6n) | (1n << 14n), 0x1_0000n),
];

function fill(memory: FakeMemory, table: bigint, size: bigint, entry: (i: bigint) => bigint): void {
  for (let i = 0n; i < size / 8n; i++) memory.setWord(table + i * 8n, entry(i));
}

const ATTACKS: readonly [name: string, write: (memory: FakeMemory, granule: bigint) => void][] = [
  ["a root whose entries all lead to itself", (memory, granule) => fill(memory, ROOT, granule, () => ROOT | VALID)],
  [
    "a cycle of three tables",
    (memory, granule) => {
      for (const k of [0n, 1n, 2n]) {
        fill(memory, ROOT + k * granule, granule, (i) => (ROOT + ((k + 1n + (i % 2n)) % 3n) * granule) | VALID);
      }
    },
  ],
  ["a root of ones", (memory, granule) => fill(memory, ROOT, granule, () => 2n ** 64n - 1n)],
  [
    "tables where there is no memory, as in flash or a device",
    (memory, granule) => fill(memory, ROOT, granule, (i) => ((i * granule) % 0x800_0000n) | TABLE),
  ],
  [
    "more tables than may be read, each leading back to the root",
    (memory, granule) => {
      fill(memory, ROOT, granule, (i) => (0x100_0000n + (i % 200n) * granule) | VALID);
      for (let k = 0n; k < 200n; k++) fill(memory, 0x100_0000n + k * granule, 64n, () => ROOT | VALID);
    },
  ],
];

function mapped(map: RegimeMap, va: bigint): bigint | "unmapped" | "unknown" {
  const page = Number(va >> 12n);
  const run = map.runs.find(({ start, pages }) => start <= page && page < start + pages);
  if (run !== undefined) return (BigInt(run.output + page - run.start) << 12n) | (va & 0xfffn);
  return map.lost.some(({ start, pages }) => start <= page && page < start + pages) ? "unknown" : "unmapped";
}

function addresses(map: RegimeMap, seed: number): bigint[] {
  const random = new Random(seed);
  const ends = Array.from({ length: Math.min(map.runs.length, 40) }, () => BigInt(random.pick(map.runs).start) << 12n);
  return [...ends, ...Array.from({ length: 60 }, () => BigInt.asUintN(52, random.word()))];
}

describe.each(FORMATS)("with the format $name", ({ regime: name, registers, granule }) => {
  it.each(ATTACKS)("%s: bounded, and nothing is mapped that the hardware would not map", async (_, write) => {
    const memory = new FakeMemory();
    write(memory, granule);
    const recorded = new RecordingMemory(memory);
    const regime = readRegime(name, registersFrom(registers));
    expect(regime.roots).toHaveLength(1);
    await collectTables(recorded, regime, { maxTables: MAX_TABLES });
    expect(recorded.pages.size).toBeLessThanOrEqual(MAX_TABLES);
    const map = mapRegime(regime, recorded, { maxVisits: MAX_VISITS });
    expect(map.runs.length + map.lost.length).toBeLessThan(MAX_VISITS * 1024);
    const known = new Map(Object.entries(registers));
    const machine = { register: (each: string) => known.get(each), word: (address: bigint) => memory.word(address) };
    for (const va of addresses(map, Number(granule))) {
      const ours = mapped(map, va);
      const slow = slowTranslate(machine, name as never, va);
      if (typeof ours === "bigint") expect(slow).toMatchObject({ outcome: "mapped", output: ours });
      if (ours === "unmapped") expect(slow.outcome).toBe("fault");
    }
  });
});

describe("EL1&0 behind a stage 2 that maps its tables onto its own", () => {
  it("is bounded, and as the hardware has it", async () => {
    const memory = new FakeMemory();
    // Stage 2: level 1 with 512 entries; IPA 0 to 1 GiB is PA 0 to 1 GiB, so that stage 1's root is stage 2's.
    const STAGE2_BLOCK = 0x7fdn;
    fill(memory, ROOT, 0x1000n, (i) => ((i % 4n) << 30n) | STAGE2_BLOCK | (i % 2n === 1n ? 2n : 0n));
    const registers = {
      ...ON,
      TCR_EL1: 16n | EPD1 | (PS_48 << 32n),
      HCR_EL2: 1n,
      SCTLR_EL2: 0n,
      VTTBR_EL2: ROOT,
      VTCR_EL2: 25n | (1n << 6n) | (PS_48 << 16n),
    };
    const regime = readRegime("EL1&0", registersFrom(registers));
    const recorded = new RecordingMemory(memory);
    await collectTables(recorded, regime, { maxTables: MAX_TABLES });
    expect(recorded.pages.size).toBeLessThanOrEqual(2 * MAX_TABLES);
    const map = mapRegime(regime, recorded, { maxVisits: MAX_VISITS });
    const known = new Map<string, bigint>(Object.entries(registers));
    const machine = { register: (each: string) => known.get(each), word: (address: bigint) => memory.word(address) };
    for (const va of addresses(map, 1)) {
      const ours = mapped(map, va);
      const slow = slowTranslate(machine, "EL1&0", va);
      if (typeof ours === "bigint") expect(slow).toMatchObject({ outcome: "mapped", output: ours });
      if (ours === "unmapped") expect(slow.outcome).toBe("fault");
    }
  });
});

describe("with the bounds that hold unless told", () => {
  const identity = (k: bigint): bigint => 0x1000n * (k + 1n) + ROOT;

  it("stage 1 times stage 2, neither of which is much by itself, ends in runs and gaps that fit", () => {
    const memory = new FakeMemory();
    // Stage 1: every entry of levels 0 and 1 leads on, level 2 is blocks of 2 MiB over one IPA GiB.
    fill(memory, ROOT, 0x1000n, () => identity(0n) | TABLE);
    fill(memory, identity(0n), 0x1000n, () => identity(1n) | TABLE);
    fill(memory, identity(1n), 0x1000n, (i) => (i << 21n) | 0x401n);
    // Stage 2: IPA 0 to 1 GiB by 512 tables that are not there; RAM itself by one block.
    const vttbr = 0x200_0000n;
    fill(memory, vttbr, 0x1000n, (i) => (i === 0n ? 0x200_1000n | TABLE : 0n));
    fill(memory, 0x200_1000n, 0x1000n, (i) => (i < 8n ? (i << 21n) | 0x7fdn : (0x8000_0000n + i * 0x1000n) | TABLE));
    const registers = {
      ...ON,
      TCR_EL1: 16n | EPD1 | (PS_48 << 32n),
      HCR_EL2: 1n,
      SCTLR_EL2: 0n,
      VTTBR_EL2: vttbr,
      VTCR_EL2: 25n | (1n << 6n) | (PS_48 << 16n),
    };
    const { runs, lost } = mapRegime(readRegime("EL1&0", registersFrom(registers)), memory);
    expect(runs.length).toBeLessThan(2 ** 17);
    expect(lost.length).toBeLessThan(2 ** 15);
    expect(lost.map(({ code }) => code)).toContain("too-many-tables");
    expect(lost.map(({ code }) => code)).toContain("outside-memory");
  });

  it("tables without end are fetched up to the bound, and the gaps told are few", async () => {
    // Every page is a table of 512 others, each another one.
    const page = (address: bigint): Uint8Array => {
      const words = new BigUint64Array(512);
      for (let i = 0; i < 512; i++) words[i] = ((address * 512n + BigInt(i) * 0x1000n) & 0x7fff_ffff_f000n) | TABLE;
      return new Uint8Array(words.buffer);
    };
    let pages = 0;
    const endless = {
      read: async (spans: readonly { address: bigint }[]) => {
        pages += spans.length;
        return spans.map(({ address }) => ({ state: "present", bytes: page(address) }) as const);
      },
    };
    const regime = readRegime("EL1&0", registersFrom({ ...ON, TCR_EL1: 16n | EPD1 | (PS_48 << 32n) }));
    const gaps = await collectTables(endless, regime);
    expect(pages).toBe(16_384);
    expect(gaps.length).toBeGreaterThan(0);
    expect(gaps.length).toBeLessThanOrEqual(1024);
    expect(new Set(gaps.map(({ code }) => code))).toEqual(new Set(["too-many-tables"]));
  });
});
