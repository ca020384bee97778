import { describe, expect, it } from "vitest";
import { matchImages } from "../../src/diff/across/match-images.ts";
import { union, without } from "../../src/diff/across/ranges.ts";
import { type RegisterContext, runBits } from "../../src/diff/across/run-dependent.ts";
import type { ImageDetails } from "../../src/efi/images.ts";
import { registersFrom } from "../support/regimes.ts";

interface Given {
  readonly name?: string;
  readonly base?: bigint;
  readonly size?: number;
  readonly guid?: string;
  readonly buildId?: string;
  readonly header?: false;
}

function image({ name, base = 0n, size = 0x1000, guid, buildId, header }: Given): ImageDetails {
  const told = {
    format: "PE32+",
    machine: "AArch64",
    imageType: "",
    entryPoint: 0,
    linkBase: 0n,
    sections: [],
  } as const;
  const unset = { codeView: undefined, buildName: undefined, bootImage: undefined };
  return {
    ...{ name, base, size: BigInt(size), fileGuid: guid, buildPath: undefined, nameFrom: undefined, found: "list" },
    ...{ codeType: "", dataType: "", runtime: false, sections: [] },
    header: header === false ? undefined : { ...told, ...unset, size, buildId },
  };
}

/** `index of a-index of b build`, and how many are left. */
function matched(a: readonly Given[], b: readonly Given[]): string[] {
  const sides = {
    a: a.map((each, i) => image({ base: BigInt(i), ...each })),
    b: b.map((each, i) => image({ base: BigInt(i), ...each })),
  };
  const { pairs, only } = matchImages(sides);
  const texts = pairs.map((pair) => `${sides.a.indexOf(pair.a)}-${sides.b.indexOf(pair.b)} ${pair.build}`);
  return [
    ...texts,
    ...only.a.map((each) => `a ${sides.a.indexOf(each)}`),
    ...only.b.map((each) => `b ${sides.b.indexOf(each)}`),
  ];
}

describe("images of two captures", () => {
  it("are paired by name in any order, and are of one build when they are laid out alike", () => {
    expect(matched([{ name: "A" }, { name: "B" }], [{ name: "B" }, { name: "A", size: 0x2000 }])).toEqual([
      "0-1 other",
      "1-0 same",
    ]);
  });

  it("are of two builds when their build ids are two", () => {
    expect(matched([{ name: "A", buildId: "aa" }], [{ name: "A", buildId: "bb" }])).toEqual(["0-0 other"]);
  });

  it("are paired by build id before layout, and by layout before order, where a name is there twice", () => {
    const a = [
      { name: "A", size: 1 },
      { name: "A", size: 2 },
      { name: "A", size: 3, buildId: "x" },
    ];
    const b = [
      { name: "A", size: 3, buildId: "x" },
      { name: "A", size: 2 },
      { name: "A", size: 1 },
    ];
    expect(matched(a, b)).toEqual(["0-2 same", "1-1 same", "2-0 same"]);
  });

  it("are not paired by a name that is there twice in other layouts", () => {
    expect(
      matched(
        [
          { name: "A", size: 1 },
          { name: "A", size: 2 },
        ],
        [{ name: "A", size: 3 }],
      ),
    ).toEqual(["a 0", "a 1", "b 0"]);
  });

  it("are paired by the GUID of their file where builds are two", () => {
    const a = [
      { name: "A", size: 1, guid: "g" },
      { name: "A", size: 2, guid: "h" },
    ];
    const b = [
      { name: "A", size: 3, guid: "h" },
      { name: "A", size: 4, guid: "g" },
    ];
    expect(matched(a, b)).toEqual(["0-1 other", "1-0 other"]);
  });

  it("are of no known build when a header could not be read", () => {
    expect(matched([{ name: "A", header: false }], [{ name: "A" }])).toEqual(["0-0 unknown"]);
  });

  it("without a name are paired by a layout that is there once", () => {
    expect(matched([{ size: 5 }, { size: 6 }], [{ size: 6 }, { size: 7 }])).toEqual(["1-0 same", "a 0", "b 1"]);
  });
});

const EL1 = registersFrom({ cpsr: 0x3c5n });

function context(given: Partial<RegisterContext> = {}): RegisterContext {
  return { kind: "before", caller: true, registers: EL1, ...given };
}

/** Whether the lower 64 bits of a register count at all. */
function counts(name: string, given: Partial<RegisterContext> = {}): boolean {
  const mask = runBits(name, context(given))?.mask ?? 0n;
  return (mask & ((1n << 64n) - 1n)) !== (1n << 64n) - 1n;
}

describe("what depends on the run", () => {
  it("is a clock or a timer's deadline, but not its frequency and control", () => {
    expect(["CNTV_CVAL_EL0", "CNTPCT_EL0", "CNTHP_CVAL_EL2", "PMCCNTR_EL0"].filter((name) => counts(name))).toEqual([]);
    expect(["CNTFRQ_EL0", "CNTKCTL_EL1", "CNTV_CTL_EL0", "PMCR_EL0"].filter((name) => !counts(name))).toEqual([]);
    expect(runBits("CNTV_CTL_EL0", context())?.mask).toBe(4n);
  });

  it("is what AAPCS64 leaves to nobody at a call: two arguments before, one result after it", () => {
    const general = Array.from({ length: 31 }, (_, i) => `x${i}`);
    const kept = (kind: "before" | "after") =>
      general.filter((name) => counts(name, { kind })).map((name) => Number(name.slice(1)));
    expect(kept("before")).toEqual([0, 1, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
    expect(kept("after")).toEqual([0, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
    expect(["v0", "v7", "v8", "v15", "v16", "v31"].filter((name) => counts(name))).toEqual(["v8", "v15"]);
    expect(runBits("cpsr", context())?.mask).toBe(0xf000_0000n);
  });

  it("is nothing of the vCPU that faulted, and all that another vCPU was computing", () => {
    expect(["x3", "x17", "ELR_EL1", "SPSR_EL1", "cpsr"].filter((name) => !counts(name, { kind: "fault" }))).toEqual([]);
    expect(["x3", "x19", "pc", "ELR_EL1"].filter((name) => counts(name, { kind: "fault", caller: false }))).toEqual([]);
    expect(counts("SCTLR_EL1", { kind: "later", caller: false })).toBe(true);
  });

  it("is what interrupts leave behind, but not a syndrome before the exit", () => {
    expect(["ELR_EL1", "SPSR_EL2"].filter((name) => counts(name))).toEqual([]);
    expect(["ESR_EL1", "FAR_EL1"].filter((name) => counts(name))).toEqual(["ESR_EL1", "FAR_EL1"]);
    expect(counts("ESR_EL1", { kind: "later" })).toBe(false);
  });

  it("is the banked copy of the stack pointer in use, and no other", () => {
    expect([counts("SP_EL1"), counts("SP_EL0")]).toEqual([false, true]);
    const sp0 = { registers: registersFrom({ cpsr: 0x3c4n }) };
    expect([counts("SP_EL1", sp0), counts("SP_EL0", sp0)]).toEqual([true, false]);
  });
});

describe("ranges of pages", () => {
  it("lose the holes in them", () => {
    const holes = union([
      { start: 30, end: 40 },
      { start: 10, end: 20 },
      { start: 15, end: 22 },
      { start: 5, end: 5 },
    ]);
    expect(holes).toEqual([
      { start: 10, end: 22 },
      { start: 30, end: 40 },
    ]);
    expect(without({ start: 0, end: 35 }, holes)).toEqual([
      { start: 0, end: 10 },
      { start: 22, end: 30 },
    ]);
    expect(without({ start: 12, end: 20 }, holes)).toEqual([]);
  });
});
