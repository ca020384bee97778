/** The bits of descriptors in words, by hand: Arm ARM DDI 0487, D8.3 "Translation table descriptor formats". */
import { describe, expect, it } from "vitest";
import { describeDescriptor } from "../../src/aarch64/describe.ts";
import { readRegime } from "../../src/aarch64/regime.ts";
import type { RegimeName } from "../../src/aarch64/regime-model.ts";
import { el1Regime, registersFrom, tcrEl1 } from "../support/regimes.ts";

type Kind = "table" | "block" | "page";

function fields(descriptor: bigint, kind: Kind, regime = el1Regime()): Record<string, [number, string]> {
  const [root] = regime.roots;
  if (root === undefined) throw new Error("the regime has no root");
  const list = describeDescriptor(descriptor, kind, root, regime.controls);
  return Object.fromEntries(list.map(({ name, value, meaning }) => [name, [value, meaning]]));
}

function regimeWith(name: RegimeName, values: Record<string, bigint>) {
  return readRegime(name, registersFrom(values));
}

const EL2 = { HCR_EL2: 0n, SCTLR_EL2: 5n, TCR_EL2: 16n | (5n << 16n), MAIR_EL2: 0xffn, TTBR0_EL2: 0n };
const STAGE2 = { VTCR_EL2: 25n | (1n << 6n) | (5n << 16n), VTTBR_EL2: 0n, HCR_EL2: 1n };

describe("a page of EL1&0", () => {
  it("is told field by field", () => {
    const page =
      (0b11n << 53n) |
      (1n << 52n) |
      (1n << 50n) |
      (1n << 11n) |
      (1n << 10n) |
      (3n << 8n) |
      (3n << 6n) |
      (1n << 2n) |
      3n;
    expect(fields(page, "page")).toEqual({
      UXN: [1, "not executable at EL0"],
      PXN: [1, "not executable at the higher level"],
      Contiguous: [1, "one of a run that a TLB may hold as one"],
      DBM: [0, ""],
      GP: [1, "guarded: branches land on a BTI"],
      nG: [1, "of one ASID"],
      AF: [1, "accessed"],
      SH: [3, "Inner Shareable"],
      AP: [3, "read-only, EL0 too"],
      NS: [0, ""],
      AttrIndx: [1, "Device-nGnRnE"],
    });
  });

  it("has no SH with FEAT_LPA2, whose bits are address bits", () => {
    const regime = el1Regime({ TCR_EL1: tcrEl1({ extra: 1n << 59n }) });
    expect(fields(0x403n, "page", regime)).not.toHaveProperty("SH");
  });

  it("has the bits of permission indirection and overlays in place of AP, PXN and UXN", () => {
    const regime = el1Regime({ TCR2_EL1: 0b11110n, MAIR2_EL1: 0x44n });
    const page = (5n << 60n) | (1n << 59n) | (0b10n << 53n) | (1n << 51n) | (1n << 7n) | (1n << 6n) | 0x403n;
    const found = fields(page, "page", regime);
    expect(found).toMatchObject({ POIndex: [5, "overlay 5 of POR"], "AttrIndx[3]": [1, "MAIR2"], nDirty: [1, ""] });
    expect(found).toMatchObject({
      "PIIndex[3:2]": [2, "index into PIR"],
      "PIIndex[1]": [1, ""],
      "PIIndex[0]": [1, ""],
    });
    for (const name of ["AP", "PXN", "UXN", "DBM"]) expect(found).not.toHaveProperty(name);
  });
});

describe("a block", () => {
  it("has nT, and in EL2 XN in place of UXN and PXN, and no nG", () => {
    const block = (1n << 54n) | (1n << 16n) | (2n << 6n) | 0x401n;
    const found = fields(block, "block", regimeWith("EL2", EL2));
    expect(found).toMatchObject({ XN: [1, "not executable"], nT: [1, "may be kept out of TLBs (FEAT_BBM)"] });
    expect(found).toMatchObject({ AP: [2, "read-only"] });
    for (const name of ["UXN", "PXN", "nG"]) expect(found).not.toHaveProperty(name);
  });
});

describe("a table descriptor", () => {
  const table = (0b11n << 61n) | (1n << 60n) | (1n << 59n) | 3n;

  it("tells what it takes away below", () => {
    expect(fields(table, "table")).toEqual({
      NSTable: [0, ""],
      APTable: [3, "no write, and no access from EL0 below"],
      UXNTable: [1, "not executable at EL0 below"],
      PXNTable: [1, "not executable at the higher level below"],
    });
  });

  it.each([
    ["TCR_EL1.HPD0", { TCR_EL1: tcrEl1({ extra: 1n << 41n }) }],
    ["permission indirection", { TCR2_EL1: 2n }],
    ["overlays", { TCR2_EL1: 8n }],
  ])("takes nothing away with %s", (_, values) => {
    const found = fields(table, "table", el1Regime(values));
    for (const name of ["APTable", "UXNTable", "PXNTable"]) {
      expect(found[name]?.[1]).toBe("ignored: hierarchical permissions are disabled");
    }
  });

  it("of stage 2 has no attributes", () => {
    expect(fields(table, "table", regimeWith("stage2", STAGE2))).toEqual({});
  });
});

describe("a leaf of stage 2", () => {
  const leaf =
    (0b01n << 53n) | (1n << 51n) | (1n << 11n) | (1n << 10n) | (2n << 8n) | (1n << 6n) | (0b0111n << 2n) | 3n;

  it("is told field by field", () => {
    expect(fields(leaf, "page", regimeWith("stage2", STAGE2))).toEqual({
      XN: [1, "not executable at EL1"],
      Contiguous: [0, ""],
      DBM: [1, "dirty state is managed by hardware, if enabled"],
      FnXS: [1, "the XS attribute is 0"],
      AF: [1, "accessed"],
      SH: [2, "Outer Shareable"],
      S2AP: [1, "read-only"],
      MemAttr: [7, "Normal outer NC inner WB"],
    });
  });

  it("with FWB leaves its memory type to stage 1, and without FEAT_XNX has no XN of its own for EL1", () => {
    const values = { ...STAGE2, HCR_EL2: 1n | (1n << 46n), ID_AA64MMFR1_EL1: 0n };
    const found = fields(leaf, "page", regimeWith("stage2", values));
    expect(found.MemAttr).toEqual([7, "as stage 1"]);
    expect(found.XN).toEqual([1, ""]);
  });
});
