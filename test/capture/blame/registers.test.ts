/** Who wrote to control registers, and what that does to the tables that are watched. */
import { describe, expect, it } from "vitest";
import {
  block,
  CODE,
  captureBlame,
  entryOf,
  L1,
  L2,
  leaf,
  msr,
  ON,
  SPARE,
  store,
  table,
  told,
  withEl2,
} from "../../support/blame-machine.ts";
import { DXE_CORE } from "../../support/handoff-target.ts";

/** op0 op1 CRn CRm op2, as the Arm ARM numbers them (D24.2), packed as bits 20:5 of the instruction hold them. */
const encoded = (op0: number, op1: number, crn: number, crm: number, op2: number): string =>
  `0x${((op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2).toString(16)}`;
const VBAR_EL1 = encoded(3, 0, 12, 0, 0);
const VBAR_EL2 = encoded(3, 4, 12, 0, 0);
const TTBR0_EL1 = encoded(3, 0, 2, 0, 0);
const MAIR_EL1 = encoded(3, 0, 10, 2, 0);
const TLBI_VAE1IS = encoded(1, 0, 8, 3, 1);
const NEW_ROOT = SPARE;
const at = (offset: bigint): string => `0x${(CODE + offset).toString(16)}`;
const VECTORS = 0x4740_0000n;

describe("an MSR", () => {
  it("is recorded with the register's old and new value", async () => {
    const { record, error } = await captureBlame(
      [msr(CODE, "VBAR_EL1", 0x4741_0000n), msr(CODE, "VBAR_EL1", VECTORS)],
      {
        code: { [`${CODE}`]: "msr vbar_el1, x0" },
      },
    );
    expect(error).toBeUndefined();
    expect(told(record)).toEqual([
      `register ${VBAR_EL1}: 0x47400000 -> 0x47410000 at ${at(0n)}`,
      `register ${VBAR_EL1}: 0x47410000 -> 0x47400000 at ${at(0n)}`,
    ]);
    expect(record.sites).toEqual([{ address: CODE, word: 0xd518_c000 }]);
    expect(record.stacks).toHaveLength(1);
  });

  it("of another register is not stopped at", async () => {
    const { record, target } = await captureBlame([msr(CODE, "VBAR_EL1", VECTORS)], {
      code: { [`${CODE}`]: "msr tpidr_el1, x0" },
    });
    expect(record.sites).toEqual([]);
    expect(target.seen.find(({ pc }) => pc === CODE)?.breakpoints.has(CODE)).toBe(false);
  });

  it("at EL2 with E2H writes the register of EL2", async () => {
    const el2 = { cpsr: 0x3c9n, HCR_EL2: (1n << 34n) | (1n << 27n), SCTLR_EL2: 0x1005n, TCR_EL2: ON.TCR_EL1 };
    const { record } = await captureBlame([msr(CODE, "VBAR_EL2", 0x4741_0000n)], {
      machine: withEl2,
      code: { [`${CODE}`]: "msr vbar_el1, x0" },
      prepare: (target) => target.setRegisters({ ...el2, TTBR0_EL2: L1, TTBR1_EL2: 0n, MAIR_EL2: 0xffn, VBAR_EL2: 0n }),
    });
    expect(told(record)).toEqual([`register ${VBAR_EL2}: 0x0 -> 0x47410000 at ${at(0n)}`]);
  });

  it("that was not stopped at is told at the next one, and as unseen", async () => {
    const { record } = await captureBlame(
      [{ pc: CODE + 0x80n, registers: { MAIR_EL1: 0x44ffn } }, msr(CODE, "VBAR_EL1", 0x4741_0000n)],
      { code: { [`${CODE}`]: "msr vbar_el1, x0" } },
    );
    expect(told(record)).toEqual([
      `unseen-register ${MAIR_EL1}: 0xff -> 0x44ff at ?`,
      `register ${VBAR_EL1}: 0x47400000 -> 0x47410000 at ${at(0n)}`,
    ]);
  });

  it("that was not stopped at is told at the point", async () => {
    const { record } = await captureBlame([{ pc: CODE, registers: { MAIR_EL1: 0x44ffn } }]);
    expect(told(record)).toEqual([`unseen-register ${MAIR_EL1}: 0xff -> 0x44ff at ?`]);
  });

  it("that switches TTBR0 has the new tables watched, and the old ones not", async () => {
    const entry = entryOf(0x4611_0000n);
    const { record } = await captureBlame(
      [
        msr(CODE, "TTBR0_EL1", NEW_ROOT),
        store(CODE + 4n, NEW_ROOT + 16n, 0x1n),
        store(CODE + 8n, L1 + 16n, 0x1n),
        store(CODE + 12n, entry, 0n),
      ],
      {
        code: { [`${CODE}`]: "msr ttbr0_el1, x0" },
        prepare: (_, memory) => void memory.setWord(NEW_ROOT + 8n, table(L2)),
      },
    );
    expect(told(record)).toEqual([
      `register ${TTBR0_EL1}: 0x${L1.toString(16)} -> 0x${NEW_ROOT.toString(16)} at ${at(0n)}`,
      `table-found 0x${NEW_ROOT.toString(16)}: ? -> 0x0 at ?`,
      `table 0x${(NEW_ROOT + 16n).toString(16)}: 0x0 -> 0x1 at ${at(4n)}`,
      `table 0x${entry.toString(16)}: 0x${leaf(0x4611_0000n).toString(16)} -> 0x0 at ${at(12n)}`,
    ]);
  });
});

describe("TLB maintenance", () => {
  const tlbi = { pc: CODE, registers: { x0: 0x1234n } };

  it("is recorded with its operand when it is asked for", async () => {
    const { record } = await captureBlame([tlbi, { ...tlbi, registers: { x0: 0x5678n } }], {
      blame: { tables: true, maintenance: true },
      code: { [`${CODE}`]: "tlbi vae1is, x0" },
    });
    expect(record.maintenance).toBe(true);
    expect(told(record)).toEqual([
      `maintenance ${TLBI_VAE1IS}: ? -> 0x1234 at ${at(0n)}`,
      `maintenance ${TLBI_VAE1IS}: ? -> 0x5678 at ${at(0n)}`,
    ]);
  });

  it("is not otherwise", async () => {
    const { record } = await captureBlame([tlbi], { code: { [`${CODE}`]: "tlbi vae1is, x0" } });
    expect(record).toMatchObject({ maintenance: false, sites: [] });
    expect(told(record)).toEqual([]);
  });

  it("is not said to be watched where a breakpoint was refused", async () => {
    const { record, capture, notes } = await captureBlame([tlbi], {
      blame: { tables: true, maintenance: true },
      code: { [`${CODE}`]: "tlbi vae1is, x0" },
      prepare: (target) => void target.refuses.add(CODE),
    });
    expect(record.maintenance).toBe(false);
    expect(notes.join()).toMatch(/Not all that writes System registers is watched/);
    expect(capture?.partial).toBeUndefined();
  });
});

describe("code that is searched", () => {
  const site = { "msr vbar_el1, x0": 0xd518_c000 };

  it("is that of images only, where it may be executed", async () => {
    const end = DXE_CORE.base + BigInt(DXE_CORE.size);
    const { record } = await captureBlame([], {
      code: { [`${CODE}`]: "msr vbar_el1, x0", [`${end}`]: "msr vbar_el1, x0", "1178599424": "msr vbar_el1, x0" },
    });
    expect(record.sites).toEqual([{ address: CODE, word: site["msr vbar_el1, x0"] }]);
  });

  it("is not what may not be executed", async () => {
    const base = 0x4300_0000n;
    const image = { base, size: 0x4000, codeType: 3 };
    const code = { [`${base + 0x1000n}`]: "msr vbar_el1, x0" } as const;
    expect((await captureBlame([], { images: [image], code })).record.sites).toHaveLength(1);
    const { record } = await captureBlame([], {
      ...{ images: [image], code },
      // PXN.
      prepare: (_, memory) => memory.setWord(L2 + 8n * 24n, block(base) | (1n << 53n)),
    });
    expect(record.sites).toEqual([]);
  });

  it("is said to be left out where it could not be read", async () => {
    const { record } = await captureBlame([], { prepare: (_, memory) => memory.makeUnreadable(CODE) });
    expect(record.notes[0]).toBe("1 pages of images could not be searched for what writes System registers.");
  });
});
