import { beforeAll, describe, expect, it, vi } from "vitest";
import { readRegime } from "../../src/aarch64/regime.ts";
import { type Translation, Translator } from "../../src/aarch64/translate.ts";
import { joinReads, translatedMemory } from "../../src/aarch64/virtual-memory.ts";
import { virt } from "../../src/base/address.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { faultLine, mappingText, slowText } from "../support/mapping-text.ts";
import { el1Regime, regimeOf, tcrEl1 } from "../support/regimes.ts";
import { type SlowTranslation, slowTranslate } from "../support/slow-decoder.ts";
import { anyWorld } from "../support/tables.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const WORLDS = 10_000;
const ADDRESSES = 20;

function resultText(result: Translation): string {
  if (result.mapped === true) return mappingText(result.pa, result.attributes);
  return result.mapped === null ? `unknown: ${result.why}` : faultLine(result.fault);
}

function slowResultText(result: SlowTranslation, codeOf: (page: bigint) => string): string {
  if (result.outcome === "mapped") return slowText(result);
  if (result.outcome === "unreadable") return `unknown: ${codeOf(result.descriptor & ~0xfffn)}`;
  return faultLine(result);
}

describe("translations through random tables of every regime and format", () => {
  const differences: string[] = [];
  const kinds = new Map<string, number>();

  beforeAll(() => {
    for (let seed = 1_000_000; seed < 1_000_000 + WORLDS; seed++) {
      const world = anyWorld(seed);
      const translator = new Translator(regimeOf(world), world.memory);
      const codeOf = (page: bigint): string => {
        const read = world.memory.page(page as never);
        return read.state === "present" ? "present" : read.code;
      };
      for (let i = 0; i < ADDRESSES; i++) {
        const va = world.address();
        const slow = slowTranslate(world.machine, world.regime, va);
        const wanted = slowResultText(slow, codeOf);
        const got = resultText(translator.translate(virt(va)).result);
        if (got !== wanted) differences.push(`seed ${seed}, 0x${va.toString(16)}: ${got}, not ${wanted}`);
        const stages = world.twoStages ? "both stages" : world.regime;
        const kind = slow.outcome === "mapped" ? `${stages}, level ${slow.level}` : (wanted.split(":")[0] as string);
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
    }
  });

  it("end as with the slow decoder, with the same address, attributes, fault and level", () => {
    expect(differences.slice(0, 5)).toEqual([]);
  });

  it("ended in every way that there is", () => {
    const faults = ["translation", "address size"].flatMap((kind) =>
      [1, 2].flatMap((stage) => [0, 1, 2, 3].map((level) => `${kind} fault, stage ${stage}, level ${level}`)),
    );
    const regimes = ["EL1&0", "EL2", "EL2&0", "EL3", "stage2", "both stages"];
    const mapped = regimes.flatMap((regime) => [0, 1, 2, 3].map((level) => `${regime}, level ${level}`));
    for (const way of [...faults, ...mapped, "unknown"]) expect(kinds.get(way), way).toBeGreaterThan(20);
    const onWalk = [...kinds].filter(([kind]) => kind.endsWith("on the walk"));
    expect(onWalk.length).toBeGreaterThan(10);
  });
});

/** 0x1000 → 0x2000 → 0x3000 → 0x4000 for va 0 … 2 MiB; page i of it is at 0x8000_0000 + 2 * i * 4096. Page 3 is not mapped. */
function tables(): FakeMemory {
  const memory = new FakeMemory();
  for (const page of [0x1000n, 0x2000n, 0x3000n]) memory.setWord(page, (page + 0x1000n) | 3n);
  for (const i of [0n, 1n, 2n, 4n, 5n]) memory.setWord(0x4000n + i * 8n, (0x8000_0000n + i * 0x2000n) | 0x403n);
  memory.setWord(0x3008n, 0x7000n | 3n);
  return memory;
}

const regime = el1Regime({ TTBR0_EL1: 0x1000n });

describe("the steps of a translation", () => {
  const translator = new Translator(regime, tables());

  it("are the descriptors on the way down, the leaf last", () => {
    expect(translator.translate(virt(0x2_345n)).steps).toMatchObject([
      { level: 0, table: 0x1000n, index: 0, descriptor: 0x2003n, kind: "table" },
      { level: 1, table: 0x2000n, index: 0, descriptor: 0x3003n, kind: "table" },
      { level: 2, table: 0x3000n, index: 0, descriptor: 0x4003n, kind: "table" },
      { level: 3, table: 0x4000n, index: 2, descriptor: 0x8000_4403n, kind: "page" },
    ]);
  });

  it("end with the invalid descriptor that the fault is about", () => {
    const { steps, result } = translator.translate(virt(0x3000n));
    expect(steps.at(-1)).toMatchObject({ level: 3, table: 0x4000n, index: 3, descriptor: 0n, kind: "invalid" });
    expect(result).toMatchObject({ mapped: false, why: "translation fault, level 3", level: 3 });
  });

  it("end before the table that cannot be read", () => {
    const { steps, result } = translator.translate(virt(0x20_0000n));
    expect(steps.at(-1)).toMatchObject({ level: 2, index: 1, kind: "table" });
    expect(result).toEqual({ mapped: null, why: "outside-memory" });
  });

  it("end with the descriptor that names an address too wide", () => {
    const memory = tables();
    memory.setWord(0x4000n, 0x10_0000_0403n);
    const narrow = el1Regime({ TTBR0_EL1: 0x1000n, ID_AA64MMFR0_EL1: 1n });
    const { steps, result } = new Translator(narrow, memory).translate(virt(0n));
    expect(steps.at(-1)).toMatchObject({ level: 3, kind: "page" });
    expect(result).toMatchObject({ mapped: false, why: "address size fault, level 3", level: 3 });
  });

  it("count indices of a short root table from its start", () => {
    const memory = tables();
    memory.setWord(0x1f88n, 0x2003n);
    const short = el1Regime({ TTBR0_EL1: 0x1f80n, TCR_EL1: tcrEl1({ t0sz: 21 }) });
    const { steps } = new Translator(short, memory).translate(virt(0x80_0000_0000n));
    expect(steps[0]).toMatchObject({ level: 0, table: 0x1f80n, index: 1, descriptor: 0x2003n, kind: "table" });
    expect(steps).toHaveLength(4);
  });
});

describe("an address outside the decoded ranges", () => {
  const half = el1Regime({
    TTBR0_EL1: 0x1000n,
    TTBR1_EL1: 0x9000n,
    TCR_EL1: tcrEl1({ t0sz: 16, t1sz: 25, extra: 3n << 14n }),
  });
  const translator = new Translator(half, tables());

  it("is unknown in the half whose TTBR is not decoded", () => {
    expect(translator.translate(virt(0x1000n)).result).toMatchObject({
      mapped: null,
      why: "constrained-unpredictable",
    });
  });

  it("is unmapped between the range of the other TTBR and the middle of the address space", () => {
    const { result } = translator.translate(virt(0xffff_0000_0000_0000n));
    expect(result).toMatchObject({ mapped: false, level: 0 });
  });

  it("is unmapped where no part of the regime is undecoded", () => {
    expect(new Translator(regime, tables()).translate(virt(-1n)).result).toMatchObject({ mapped: false, level: 0 });
  });
});

describe("memory by virtual address", () => {
  function translated(): { memory: FakeMemory; read: (va: bigint, length: number) => Promise<unknown> } {
    const memory = tables();
    const virtual = translatedMemory(new Translator(regime, memory), memory);
    return { memory, read: async (va, length) => (await virtual.read([{ address: virt(va), length }]))[0] };
  }

  it("follows each page of a span to where it is", async () => {
    const { memory, read } = translated();
    memory.write(0x8000_0ffen, Uint8Array.of(1, 2));
    memory.write(0x8000_2000n, new Uint8Array(4096).fill(3));
    memory.write(0x8000_4000n, Uint8Array.of(4));
    const bytes = Buffer.concat([Buffer.of(1, 2), Buffer.alloc(4096, 3), Buffer.of(4)]);
    expect(await read(0xffen, 4099)).toEqual({ state: "present", bytes });
  });

  it("is absent where a page of the span is not mapped", async () => {
    const { memory, read } = translated();
    memory.bytes(0x8000_4000n);
    expect(await read(0x2ff8n, 16)).toEqual({ state: "absent", code: "not-mapped" });
  });

  it("is unreadable where a table is not at hand", async () => {
    expect(await translated().read(0x20_0000n, 8)).toEqual({ state: "unreadable", code: "outside-memory" });
  });

  it("passes on why physical memory cannot be read", async () => {
    const { memory, read } = translated();
    memory.makeUnreadable(0x8000_0000n);
    expect(await read(0n, 8)).toEqual({ state: "unreadable", code: "read-failed" });
  });

  it("is one batch of physical reads for many spans, answered in their order", async () => {
    const memory = tables();
    for (const i of [0n, 1n, 4n]) memory.write(0x8000_0000n + i * 0x2000n, Uint8Array.of(Number(i) + 1));
    const virtual = translatedMemory(new Translator(regime, memory), memory);
    const spans = [0x4000n, 0x3000n, 0n, 0x1000n].map((va) => ({ address: virt(va), length: 1 }));
    const reads = await virtual.read(spans);
    expect(reads.map((read) => (read.state === "present" ? read.bytes[0] : read.code))).toEqual([
      5,
      "not-mapped",
      1,
      2,
    ]);
    expect(memory.batches).toHaveLength(1);
  });

  it("joins parts only when all of them are present", () => {
    const present = { state: "present", bytes: Uint8Array.of(1) } as const;
    const absent = { state: "absent", code: "not-mapped" } as const;
    expect(joinReads([present, absent, present])).toBe(absent);
    expect(joinReads([present, present])).toEqual({ state: "present", bytes: Buffer.of(1, 1) });
  });
});

describe("a tagged address", () => {
  const values = { SCTLR_EL1: 1n, MAIR_EL1: 0xffn, TTBR0_EL1: 0x1000n, TTBR1_EL1: 0x9000n, cpsr: 5n };
  const translateTagged = (tbi: bigint, va: bigint) => {
    const memory = new FakeMemory();
    // Blocks of 1 GiB at level 1: T0SZ = T1SZ = 25, TG1 = 4 KiB.
    memory.setWord(0x1000n, 0x4000_0000n | 0x401n);
    memory.setWord(0x9000n + 511n * 8n, 0x8000_0000n | 0x401n);
    const tcr = 25n | (25n << 16n) | (2n << 30n) | tbi;
    const registers = { get: (name: string) => ({ ...values, TCR_EL1: tcr })[name as keyof typeof values] };
    return new Translator(readRegime("EL1&0", registers), memory).translate(virt(va)).result;
  };

  it("is translated without its tag where TBI is 1, by bit 55", () => {
    expect(translateTagged(1n << 37n, 0x5a00_0000_0000_1000n)).toMatchObject({ mapped: true, pa: 0x4000_1000n });
    expect(translateTagged(1n << 38n, 0x5aff_ffff_ffff_f000n)).toMatchObject({ mapped: true, pa: 0xbfff_f000n });
  });

  it("is outside every range where TBI is 0", () => {
    expect(translateTagged(0n, 0x5a00_0000_0000_1000n)).toMatchObject({ mapped: false });
    expect(translateTagged(1n << 37n, 0x5aff_ffff_ffff_f000n)).toMatchObject({ mapped: false });
  });
});
