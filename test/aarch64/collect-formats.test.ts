/** Tables of every format are fetched whole, level by level; of what is not decoded, the root page. */
import { describe, expect, it } from "vitest";
import { collectTables } from "../../src/aarch64/collect.ts";
import { liveRegimes, readRegime } from "../../src/aarch64/regime.ts";
import { FakeMemory } from "../support/fake-memory.ts";

const TABLE = 3n;
const EL1H = 0b0101n;
const VM = 1n;

function registers(values: Record<string, bigint>): { get(name: string): bigint | undefined } {
  return { get: (name) => values[name] };
}

/** A stage 1 regime at EL1 with these fields of TCR_EL1, TTBR1 disabled. */
function el1(tcr: bigint, ttbr0: bigint, more: Record<string, bigint> = {}) {
  const epd1 = 1n << 23n;
  return registers({ cpsr: EL1H, SCTLR_EL1: 1n, TCR_EL1: tcr | epd1, TTBR0_EL1: ttbr0, MAIR_EL1: 0n, ...more });
}

function pagesRead(memory: FakeMemory): bigint[] {
  return memory.batches.flatMap((spans) => spans.map(({ address }) => address as bigint));
}

function range(start: bigint, pages: number): bigint[] {
  return Array.from({ length: pages }, (_, i) => start + BigInt(i) * 0x1000n);
}

/** Level 2 block: MemAttr Normal WB, readable and writable, AF. */
const STAGE2_BLOCK = 0x7fdn;

/** VTCR_EL2: T0SZ = 23 (41 bits), SL0 = 1: level 1 with 2048 entries, four tables in a row; the last table's first entry leads on. */
function stage2Values(memory: FakeMemory): Record<string, bigint> {
  for (const page of range(0x10_0000n, 4)) memory.bytes(page);
  memory.setWord(0x10_3000n, 0x20_0000n | TABLE);
  memory.bytes(0x20_0000n);
  return { HCR_EL2: VM, VTTBR_EL2: 0x10_0000n, VTCR_EL2: 23n | (1n << 6n) | (5n << 16n) };
}

describe("tables", () => {
  it("of the 64 KiB granule are read whole, level by level", async () => {
    // T0SZ = 16: 48 bits, which start at level 1 with 64 entries (one page); the tables below have 16 pages.
    const memory = new FakeMemory();
    memory.setWord(0x10_0000n, 0x20_0000n | TABLE);
    memory.setWord(0x20_0000n + 0x9000n, 0x30_0000n | TABLE);
    memory.setWord(0x20_0000n, 0x4000_0000n | 1n);
    memory.setWord(0x30_0000n, 0x5000_0000n | TABLE);
    for (const page of [...range(0x20_0000n, 16), ...range(0x30_0000n, 16)]) memory.bytes(page);
    const regime = readRegime("EL1&0", el1(16n | (1n << 14n), 0x10_0000n));
    const gaps = await collectTables(memory, regime);
    expect(gaps).toEqual([]);
    // Level 3 descriptors name pages of memory, not tables: nothing is read at 0x5000_0000.
    expect(pagesRead(memory)).toEqual([0x10_0000n, ...range(0x20_0000n, 16), ...range(0x30_0000n, 16)]);
  });

  it("of the 16 KiB granule are read whole", async () => {
    // T0SZ = 17: 47 bits, which start at level 1 with 2048 entries (four pages).
    const memory = new FakeMemory();
    for (const page of [...range(0x10_0000n, 4), ...range(0x20_4000n, 4)]) memory.bytes(page);
    memory.setWord(0x10_0000n + 0x3ff8n, 0x20_4000n | TABLE);
    const regime = readRegime("EL1&0", el1(17n | (2n << 14n), 0x10_0000n));
    await collectTables(memory, regime);
    expect(pagesRead(memory)).toEqual([...range(0x10_0000n, 4), ...range(0x20_4000n, 4)]);
  });

  it("with FEAT_LPA2 start at level -1 when the address has 52 bits", async () => {
    const memory = new FakeMemory();
    const tables = [0x1000n, 0x2000n, 0x3000n, 0x4000n, 0x5000n];
    for (const [i, table] of tables.entries()) memory.setWord(table, (tables[i + 1] ?? 0x9000n) | TABLE);
    const regime = readRegime("EL1&0", el1(12n | (1n << 59n), 0x1000n));
    await collectTables(memory, regime);
    expect(pagesRead(memory)).toEqual(tables);
  });

  it("whose permissions are indirect are followed, and big-endian ones", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1000n, 0x2000n | TABLE);
    memory.bytes(0x2000n);
    memory.setWord(0x2000n, 0n);
    await collectTables(memory, readRegime("EL1&0", el1(16n, 0x1000n, { TCR2_EL1: 2n })));
    expect(pagesRead(memory)).toEqual([0x1000n, 0x2000n]);
    const swapped = new FakeMemory();
    new DataView(swapped.bytes(0x1000n).buffer).setBigUint64(8, 0x2000n | TABLE, false);
    swapped.bytes(0x2000n);
    await collectTables(swapped, readRegime("EL1&0", el1(16n, 0x1000n, { SCTLR_EL1: 1n | (1n << 25n) })));
    expect(pagesRead(swapped)).toEqual([0x1000n, 0x2000n]);
  });

  it("with descriptors of 128 bits (FEAT_D128) are a gap, and only the root page is kept", async () => {
    const memory = new FakeMemory();
    memory.setWord(0x1000n, 0x2000n | TABLE);
    const gaps = await collectTables(memory, readRegime("EL1&0", el1(16n, 0x1000n, { TCR2_EL1: 1n << 5n })));
    expect(gaps.map(({ code, pa }) => [code, pa])).toContainEqual(["extension-not-decoded", 0x1000n]);
    expect(pagesRead(memory)).toContain(0x1000n);
    expect(pagesRead(memory)).not.toContain(0x2000n);
  });

  it("of stage 2 are followed from concatenated roots", async () => {
    const memory = new FakeMemory();
    const stage2 = liveRegimes(el1(16n, 0x7000n, stage2Values(memory))).find(({ name }) => name === "stage2");
    if (stage2 === undefined) throw new Error("stage 2 is not live");
    expect(await collectTables(memory, stage2)).toEqual([]);
    expect(pagesRead(memory)).toEqual([...range(0x10_0000n, 4), 0x20_0000n]);
  });

  it("of EL1&0 behind stage 2 are found by their intermediate addresses, after those of stage 2", async () => {
    const memory = new FakeMemory();
    // IPA 0x180_0000_0000 to 0x180_3fff_ffff lies at PA 0x4000_0000.
    memory.setWord(0x4000_7000n, 0x180_0000_8000n | TABLE);
    memory.setWord(0x4000_8000n, 0x100_0000_0000n | TABLE);
    const values = { ...stage2Values(memory), TTBR0_EL1: 0x180_0000_7000n };
    memory.setWord(0x20_0000n, 0x4000_0000n | STAGE2_BLOCK);
    const regime = readRegime("EL1&0", el1(16n | (5n << 32n), 0x180_0000_7000n, values));
    // What the second table names is not mapped by stage 2: the hardware cannot read it either, so it is no gap.
    expect(await collectTables(memory, regime)).toEqual([]);
    expect(pagesRead(memory)).toEqual([...range(0x10_0000n, 4), 0x20_0000n, 0x4000_7000n, 0x4000_8000n]);
  });

  it("are bounded as others are, also when they refer to themselves", async () => {
    const memory = new FakeMemory();
    const page = memory.bytes(0x1000n);
    for (let i = 0; i < 512; i++)
      new DataView(page.buffer).setBigUint64(i * 8, BigInt(0x10000 + i * 0x1000) | TABLE, true);
    await collectTables(memory, readRegime("EL1&0", el1(16n | (1n << 59n), 0x1000n)), { maxTables: 100 });
    expect(pagesRead(memory)).toHaveLength(100);
    const self = new FakeMemory();
    for (let i = 0; i < 512; i++) self.setWord(0x1000n + BigInt(i * 8), 0x1000n | TABLE);
    await collectTables(self, readRegime("EL1&0", el1(16n | (1n << 59n), 0x1000n)));
    expect(pagesRead(self)).toEqual([0x1000n, 0x1000n, 0x1000n, 0x1000n]);
  });
});
