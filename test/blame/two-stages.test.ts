/** EL1&0 behind stage 2: stores to the tables of either stage, each with its effects in both regimes. */
import { describe, expect, it } from "vitest";
import { attribute, replayBlame } from "../../src/blame/index.ts";
import { diffPoints } from "../../src/diff/diff.ts";
import type { RecordedGuest } from "../support/recorded-guest.ts";
import { LEVEL_1, LEVEL_2, LEVEL_3, leafOf, pageAt, READ_ONLY, smallGuest } from "../support/small-guest.ts";

const STAGE_2 = 0x4800_0000n;
/** 1 GiB of Normal WB memory, readable and writable, inner shareable, AF. */
const BLOCK = 0x4000_0000n | (0xfn << 2n) | (3n << 6n) | (3n << 8n) | (1n << 10n) | 1n;
const ELSEWHERE = 0x1_0000_0000n | (BLOCK & 0xfffn);
const PAGES = [LEVEL_1, LEVEL_2, LEVEL_3, STAGE_2];

const VIRTUALIZED = {
  HCR_EL2: 1n | (1n << 31n),
  // T0SZ 25, from level 1, 4 KiB, 40-bit addresses.
  VTCR_EL2: 25n | (1n << 6n) | (2n << 16n) | (1n << 31n),
  VTTBR_EL2: STAGE_2,
  SCTLR_EL2: 0n,
  ID_AA64MMFR0_EL1: 5n,
};

function guest(): RecordedGuest {
  const made = smallGuest([VIRTUALIZED]);
  made.memory.setWord(STAGE_2 + 8n, BLOCK);
  made.point("a", PAGES);
  return made;
}

function storeToStage2(made: RecordedGuest, address: bigint, value: bigint, pc: bigint): void {
  const old = made.memory.word(address) ?? 0n;
  made.memory.setWord(address, value);
  made.event("table", address, { old, new: value }, { pc });
}

async function lines(made: RecordedGuest): Promise<string[] | undefined> {
  const [a, b] = made.points;
  if (a === undefined || b === undefined) throw new Error("no points");
  const capture = made.capture();
  const blame = attribute(await diffPoints(capture, [], a, b), replayBlame(capture));
  return blame?.mappings.map(({ change, by, unattributed }) => {
    const authors = by?.map(({ pc, lastPages }) => `0x${pc?.toString(16)} last ${lastPages}`).join(", ");
    return `${change.regime} 0x${change.va.toString(16)} ${change.kind}: ${authors}; ${unattributed}`;
  });
}

describe("behind stage 2", () => {
  it("a store to a table of stage 1 changes EL1&0 only", async () => {
    const made = guest();
    made.write(leafOf(0x1000n), pageAt(0x4000_1000n, READ_ONLY), { pc: 0xa0n });
    made.point("b", PAGES);
    expect(await lines(made)).toEqual(["EL1&0 0x1000 changed: 0xa0 last 1; 0"]);
  });

  it("a store to a table of stage 2 changes both", async () => {
    const made = guest();
    storeToStage2(made, STAGE_2 + 8n, BLOCK & ~(1n << 7n), 0xb0n);
    made.point("b", PAGES);
    const all = await lines(made);
    expect(all?.filter((line) => line.startsWith("stage2"))).toEqual([
      "stage2 0x40000000 changed: 0xb0 last 262144; 0",
    ]);
    const ofBoth = all?.filter((line) => line.startsWith("EL1&0")) ?? [];
    expect(ofBoth.length).toBeGreaterThan(0);
    expect(ofBoth.filter((line) => !/: 0xb0 last \d+; 0$/.test(line))).toEqual([]);
  });

  it("an intermediate address that nothing is mapped to is no change of EL1&0", async () => {
    const made = guest();
    storeToStage2(made, STAGE_2 + 16n, ELSEWHERE, 0xc0n);
    made.write(leafOf(0x2000n), pageAt(0x9000_2000n), { pc: 0xd0n });
    made.point("b", PAGES);
    expect(await lines(made)).toEqual([
      "EL1&0 0x2000 moved: 0xd0 last 1; 0",
      "stage2 0x80000000 added: 0xc0 last 262144; 0",
    ]);
  });
});
