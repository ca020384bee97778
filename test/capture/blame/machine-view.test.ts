/** What a vCPU's tables lead to while they are written to: held against a walk of its own after each write. */
import { describe, expect, it } from "vitest";
import { phys, virt } from "../../../src/base/address.ts";
import { MachineView } from "../../../src/capture/blame/machine-view.ts";
import { FakeMemory } from "../../support/fake-memory.ts";
import { Random } from "../../support/random.ts";
import { registersFrom, tcrEl1 } from "../../support/regimes.ts";

/** Tables of levels 0 to 3, two of each but the first; then RAM, and above it nothing. */
const ROOT = 0x1000;
const TABLES = [[ROOT], [0x2000, 0x3000], [0x4000, 0x5000], [0x6000, 0x7000]] as const;
const RAM_END = 0x10_0000;
const PAGES = [0x0, 0x1000, 0x20_0000, 0x20_1000, 0x4000_0000, 0x4000_1000];
const ACCESSED = 0x400;

const EL1 = { cpsr: 5n, SCTLR_EL1: 5n, TCR_EL1: tcrEl1(), MAIR_EL1: 0xffn, TTBR0_EL1: BigInt(ROOT), TTBR1_EL1: 0n };

/** Source: Arm ARM DDI 0487, D8.3: bits 1:0 are 3 for a table and for a page, 1 for a block of level 1 or 2; the rest are invalid. */
function leadsToRam(words: ReadonlyMap<number, number>, va: number): boolean {
  let table = ROOT;
  for (let level = 0; level <= 3; level++) {
    const size = 2 ** (39 - 9 * level);
    const word = words.get(table + 8 * (Math.floor(va / size) % 512)) ?? 0;
    const output = word - (word % 0x1000);
    const isLeaf = level === 3 ? word % 4 === 3 : word % 4 === 1 && level > 0;
    if (isLeaf) return output - (output % size) + (va % size) < RAM_END;
    if (word % 4 !== 3 || level === 3) return false;
    table = output;
  }
  return false;
}

function randomWord(random: Random, level: number): number {
  const leaf = random.pick([0x8000, 0x9000, 0x800_0000]) + ACCESSED;
  if (level === 3) return random.pick([0, leaf + 3, leaf + 3]);
  const table = random.pick(TABLES[level + 1] ?? []) + 3;
  const block = level === 0 ? 0 : random.pick([0, 0x4000_0000]) + ACCESSED + 1;
  return random.pick([0, block, table, table, table]);
}

describe("whether a virtual page lies in memory", () => {
  it.each([1, 2, 3, 4])("is told after each write to any table as a walk finds it (seed %i)", async (seed) => {
    const random = new Random(seed);
    const words = new Map<number, number>();
    const memory = new FakeMemory();
    for (const [level, tables] of TABLES.entries()) {
      for (const table of tables) {
        const view = new DataView(memory.bytes(BigInt(table)).buffer);
        for (const index of [0, 1]) {
          const word = randomWord(random, level);
          words.set(table + 8 * index, word);
          view.setBigUint64(8 * index, BigInt(word), true);
        }
      }
    }
    const ram = [{ start: phys(0n), size: BigInt(RAM_END), kind: "ram" as const, name: "ram" }];
    const machine = new MachineView(memory, ram);
    await machine.follow([registersFrom(EL1)]);
    let seen = 0;
    for (let i = 0; i < 400; i++) {
      const level = random.pick([0, 1, 2, 3, 3]);
      const address = random.pick(TABLES[level] ?? []) + random.pick([0, 8]);
      const word = randomWord(random, level);
      words.set(address, word);
      const page = address - (address % 0x1000);
      new DataView(memory.bytes(BigInt(page)).buffer).setBigUint64(address - page, BigInt(word), true);
      machine.written(phys(BigInt(address)), BigInt(word));
      await machine.fetch();
      for (const va of PAGES) {
        const expected = leadsToRam(words, va);
        expect(machine.isMemory(0, virt(BigInt(va))), `write ${i}, page 0x${va.toString(16)}`).toBe(expected);
        if (expected) seen++;
      }
    }
    expect(seen).toBeGreaterThan(50);
  });
});
