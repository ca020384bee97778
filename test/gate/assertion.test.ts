/** Assertions over registers, against what they say when they are read by hand. */
import { describe, expect, it } from "vitest";
import { type Assertion, holds, type Misfit, parseAssertion } from "../../src/gate/assertion.ts";

function parsed(text: string): Assertion {
  const result = parseAssertion(text);
  if ("message" in result) throw new Error(`${text}: ${result.message}`);
  return result;
}

function misfit(text: string): Misfit {
  const result = parseAssertion(text);
  if (!("message" in result)) throw new Error(`${text} was taken`);
  return result;
}

const VALUES: Readonly<Record<string, bigint>> = {
  SCTLR_EL1: 0x30d0_198dn,
  "SCTLR_EL1.M": 1n,
  TTBR1_EL1: (1n << 64n) - 1n,
  x0: 0n,
};

function says(text: string): boolean | undefined {
  return holds(parsed(text), ({ register, field }) => VALUES[field === undefined ? register : `${register}.${field}`]);
}

describe("an assertion", () => {
  it.each([
    ["SCTLR_EL1.M == 1", true],
    ["SCTLR_EL1.M != 1", false],
    ["  SCTLR_EL1.M==0b1  ", true],
    ["SCTLR_EL1 == 0x30d0_198d", true],
    ["SCTLR_EL1 & 0x5 == 0x5", true],
    ["SCTLR_EL1 & 0x2 == 0x2", false],
    ["0x5 == SCTLR_EL1 & 0x7", true],
    ["TTBR1_EL1 > 0", true],
    ["TTBR1_EL1 >= 18446744073709551615", true],
    ["x0 < 1", true],
    ["x0 <= 0", true],
    ["x0 > 0", false],
    ["TTBR1_EL1 != x0", true],
  ])("%s is %s", (text, expected) => {
    expect(says(text)).toBe(expected);
  });

  it("is undecided where a value is not known, also behind a mask", () => {
    expect(says("SCTLR_EL3.M == 1")).toBeUndefined();
    expect(says("SCTLR_EL3 & 0 == 0")).toBeUndefined();
    expect(says("x0 != x1")).toBeUndefined();
  });

  it("keeps names of fields with their bits", () => {
    expect(parsed("SPSR_EL1.M[3:0] == 5").left.value).toEqual({ register: "SPSR_EL1", field: "M[3:0]" });
  });
});

describe("what is none", () => {
  it.each([
    ["SCTLR_EL1.M", 11],
    ["SCTLR_EL1.M = 1", 12],
    ["SCTLR_EL1.M == ", 15],
    ["== 1", 0],
    ["SCTLR_EL1.M == 1 == 1", 17],
    ["SCTLR_EL1.M == 1 && x0 == 0", 17],
    ["SCTLR_EL1 & x0 == 0", 12],
    ["1 == 1", 0],
    ["x0 == 0x1_0000_0000_0000_0000", 6],
    ["x0 == 0x", 6],
    ["x0 == (1)", 6],
    ["x0; process.exit()", 2],
    ["", 0],
  ])("%j is told from character %i on", (text, offset) => {
    expect(misfit(text).offset).toBe(offset);
  });

  it("takes no time to speak of, however long it is", () => {
    for (const unit of [" ", "x", "1", "_", "&", "==", "x0 == ", "0x", "\t\u00a0"])
      expect("message" in parseAssertion(unit.repeat(400))).toBe(true);
  });
});
