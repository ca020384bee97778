/** The list of table pages that is kept up to date says the same as one that is made anew, also of tables that refer to themselves. */
import { describe, expect, it } from "vitest";
import { TableUses } from "../../src/aarch64/table-uses.ts";
import { phys } from "../../src/base/address.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { Random } from "../support/random.ts";
import { el1Regime, tcrEl1 } from "../support/regimes.ts";

const PAGES = [0x1000n, 0x2000n, 0x3000n, 0x4000n, 0x5000n];
const regime = el1Regime({ TTBR0_EL1: 0x1000n, TCR_EL1: tcrEl1({ t0sz: 25 }) });

function text(uses: TableUses): string[] {
  const lines = uses
    .pages()
    .flatMap((page) =>
      uses.usesOf(page).map(({ level, start, inherited }) => `${page} level ${level} from ${start} with ${inherited}`),
    );
  return [...lines, `${uses.size} uses`].sort();
}

describe("the uses of table pages", () => {
  it("are after each write what they would be if they were looked for again", () => {
    let most = 0;
    for (let seed = 0; seed < 150; seed++) {
      const random = new Random(seed);
      const memory = new FakeMemory();
      for (const page of PAGES) memory.bytes(page);
      const uses = new TableUses([regime], memory);
      for (let i = 0; i < 25; i++) {
        const address = random.pick(PAGES) + BigInt(random.below(3) * 8);
        const table = random.pick(PAGES) | 3n | (BigInt(random.below(16)) << 59n);
        memory.setWord(address, random.chance(0.7) ? table : 0n);
        uses.written(phys(address));
        expect(text(uses)).toEqual(text(new TableUses([regime], memory)));
        most = Math.max(most, uses.size);
      }
    }
    expect(most).toBeGreaterThan(10);
  });
});
