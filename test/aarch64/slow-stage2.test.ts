/** Worked by hand from the manual, chapter D8: what the second decoder says of stage 2, and of both stages. */
import { describe, expect, it } from "vitest";
import { type SlowTranslation, slowTranslate } from "../support/slow-decoder.ts";
import { slowMachine, tcrOf, type Values, WIDE } from "../support/slow-machine.ts";

const AF = 1n << 10n;
const READ = 1n << 6n;
const WRITE = 1n << 7n;
/** MemAttr: Normal WB outside and inside. */
const WB = 0xfn << 2n;

const VM = 1n;
const PTW = 1n << 2n;
const DC = 1n << 12n;
const TGE = 1n << 27n;
const CD = 1n << 32n;
const E2H = 1n << 34n;
const FWB = 1n << 46n;

/** VTCR_EL2: 4 KiB; 40 bits from level 1 unless told. */
function vtcr(options: { t0sz?: number; sl0?: number; tg0?: number; ps?: number; extra?: bigint } = {}): bigint {
  const { t0sz = 24, sl0 = 1, tg0 = 0, ps = 5, extra = 0n } = options;
  return BigInt(t0sz) | (BigInt(sl0) << 6n) | (BigInt(tg0) << 14n) | (BigInt(ps) << 16n) | extra;
}

function stage2(ipa: bigint, words: Record<string, bigint>, more: Values = {}): SlowTranslation {
  const registers = { HCR_EL2: VM, VTCR_EL2: vtcr(), VTTBR_EL2: 0x2000n, ...more };
  return slowTranslate(slowMachine(registers, words), "stage2", ipa);
}

/** A leaf of level 1 at IPA 0. */
function leaf(descriptor: bigint, more: Values = {}): SlowTranslation {
  return stage2(0x1234n, { "0x2000": descriptor | AF | 1n }, more);
}

const fault = (kind: string, level: number, onWalk = false) => ({ outcome: "fault", stage: 2, onWalk, kind, level });

describe("a walk of stage 2", () => {
  it("goes on into the second table where two lie side by side", () => {
    const result = stage2((513n << 30n) | 0x789n, { "0x3008": 0x8000_0000n | READ | AF | 1n });
    expect(result).toMatchObject({ outcome: "mapped", output: 0x8000_0789n, level: 1, granule: 4096, global: true });
  });

  it("aligns the base to all the tables", () => {
    const more = { VTCR_EL2: vtcr({ t0sz: 21 }), VTTBR_EL2: 0x1_f000n };
    expect(stage2(0n, {}, more)).toEqual({ outcome: "unreadable", descriptor: 0x1_0000n, level: 1, stage: 2 });
  });

  it.each([
    [0, 0, 31, 2, 21],
    [0, 1, 24, 1, 30],
    [0, 2, 16, 0, 39],
    [0, 3, 39, 3, 12],
    [2, 0, 39, 3, 14],
    [2, 1, 28, 2, 25],
    [2, 2, 17, 1, 36],
    [1, 0, 39, 3, 16],
    [1, 1, 24, 2, 29],
    [1, 2, 16, 1, 42],
  ])("with TG0 %i and SL0 %i and T0SZ %i starts at level %i", (tg0, sl0, t0sz, level, bottom) => {
    const more = { VTCR_EL2: vtcr({ tg0, sl0, t0sz }), VTTBR_EL2: 0x10_0000n };
    expect(stage2(1n << BigInt(bottom), {}, more)).toMatchObject({
      outcome: "unreadable",
      descriptor: 0x10_0008n,
      level,
    });
  });

  it("starts at level -1 with DS and SL2, from a 52-bit base", () => {
    const more = {
      ...WIDE,
      VTCR_EL2: vtcr({ t0sz: 12, sl0: 0, ps: 6, extra: (1n << 32n) | (1n << 33n) }),
      VTTBR_EL2: 0x4008n,
    };
    const wanted = { outcome: "unreadable", descriptor: (2n << 48n) | 0x4078n, level: -1, stage: 2 };
    expect(stage2(15n << 48n, {}, more)).toEqual(wanted);
  });

  it("asks TGran4_2 whether DS counts, where that is not 0", () => {
    const mmfr0 = 6n | (1n << 28n) | (2n << 40n);
    const more = { ID_AA64MMFR0_EL1: mmfr0, VTCR_EL2: vtcr({ extra: (1n << 32n) | (3n << 12n) }) };
    expect(leaf(WB | (2n << 8n), more)).toMatchObject({ shareability: "outer", output: 0x1234n });
    const own = { ...more, ID_AA64MMFR0_EL1: mmfr0 | (3n << 40n) };
    expect(leaf(WB, own)).toMatchObject({ shareability: "inner" });
  });

  it.each<[string, Values, bigint]>([
    ["more than 16 tables side by side", { VTCR_EL2: vtcr({ t0sz: 20 }) }, 0n],
    ["fewer bits than the first level has", { VTCR_EL2: vtcr({ t0sz: 34 }) }, 0n],
    ["SL0 3 without FEAT_TTST", { VTCR_EL2: vtcr({ sl0: 3, t0sz: 39 }), ID_AA64MMFR2_EL1: 0n }, 0n],
    ["level 0 with less than 44 bits of physical address", { VTCR_EL2: vtcr({ sl0: 2 }), ID_AA64MMFR0_EL1: 3n }, 0n],
    ["an IPA beyond T0SZ", {}, 1n << 40n],
  ])("faults at level 0: %s", (_, more, ipa) => {
    expect(stage2(ipa, { "0x2000": AF | 1n }, more)).toEqual(fault("translation", 0));
  });

  it.each([
    ["an invalid entry", 0n, "translation", 1],
    ["an output beyond PS", (1n << 44n) | AF | 1n, "address size", 1],
  ])("faults at %s", (_, descriptor, kind, level) => {
    expect(stage2(0n, { "0x2000": descriptor }, { VTCR_EL2: vtcr({ ps: 4 }) })).toEqual(fault(kind, level));
  });

  it("reads the other byte order with SCTLR_EL2.EE", () => {
    const registers = { HCR_EL2: VM, VTCR_EL2: vtcr(), VTTBR_EL2: 0x2000n, SCTLR_EL2: 1n << 25n };
    const machine = slowMachine(registers, { "0x2000": 0x4000_0000n | AF | 1n }, true);
    expect(slowTranslate(machine, "stage2", 5n)).toMatchObject({ output: 0x4000_0005n });
  });
});

describe("what stage 2 permits", () => {
  const letters = (descriptor: bigint, more: Values = {}): unknown => {
    const result = leaf(descriptor, more);
    return result.outcome === "mapped" ? `${result.privileged} ${result.unprivileged}` : result.outcome;
  };

  it.each([
    [0n, "--x --x"],
    [READ, "r-x r-x"],
    [WRITE, "-wx -wx"],
    [READ | WRITE, "rwx rwx"],
    [1n << 53n, "--- --x"],
    [2n << 53n, "--- ---"],
    [3n << 53n, "--x ---"],
  ])("by the bits %i is %s", (descriptor, wanted) => {
    expect(letters(descriptor)).toBe(wanted);
  });

  it("without FEAT_XNX is bit 54 alone", () => {
    const more = { ID_AA64MMFR1_EL1: 2n };
    expect(letters(1n << 53n, more)).toBe("--x --x");
    expect(letters(3n << 53n, more)).toBe("--- ---");
  });

  it("is a write with DBM where hardware manages the dirty state", () => {
    expect(letters(READ | (1n << 51n), { VTCR_EL2: vtcr({ extra: 3n << 21n }) })).toBe("rwx rwx");
    expect(letters(READ | (1n << 51n), { VTCR_EL2: vtcr({ extra: 2n << 21n }) })).toBe("r-x r-x");
  });

  it("cannot be told with S2PIE", () => {
    expect(letters(READ, { VTCR_EL2: vtcr({ extra: 1n << 36n }) })).toBe("??? ???");
  });
});

describe("the memory of stage 2 alone", () => {
  it.each([
    [0b0000n, "Device-nGnRnE"],
    [0b0001n, "Device-nGnRE"],
    [0b0010n, "Device-nGRE"],
    [0b0011n, "Device-GRE"],
    [0b0100n, "reserved"],
    [0b0101n, "Normal NC"],
    [0b0110n, "Normal outer NC inner WT"],
    [0b0111n, "Normal outer NC inner WB"],
    [0b1000n, "reserved"],
    [0b1001n, "Normal outer WT inner NC"],
    [0b1010n, "Normal WT"],
    [0b1011n, "Normal outer WT inner WB"],
    [0b1100n, "reserved"],
    [0b1101n, "Normal outer WB inner NC"],
    [0b1110n, "Normal outer WB inner WT"],
    [0b1111n, "Normal WB"],
  ])("of MemAttr %i is %s", (attr, words) => {
    expect(leaf(attr << 2n)).toMatchObject({ memory: words });
  });

  it.each([
    [0b0000n, "Device-nGnRnE"],
    [0b0011n, "Device-GRE"],
    [0b0100n, "reserved"],
    [0b0101n, "Normal NC"],
    [0b0110n, "Normal WB"],
    [0b0111n, "as stage 1"],
  ])("with FWB of MemAttr %i is %s", (attr, words) => {
    expect(leaf(attr << 2n, { HCR_EL2: VM | FWB })).toMatchObject({ memory: words });
  });

  it("is outer shareable where it is Device or Normal NC", () => {
    expect(leaf(3n << 8n)).toMatchObject({ shareability: "outer" });
    expect(leaf(0b0101n << 2n)).toMatchObject({ shareability: "outer" });
    expect(leaf(0b0111n << 2n)).toMatchObject({ shareability: "none" });
  });
});

/** Stage 1: one table at IPA 0x4000_1000 with a page of level 3 at VA 0. Stage 2: IPA 1 GiB at PA 2 GiB, IPA 2 GiB at PA 3 GiB. */
interface Both {
  readonly first?: bigint;
  /** The block that holds the stage 1 table, without its base. */
  readonly tableBlock?: bigint;
  readonly outputBlock?: bigint;
  readonly hcr?: bigint;
  readonly more?: Values;
}

const GOOD = READ | WRITE | AF | WB | 1n;

function both({ first = 1n << 6n, tableBlock = GOOD, outputBlock = GOOD, hcr = VM, more = {} }: Both): SlowTranslation {
  const registers = { TCR_EL1: tcrOf({ t0sz: 48 }), TTBR0_EL1: 0x4000_1000n };
  const guest = { HCR_EL2: hcr, VTCR_EL2: vtcr(), VTTBR_EL2: 0x2000n };
  const words = {
    "0x2008": 0x8000_0000n | tableBlock,
    "0x2010": 0xc000_0000n | outputBlock,
    "0x80001000": 0x8000_5000n | first | 0x403n,
  };
  return slowTranslate(slowMachine({ ...registers, ...guest, ...more }, words), "EL1&0", 0x123n);
}

/** MAIR of slowMachine: 0 WB, 1 Device-nGnRE, 2 NC, 3 WT, 4 Tagged; here also 5 Device-GRE, 6 WB RA transient, 7 WT RA XS=0. */
const MAIR = { MAIR_EL1: 0xa0_66_0c_f0_bb_44_04_ffn };

function combined(index: number, attr: bigint, hcr = VM): unknown {
  const outputBlock = (GOOD & ~WB) | (attr << 2n);
  const result = both({ first: BigInt(index) << 2n, outputBlock, hcr, more: MAIR });
  return result.outcome === "mapped" ? `${result.memory}, ${result.shareability}` : result.outcome;
}

describe("both stages", () => {
  it("lead from VA through tables at IPAs to the PA, with the level and the bits of stage 1", () => {
    const first = (1n << 6n) | (1n << 50n) | (1n << 52n) | (1n << 11n);
    const bits = { level: 3, granule: 4096, guarded: true, contiguous: true, global: false, accessFlag: true };
    expect(both({ first })).toMatchObject({ outcome: "mapped", output: 0xc000_5123n, privileged: "rw-", ...bits });
  });

  it.each([
    [GOOD & ~WRITE, "r-- r-x"],
    [GOOD & ~READ, "-w- -wx"],
    [GOOD | (2n << 53n), "rw- rw-"],
  ])("permit what each permits: %i gives %s", (outputBlock, wanted) => {
    const result = both({ outputBlock });
    expect(result.outcome === "mapped" && `${result.privileged} ${result.unprivileged}`).toBe(wanted);
  });

  it.each([
    [1n << 53n, "r-- r-x"],
    [3n << 53n, "r-x r--"],
  ])("take execution from the XN of stage 2 for each privilege: %i gives %s", (xn, wanted) => {
    const result = both({ first: 3n << 6n, outputBlock: (GOOD & ~WRITE) | xn });
    expect(result.outcome === "mapped" && `${result.privileged} ${result.unprivileged}`).toBe(wanted);
  });

  it("have the Access flag where both have it", () => {
    expect(both({ outputBlock: GOOD & ~AF })).toMatchObject({ accessFlag: false });
  });

  it.each([
    [0, 0b1111n, "Normal WB RAWA, none"],
    [0, 0b1010n, "Normal WT RAWA, none"],
    [0, 0b0101n, "Normal NC, outer"],
    [0, 0b0111n, "Normal outer NC inner WB RAWA, none"],
    [0, 0b0010n, "Device-nGRE, outer"],
    [1, 0b1111n, "Device-nGnRE, outer"],
    [1, 0b0011n, "Device-nGnRE, outer"],
    [5, 0b0001n, "Device-nGnRE, outer"],
    [2, 0b1111n, "Normal NC, outer"],
    [3, 0b1111n, "Normal WT RAWA, none"],
    [4, 0b1111n, "Normal WB RAWA Tagged, none"],
    [4, 0b1110n, "Normal outer WB RAWA inner WT RAWA, none"],
    [6, 0b1110n, "Normal outer WB RA transient inner WT RA transient, none"],
    [7, 0b1111n, "Normal WT RA, none"],
  ])("combine MAIR %i and MemAttr %i to %s", (index, attr, wanted) => {
    expect(combined(index, attr)).toBe(wanted);
  });

  it.each([
    [0, 0b0101n, "Normal NC, outer"],
    [1, 0b0101n, "Device-nGnRE, outer"],
    [1, 0b0110n, "Normal WB RAWA, outer"],
    [2, 0b0110n, "Normal WB RAWA, outer"],
    [3, 0b0110n, "Normal WB RAWA, none"],
    [4, 0b0110n, "Normal WB RAWA Tagged, none"],
    [6, 0b0110n, "Normal WB RA transient, none"],
    [1, 0b0111n, "Device-nGnRE, outer"],
    [7, 0b0111n, "Normal WT RA, none"],
    [0, 0b0010n, "Device-nGRE, outer"],
    [1, 0b0010n, "Device-nGnRE, outer"],
  ])("with FWB combine MAIR %i and MemAttr %i to %s", (index, attr, wanted) => {
    expect(combined(index, attr, VM | FWB)).toBe(wanted);
  });

  it("are Non-cacheable with CD, unless Device", () => {
    expect(combined(0, 0b1111n, VM | CD)).toBe("Normal NC, outer");
    expect(combined(1, 0b1111n, VM | CD)).toBe("Device-nGnRE, outer");
    expect(combined(0, 0b0111n, VM | CD | FWB)).toBe("Normal NC, outer");
  });

  it.each([
    [0n, 0n, "none"],
    [0n, 3n, "inner"],
    [3n, 0n, "inner"],
    [3n, 2n, "outer"],
    [2n, 0n, "outer"],
  ])("are as shareable as the wider of SH %i and %i: %s", (first, second, wanted) => {
    expect(both({ first: first << 8n, outputBlock: GOOD | (second << 8n) })).toMatchObject({ shareability: wanted });
  });
});

describe("stage 2 under a table of stage 1", () => {
  it.each<[string, Both, string]>([
    ["not mapped", { tableBlock: 0n }, "translation"],
    ["not readable", { tableBlock: GOOD & ~READ }, "permission"],
    ["without the Access flag", { tableBlock: GOOD & ~AF }, "access flag"],
    ["beyond PS", { tableBlock: GOOD | (1n << 44n), more: { VTCR_EL2: vtcr({ ps: 4 }) } }, "address size"],
    ["Device with PTW", { tableBlock: GOOD & ~WB, hcr: VM | PTW }, "permission"],
  ])("faults on the walk: %s", (_, options, kind) => {
    expect(both(options)).toEqual(fault(kind, 1, true));
  });

  it.each<[string, Both]>([
    [
      "without the Access flag, which hardware sets",
      { tableBlock: GOOD & ~AF, more: { VTCR_EL2: vtcr({ extra: 1n << 21n }) } },
    ],
    ["Device without PTW", { tableBlock: GOOD & ~WB }],
    ["not writable, not executable", { tableBlock: (GOOD & ~WRITE) | (2n << 53n) }],
  ])("lets the walk pass: %s", (_, options) => {
    expect(both(options)).toMatchObject({ outcome: "mapped" });
  });

  it("has its own fault at the output", () => {
    expect(both({ outputBlock: 0n })).toEqual(fault("translation", 1));
  });

  it("leaves a word that cannot be read to stage 1, by its PA", () => {
    const tableBlock = GOOD | 0x1_0000_0000n;
    expect(both({ tableBlock })).toEqual({ outcome: "unreadable", descriptor: 0x1_8000_1000n, level: 3, stage: 1 });
  });
});

describe("stage 2 with stage 1 off", () => {
  it("takes the VA for the IPA; with DC as Normal WB, not shareable", () => {
    const registers = { HCR_EL2: DC, VTCR_EL2: vtcr(), VTTBR_EL2: 0x2000n, SCTLR_EL1: 5n };
    const machine = slowMachine(registers, { "0x2008": 0x8000_0000n | GOOD });
    const wanted = { output: 0x8000_0123n, level: null, memory: "Normal WB RAWA", shareability: "none" };
    expect(slowTranslate(machine, "EL1&0", 0x4000_0123n)).toMatchObject(wanted);
  });

  it.each<[string, Values]>([
    ["EL2 is disabled", { SCR_EL3: 0n }],
    ["{E2H,TGE} is {1,1}", { HCR_EL2: VM | E2H | TGE }],
    ["VM and DC are 0", { HCR_EL2: 0n }],
  ])("is not in force where %s", (_, more) => {
    const machine = slowMachine({ HCR_EL2: VM, VTCR_EL2: vtcr(), VTTBR_EL2: 0n, SCTLR_EL1: 0n, ...more });
    expect(slowTranslate(machine, "EL1&0", 0x4000_0123n)).toMatchObject({ output: 0x4000_0123n });
  });

  it("is in force in Secure state with SCR_EL3.EEL2", () => {
    const registers = { HCR_EL2: VM, VTCR_EL2: vtcr(), VTTBR_EL2: 0n, SCTLR_EL1: 0n, SCR_EL3: 1n << 18n };
    expect(slowTranslate(slowMachine(registers), "EL1&0", 0n)).toMatchObject({ outcome: "unreadable", stage: 2 });
  });
});
