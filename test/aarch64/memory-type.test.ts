/** Memory types of one stage and of two: Arm ARM DDI 0487, D24.2 MAIR_EL1, D8.6 (stage 2, combining, FEAT_S2FWB). */
import { describe, expect, it } from "vitest";
import { flatAttributes } from "../../src/aarch64/attributes.ts";
import { combineTypes, memoryTypeOf, memoryWords, stage2MemoryType } from "../../src/aarch64/memory-type.ts";
import { readRegime } from "../../src/aarch64/regime.ts";
import { registersFrom } from "../support/regimes.ts";

const DEVICE_nGnRnE = 0x00;
const DEVICE_GRE = 0x0c;
const NORMAL_NC = 0x44;
const NORMAL_WT = 0xbb;
const NORMAL_WB = 0xff;

describe("MemAttr of stage 2, without FWB,", () => {
  it.each([
    [0b0000, "Device-nGnRnE"],
    [0b0001, "Device-nGnRE"],
    [0b0010, "Device-nGRE"],
    [0b0011, "Device-GRE"],
    [0b0100, "reserved"],
    [0b0101, "Normal NC"],
    [0b0110, "Normal outer NC inner WT"],
    [0b1010, "Normal WT"],
    [0b1111, "Normal WB"],
    [0b1101, "Normal outer WB inner NC"],
  ])("0b%i is %s", (memAttr, words) => {
    expect(memoryWords(stage2MemoryType(memAttr, false))).toBe(words);
  });
});

describe("two stages together make", () => {
  it.each<[number, number, boolean, string]>([
    [NORMAL_WB, 0b1111, false, "Normal WB RAWA"],
    [NORMAL_WB, 0b1010, false, "Normal WT RAWA"],
    [NORMAL_WB, 0b0101, false, "Normal NC"],
    [NORMAL_WT, 0b1111, false, "Normal WT RAWA"],
    [NORMAL_NC, 0b1111, false, "Normal NC"],
    [NORMAL_WB, 0b1101, false, "Normal outer WB RAWA inner NC"],
    [NORMAL_WB, 0b0001, false, "Device-nGnRE"],
    [DEVICE_GRE, 0b1111, false, "Device-GRE"],
    [DEVICE_GRE, 0b0001, false, "Device-nGnRE"],
    [DEVICE_nGnRnE, 0b0011, false, "Device-nGnRnE"],
    [0xf0, 0b1111, false, "Normal WB RAWA Tagged"],
    [0xf0, 0b0101, false, "Normal NC"],
    // FEAT_S2FWB
    [NORMAL_NC, 0b0110, true, "Normal WB RAWA"],
    [DEVICE_GRE, 0b0110, true, "Normal WB RAWA"],
    [NORMAL_NC, 0b0111, true, "Normal NC"],
    [DEVICE_GRE, 0b0111, true, "Device-GRE"],
    [NORMAL_WB, 0b0101, true, "Normal NC"],
    [DEVICE_GRE, 0b0101, true, "Device-GRE"],
    [NORMAL_WB, 0b0010, true, "Device-nGRE"],
    [DEVICE_nGnRnE, 0b0010, true, "Device-nGnRnE"],
  ])("of 0x%x and %i (FWB %s) %s", (mair, memAttr, fwb, words) => {
    const type = combineTypes(memoryTypeOf(mair), stage2MemoryType(memAttr, fwb), fwb);
    expect(memoryWords(type)).toBe(words);
  });
});

describe("with translation off", () => {
  const flat = (sctlr: bigint, hcr = 0n) => {
    const values = { cpsr: 5n, SCTLR_EL1: sctlr, TCR_EL1: 0n, MAIR_EL1: 0n, HCR_EL2: hcr };
    const { memory, fetch, shareability } = flatAttributes(readRegime("EL1&0", registersFrom(values)));
    return [memory, fetch, shareability];
  };

  it("data is Device-nGnRnE, and instructions are fetched by SCTLR_EL1.I", () => {
    expect(flat(0n)).toEqual(["Device-nGnRnE", "Normal NC", "outer"]);
    expect(flat(1n << 12n)).toEqual(["Device-nGnRnE", "Normal WT RA", "outer"]);
  });

  it("HCR_EL2.DC makes both Write-Back, also where SCTLR_EL1.M is 1", () => {
    expect(flat(0n, 1n << 12n)).toEqual(["Normal WB RAWA", "Normal WB RAWA", "none"]);
    expect(
      readRegime("EL1&0", registersFrom({ SCTLR_EL1: 1n, TCR_EL1: 0n, MAIR_EL1: 0n, HCR_EL2: 1n << 12n })).enabled,
    ).toBe(false);
  });
});
