/** Worked by hand from the manual, chapter D8: what the second decoder says of stage 1. */
import { describe, expect, it } from "vitest";
import { mairMemory, memoryWords, type SlowTranslation, slowTranslate } from "../support/slow-decoder.ts";
import { slowMachine, tcrOf, type Values, WIDE } from "../support/slow-machine.ts";

/** AF, type page. */
const PAGE = 0x403n;
const BLOCK = 0x401n;

/** EL1&0 through the words, with TCR_EL1 of the options. */
function at(va: bigint, words: Record<string, bigint>, tcr = tcrOf(), more: Values = {}): SlowTranslation {
  return slowTranslate(slowMachine({ TCR_EL1: tcr, ...more }, words), "EL1&0", va);
}

/** The page at VA 0 through one table of level 3: T0SZ 48 with 4 KiB granules (FEAT_TTST). */
function onePage(descriptor: bigint, more: Values = {}, extra = 0n): SlowTranslation {
  return at(0n, { "0x1000": descriptor | PAGE }, tcrOf({ t0sz: 48, extra }), more);
}

function letters(result: SlowTranslation): string {
  return result.outcome === "mapped" ? `${result.privileged} ${result.unprivileged}` : result.outcome;
}

describe("a walk of stage 1", () => {
  it("starts at level 1 with T0SZ 25 and takes nine bits a level", () => {
    const words = { "0x1008": 0x2003n, "0x2010": 0x3003n, "0x3018": 0x8000_0000n | PAGE };
    expect(at(0x4040_3abcn, words)).toMatchObject({ outcome: "mapped", output: 0x8000_0abcn, level: 3, granule: 4096 });
  });

  it.each([
    [16, 0, 0x1000n + 8n, 1n << 39n],
    [24, 0, 0x1000n + 8n, 1n << 39n],
    [25, 1, 0x1000n + 8n, 1n << 30n],
    [34, 2, 0x1000n + 8n, 1n << 21n],
    [43, 3, 0x1000n + 8n, 1n << 12n],
    [48, 3, 0x1000n + 15n * 8n, 15n << 12n],
  ])("with 4 KiB and T0SZ %i reads a level %i entry first", (t0sz, level, descriptor, va) => {
    expect(at(va, {}, tcrOf({ t0sz }))).toEqual({ outcome: "unreadable", descriptor, level, stage: 1 });
  });

  it.each([
    [2, 16, 0, 0x1_0008n, 1n << 47n],
    [2, 17, 1, 0x1_0008n, 1n << 36n],
    [2, 28, 2, 0x1_0008n, 1n << 25n],
    [2, 38, 2, 0x1_0008n, 1n << 25n],
    [2, 39, 3, 0x1_0008n, 1n << 14n],
    [1, 12, 1, 0x1_0000n + 1023n * 8n, 1023n << 42n],
    [1, 22, 2, 0x1_0008n, 1n << 29n],
    [1, 35, 3, 0x1_0008n, 1n << 16n],
  ])("with TG0 %i and T0SZ %i reads a level %i entry first", (tg0, t0sz, level, descriptor, va) => {
    const result = at(va, {}, tcrOf({ t0sz, tg0 }), { TTBR0_EL1: 0x1_0000n });
    expect(result).toEqual({ outcome: "unreadable", descriptor, level, stage: 1 });
  });

  it("takes OA[51:48] from bits 15:12 with 64 KiB and FEAT_LPA, and the table's from TTBR[5:2] with PS 52 bits", () => {
    const words = { "0xf000000010000": 0x5000_0000_a000n | PAGE };
    const tcr = tcrOf({ t0sz: 47, tg0: 1, ips: 6 });
    const result = at(0x1234n, words, tcr, { ...WIDE, TTBR0_EL1: 0x1_003cn });
    expect(result).toMatchObject({ outcome: "mapped", output: 0xa_5000_0000_1234n, granule: 65536 });
  });

  it("starts at level -1 with DS and T0SZ 12, with OA[51:50] in bits 9:8 and SH in TCR", () => {
    const words = { "0x1078": 0x3_0000_0000_2303n, "0xf000000002000": (1n << 48n) | 0x200n | BLOCK };
    const tcr = tcrOf({ t0sz: 12, ips: 6, extra: (1n << 59n) | (3n << 12n) });
    const result = at((15n << 48n) | 0x12_3456_789an, words, tcr, WIDE);
    expect(result).toMatchObject({ output: 0x9_0012_3456_789an, level: 0, shareability: "inner", contiguous: false });
  });

  it("does not know DS where TGran4 does not describe 52 bits", () => {
    const words = { "0x1000": (3n << 48n) | (2n << 8n) | PAGE };
    const result = at(0n, words, tcrOf({ t0sz: 48, extra: (1n << 59n) | (3n << 12n) }));
    expect(result).toMatchObject({ output: 0n, shareability: "outer" });
  });

  it.each<[string, string, number, number, Values]>([
    ["4 KiB level 0 without DS", "fault", 16, 0, {}],
    ["4 KiB level 1", "mapped", 25, 0, {}],
    ["16 KiB level 1 without DS", "fault", 17, 2, {}],
    ["16 KiB level 2", "mapped", 28, 2, {}],
    ["64 KiB level 1 without 52-bit addresses", "fault", 16, 1, {}],
    ["64 KiB level 1 with 52-bit addresses", "mapped", 16, 1, WIDE],
    ["level 3", "fault", 43, 0, {}],
  ])("a block at %s: %s", (_, outcome, t0sz, tg0, more) => {
    const registers = { ...more, TTBR0_EL1: 0x1_0000n };
    expect(at(0n, { "0x10000": BLOCK }, tcrOf({ t0sz, tg0 }), registers).outcome).toBe(outcome);
  });

  it("reads the bytes in the other order with SCTLR.EE", () => {
    const registers = { TCR_EL1: tcrOf({ t0sz: 48 }), SCTLR_EL1: (1n << 25n) | 5n };
    const machine = slowMachine(registers, { "0x1000": 0x8000_0000n | PAGE }, true);
    expect(slowTranslate(machine, "EL1&0", 0x123n)).toMatchObject({ output: 0x8000_0123n });
  });

  it.each([
    ["a table beyond IPS", { "0x1000": (1n << 40n) | 3n }, "address size", 1],
    ["an output beyond IPS", { "0x1000": (1n << 40n) | BLOCK }, "address size", 1],
    ["an invalid entry", { "0x1000": 2n }, "translation", 1],
  ])("faults at %s", (_, words, kind, level) => {
    const fault = { outcome: "fault", stage: 1, onWalk: false, kind, level };
    expect(at(0n, words, tcrOf({ ips: 2 }))).toEqual(fault);
  });

  it("faults at level 0 where TTBR is beyond IPS, whatever the first level", () => {
    const result = at(0n, {}, tcrOf({ ips: 0 }), { TTBR0_EL1: 1n << 32n });
    expect(result).toMatchObject({ kind: "address size", level: 0 });
  });

  it.each([
    ["above the range", tcrOf(), 1n << 39n],
    ["where EPD0 is 1", tcrOf({ extra: 1n << 7n }), 0n],
    ["with a tag and without TBI", tcrOf(), 0x5a00_0000_0000_0000n],
    ["in the upper half, whose EPD1 is 1", tcrOf(), (1n << 64n) - 4096n],
  ])("faults at level 0 %s", (_, tcr, va) => {
    expect(at(va, { "0x1000": BLOCK }, tcr)).toMatchObject({ outcome: "fault", kind: "translation", level: 0 });
  });

  it("ignores the tag with TBI", () => {
    const result = at(0x5a00_0000_0000_0123n, { "0x1000": BLOCK }, tcrOf({ extra: 1n << 37n }));
    expect(result).toMatchObject({ output: 0x123n });
  });
});

describe("stage 1 that is off", () => {
  const OFF = { SCTLR_EL1: 4n };

  it.each<[string, Values, string, string]>([
    ["M 0", OFF, "Device-nGnRnE", "outer"],
    ["HCR_EL2.TGE without E2H", { HCR_EL2: 1n << 27n }, "Device-nGnRnE", "outer"],
  ])("is flat: %s", (_, more, memory, shareability) => {
    const mapping = { outcome: "mapped", output: 0x1234_5678n, level: null, granule: null, memory, shareability };
    expect(at(0x1234_5678n, {}, tcrOf(), more)).toMatchObject({ ...mapping, privileged: "rwx", unprivileged: "rwx" });
  });

  it("faults beyond the physical address size, and looks below the tag with TBI", () => {
    expect(at(1n << 48n, {}, tcrOf(), OFF)).toMatchObject({ kind: "address size", level: 0 });
    expect(at((1n << 60n) | 5n, {}, tcrOf({ extra: 1n << 37n }), OFF)).toMatchObject({ output: 5n });
  });

  it("is on with {E2H,TGE} = {1,1}, which is not about this regime", () => {
    expect(at(0n, { "0x1000": BLOCK }, tcrOf(), { HCR_EL2: (1n << 27n) | (1n << 34n) })).toMatchObject({ level: 1 });
  });
});

describe("direct permissions", () => {
  it.each([
    ["AP 00", 0n, "rwx --x"],
    ["AP 01: no privileged execution of what EL0 writes", 1n << 6n, "rw- rwx"],
    ["AP 10", 1n << 7n, "r-x --x"],
    ["AP 11", 3n << 6n, "r-x r-x"],
    ["PXN", 1n << 53n, "rw- --x"],
    ["UXN", 1n << 54n, "rwx ---"],
    ["DBM without HA and HD", (1n << 51n) | (1n << 7n), "r-x --x"],
  ])("%s", (_, descriptor, wanted) => {
    expect(letters(onePage(descriptor))).toBe(wanted);
  });

  it("counts AP[2] as 0 with DBM, HA and HD, if HAFDBS is 2", () => {
    const extra = (1n << 39n) | (1n << 40n);
    expect(letters(onePage((1n << 51n) | (1n << 7n), {}, extra))).toBe("rwx --x");
    expect(letters(onePage((1n << 51n) | (1n << 7n), { ID_AA64MMFR1_EL1: 1n }, extra))).toBe("r-x --x");
  });

  it("takes execution from what is writable with WXN", () => {
    const wxn = { SCTLR_EL1: (1n << 19n) | 5n };
    expect(letters(onePage(0n, wxn))).toBe("rw- --x");
    expect(letters(onePage(1n << 6n, wxn))).toBe("rw- rw-");
  });

  it.each([
    ["APTable[0]", 1n << 61n, "rwx --x"],
    ["APTable[1]", 1n << 62n, "r-x r-x"],
    ["UXNTable", 1n << 60n, "rw- rw-"],
    ["PXNTable", 1n << 59n, "rw- rwx"],
  ])("are limited by %s, not with HPD, POE, AIE", (_, table, wanted) => {
    const words = { "0x1000": 0x2003n | table, "0x2000": (1n << 6n) | BLOCK };
    expect(letters(at(0n, words))).toBe(wanted);
    expect(letters(at(0n, words, tcrOf({ extra: 1n << 41n })))).toBe("rw- rwx");
    expect(letters(at(0n, words, tcrOf(), { TCR2_EL1: 1n << 4n }))).toBe("rw- rwx");
    const all = { TCR2_EL1: 1n << 3n, POR_EL1: 0x7777_7777_7777_7777n };
    expect(letters(at(0n, words, tcrOf(), all))).toBe("rw- rwx");
  });

  it("leave EL0 nothing in a half with E0PD, if it is implemented", () => {
    expect(letters(onePage(3n << 6n, {}, 1n << 55n))).toBe("r-x ---");
    expect(letters(onePage(3n << 6n, { ID_AA64MMFR2_EL1: 1n << 28n }, 1n << 55n))).toBe("r-x r-x");
  });

  it("of EL2 know no EL0: XN is bit 54", () => {
    const registers = { SCTLR_EL2: 5n, TCR_EL2: 48n | (5n << 16n), TTBR0_EL2: 0x1000n, MAIR_EL2: 0xffn };
    const machine = slowMachine(registers, { "0x1000": (1n << 54n) | (1n << 6n) | (1n << 11n) | PAGE });
    const wanted = { privileged: "rw-", unprivileged: null, global: true };
    expect(slowTranslate(machine, "EL2", 0n)).toMatchObject(wanted);
  });
});

describe("indirect permissions", () => {
  /** PIIndex 0 is in force: bits 54, 53, 51, 6 are 0. */
  const indirect = (pir: bigint, pire0: bigint, more: Values = {}): Values => {
    return { TCR2_EL1: 2n, PIR_EL1: pir, PIRE0_EL1: pire0, ...more };
  };

  it.each([
    [0b0000n, "--- ---"],
    [0b0001n, "r-- ---"],
    [0b0010n, "--x ---"],
    [0b0011n, "r-x ---"],
    [0b0100n, "--- ---"],
    [0b0101n, "rw- ---"],
    [0b0110n, "rw- ---"],
    [0b0111n, "rwx ---"],
    [0b1000n, "r-- ---"],
    [0b1001n, "r-- ---"],
    [0b1010n, "r-x ---"],
    [0b1011n, "--- ---"],
    [0b1100n, "rw- ---"],
    [0b1101n, "--- ---"],
    [0b1110n, "rwx ---"],
    [0b1111n, "--- ---"],
  ])("of PIR %i are %s", (pir, wanted) => {
    expect(letters(onePage(0n, indirect(pir, 0n)))).toBe(wanted);
  });

  it("are found by bits 54, 53, 51 and 6", () => {
    const pir = 1n << 52n; // field 13 = 0b1101
    expect(letters(onePage((1n << 54n) | (1n << 53n) | (1n << 6n), indirect(pir, 0n)))).toBe("r-- ---");
  });

  it("are all removed where EL0 can write what is privileged executable", () => {
    expect(letters(onePage(0n, indirect(0b0011n, 0b0101n)))).toBe("--- ---");
    expect(letters(onePage(0n, indirect(0b0101n, 0b0101n)))).toBe("rw- rw-");
  });

  it("let nobody write a page that is nDirty, unless hardware manages the dirty state", () => {
    expect(letters(onePage(1n << 7n, indirect(0b0101n, 0b0101n)))).toBe("r-- r--");
    expect(letters(onePage(1n << 7n, indirect(0b0101n, 0b0101n), 3n << 39n))).toBe("rw- rw-");
  });

  it("are unknown without the register, as far as it decides", () => {
    expect(letters(onePage(0n, { TCR2_EL1: 2n, PIRE0_EL1: 1n }))).toBe("??? r--");
    expect(letters(onePage(0n, { TCR2_EL1: 2n, PIR_EL1: 0b0011n }))).toBe("?-? ?-?");
    expect(letters(onePage(0n, { TCR2_EL1: 2n, PIR_EL1: 0b0101n }))).toBe("rw- ???");
  });

  it("are not in force where TCR2 does not count", () => {
    const more = indirect(0n, 0n);
    expect(letters(onePage(0n, { ...more, HCRX_EL2: 0n }))).toBe("rwx --x");
    expect(letters(onePage(0n, { ...more, HCRX_EL2: 1n << 14n }))).toBe("--- ---");
    expect(letters(onePage(0n, { ...more, HCRX_EL2: 0n, SCR_EL3: 1n << 43n }))).toBe("--- ---");
    expect(letters(onePage(0n, { ...more, SCR_EL3: 1n }))).toBe("rwx --x");
  });
});

describe("overlays", () => {
  const POE = { TCR2_EL1: 1n << 3n };

  it.each([
    [0b0000n, "---"],
    [0b0001n, "r--"],
    [0b0010n, "--x"],
    [0b0011n, "r-x"],
    [0b0100n, "-w-"],
    [0b0101n, "rw-"],
    [0b0110n, "-wx"],
    [0b0111n, "rwx"],
    [0b1111n, "---"],
  ])("POR %i leaves %s of rwx", (por, wanted) => {
    expect(letters(onePage(0n, { ...POE, POR_EL1: por }))).toBe(`${wanted} --x`);
  });

  it("are found by bits 62:60, and for EL0 in POR_EL0", () => {
    const more = { TCR2_EL1: 3n << 2n, POR_EL1: 1n << 20n, POR_EL0: 2n << 20n };
    expect(letters(onePage((5n << 60n) | (3n << 6n), more))).toBe("r-- --x");
  });

  it("take the write and not the execution with WXN", () => {
    const more = { ...POE, SCTLR_EL1: (1n << 19n) | 5n };
    expect(letters(onePage(0n, { ...more, POR_EL1: 7n }))).toBe("r-x --x");
    expect(letters(onePage(0n, { ...more, POR_EL1: 5n }))).toBe("rw- --x");
    expect(letters(onePage(1n << 53n, { ...more, POR_EL1: 7n }))).toBe("rw- --x");
  });

  it("do not apply to PIR values of 8 and more", () => {
    const more = { TCR2_EL1: (1n << 3n) | 2n, PIRE0_EL1: 0n, POR_EL1: 0n };
    expect(letters(onePage(0n, { ...more, PIR_EL1: 0b1110n }))).toBe("rwx ---");
    expect(letters(onePage(0n, { ...more, PIR_EL1: 0b0111n }))).toBe("--- ---");
  });

  it("without POR leave unknown what they could take", () => {
    expect(letters(onePage(1n << 53n, POE))).toBe("??- --x");
  });
});

describe("memory", () => {
  it.each([
    [0x00, "Device-nGnRnE"],
    [0x01, "Device-nGnRnE XS=0"],
    [0x04, "Device-nGnRE"],
    [0x08, "Device-nGRE"],
    [0x0c, "Device-GRE"],
    [0x33, "Normal WT RAWA transient"],
    [0x40, "Normal NC XS=0"],
    [0x44, "Normal NC"],
    [0x4f, "Normal outer NC inner WB RAWA"],
    [0x77, "Normal WB RAWA transient"],
    [0xa0, "Normal WT RA XS=0"],
    [0xbb, "Normal WT RAWA"],
    [0xee, "Normal WB RA"],
    [0xdd, "Normal WB WA"],
    [0xf0, "Normal WB RAWA Tagged"],
    [0xf4, "Normal outer WB RAWA inner NC"],
    [0xff, "Normal WB RAWA"],
  ])("MAIR %i is %s", (byte, words) => {
    const memory = mairMemory(byte);
    expect(memory && memoryWords(memory)).toBe(words);
  });

  it.each([0x02, 0x03, 0x10, 0x50, 0xe0])("MAIR %i is not defined", (byte) => {
    expect(mairMemory(byte)).toBeUndefined();
  });

  it("is Normal NC, outer shareable, with SCTLR.C 0; Device stays", () => {
    const off = { SCTLR_EL1: 1n };
    expect(onePage(3n << 8n, off)).toMatchObject({ memory: "Normal NC", shareability: "outer" });
    expect(onePage(1n << 2n, off)).toMatchObject({ memory: "Device-nGnRE", shareability: "outer" });
  });

  it("is in MAIR2 with AIE and bit 59, and unknown without that register", () => {
    const aie = { TCR2_EL1: 1n << 4n };
    expect(onePage((1n << 59n) | 4n, { ...aie, MAIR2_EL1: 0x4400n })).toMatchObject({ memory: "Normal NC" });
    expect(onePage(1n << 59n, aie)).toMatchObject({ memory: "unknown" });
    expect(onePage(1n << 59n, { MAIR2_EL1: 0n })).toMatchObject({ memory: "Normal WB RAWA" });
  });

  it("has its other bits: nG, GP, Contiguous, AF", () => {
    expect(onePage((1n << 11n) | (1n << 50n) | (1n << 52n))).toMatchObject({
      ...{ global: false, guarded: true, contiguous: true, accessFlag: true },
    });
    expect(onePage(1n << 52n, { TCR2_EL1: 1n })).toMatchObject({ contiguous: false });
  });

  it("of EL3 is told by TCR_EL3 itself: PIE, POE, AIE, PnCH", () => {
    const tcr = 48n | (5n << 16n) | (0xfn << 34n);
    const registers = { SCTLR_EL3: 5n, TCR_EL3: tcr, TTBR0_EL3: 0x1000n, MAIR_EL3: 0n, MAIR2_EL3: 0x44n };
    const machine = slowMachine(
      { ...registers, PIR_EL3: 7n, POR_EL3: 3n },
      { "0x1000": (1n << 59n) | (1n << 52n) | PAGE },
    );
    const wanted = { privileged: "r-x", unprivileged: null, memory: "Normal NC", contiguous: false };
    expect(slowTranslate(machine, "EL3", 0n)).toMatchObject(wanted);
  });
});
