import { describe, expect, it } from "vitest";
import {
  allSystemEncodings,
  CONTROL_REGISTERS,
  encodingNamed,
  encodingOf,
  encodingParts,
  isControlRegister,
  isMaintenance,
  systemNameOf,
  writtenRegister,
} from "../../src/aarch64/registers/index.ts";
import { findSystemWrites, type SystemWord, systemWord } from "../../src/code/system-words.ts";
import { Random } from "../support/random.ts";

/** MSR of these from X5, as llvm-mc 14 assembles them. */
const CONTROL: readonly (readonly [name: string, word: number])[] = [
  ["SCTLR_EL1", 0xd518_1005],
  ["SCTLR_EL2", 0xd51c_1005],
  ["SCTLR_EL3", 0xd51e_1005],
  ["SCTLR_EL12", 0xd51d_1005],
  ["ACTLR_EL1", 0xd518_1025],
  ["ACTLR_EL2", 0xd51c_1025],
  ["ACTLR_EL3", 0xd51e_1025],
  ["TTBR0_EL1", 0xd518_2005],
  ["TTBR0_EL2", 0xd51c_2005],
  ["TTBR0_EL3", 0xd51e_2005],
  ["TTBR0_EL12", 0xd51d_2005],
  ["TTBR1_EL1", 0xd518_2025],
  ["TTBR1_EL2", 0xd51c_2025],
  ["TTBR1_EL12", 0xd51d_2025],
  ["TCR_EL1", 0xd518_2045],
  ["TCR_EL2", 0xd51c_2045],
  ["TCR_EL3", 0xd51e_2045],
  ["TCR_EL12", 0xd51d_2045],
  ["MAIR_EL1", 0xd518_a205],
  ["MAIR_EL2", 0xd51c_a205],
  ["MAIR_EL3", 0xd51e_a205],
  ["MAIR_EL12", 0xd51d_a205],
  ["AMAIR_EL1", 0xd518_a305],
  ["AMAIR_EL2", 0xd51c_a305],
  ["AMAIR_EL3", 0xd51e_a305],
  ["AMAIR_EL12", 0xd51d_a305],
  ["VBAR_EL1", 0xd518_c005],
  ["VBAR_EL2", 0xd51c_c005],
  ["VBAR_EL3", 0xd51e_c005],
  ["VBAR_EL12", 0xd51d_c005],
  ["CONTEXTIDR_EL1", 0xd518_d025],
  ["CONTEXTIDR_EL2", 0xd51c_d025],
  ["CONTEXTIDR_EL12", 0xd51d_d025],
  ["CPACR_EL1", 0xd518_1045],
  ["CPACR_EL12", 0xd51d_1045],
  ["CNTKCTL_EL1", 0xd518_e105],
  ["CNTKCTL_EL12", 0xd51d_e105],
  ["HCR_EL2", 0xd51c_1105],
  ["HCRX_EL2", 0xd51c_1245],
  ["CPTR_EL2", 0xd51c_1145],
  ["CPTR_EL3", 0xd51e_1145],
  ["HSTR_EL2", 0xd51c_1165],
  ["MDCR_EL2", 0xd51c_1125],
  ["MDCR_EL3", 0xd51e_1325],
  ["CNTHCTL_EL2", 0xd51c_e105],
  ["VTTBR_EL2", 0xd51c_2105],
  ["VTCR_EL2", 0xd51c_2145],
  ["VSTTBR_EL2", 0xd51c_2605],
  ["VSTCR_EL2", 0xd51c_2645],
  ["SCR_EL3", 0xd51e_1105],
  ["GPTBR_EL3", 0xd51e_2185],
  ["GPCCR_EL3", 0xd51e_21c5],
  ["HFGRTR_EL2", 0xd51c_1185],
  ["HFGWTR_EL2", 0xd51c_11a5],
  ["HFGITR_EL2", 0xd51c_11c5],
  ["HDFGRTR_EL2", 0xd51c_3185],
  ["HDFGWTR_EL2", 0xd51c_31a5],
];

/** Newer than that assembler: words from the encodings that the Arm ARM gives the registers. */
const NEWER: readonly (readonly [name: string, word: number])[] = [
  ["SCTLR2_EL1", 0xd518_1065],
  ["TCR2_EL12", 0xd51d_2065],
  ["MAIR2_EL2", 0xd51c_a125],
  ["PIRE0_EL12", 0xd51d_a245],
  ["POR_EL0", 0xd51b_a285],
  ["SCTLRALIAS_EL1", 0xd518_14c5],
  ["TCRALIAS_EL1", 0xd518_27c5],
  ["S2PIR_EL2", 0xd51c_a2a5],
];

const OTHER: readonly (readonly [name: string, word: number])[] = [
  ["ELR_EL1", 0xd518_4025],
  ["SPSR_EL1", 0xd518_4005],
  ["ESR_EL1", 0xd518_5205],
  ["FAR_EL1", 0xd518_6005],
  ["SP_EL0", 0xd518_4105],
  ["TPIDR_EL0", 0xd51b_d045],
  ["TPIDR_EL1", 0xd518_d085],
  ["DAIF", 0xd51b_4225],
  ["NZCV", 0xd51b_4205],
  ["CNTP_CTL_EL0", 0xd51b_e225],
  ["CNTP_CTL_EL02", 0xd51d_e225],
  ["CNTV_CVAL_EL0", 0xd51b_e345],
  ["PAR_EL1", 0xd518_7405],
  ["MDSCR_EL1", 0xd510_0245],
  ["OSDLR_EL1", 0xd510_1385],
  ["FPCR", 0xd51b_4405],
  ["ZCR_EL1", 0xd518_1205],
  ["AFSR0_EL1", 0xd518_5105],
  ["TFSR_EL1", 0xd518_5605],
];

/** Assembled by llvm-mc 14; op0, op1, CRn, CRm and op2 are what the Arm ARM gives. */
const WORDS: readonly (readonly [
  assembly: string,
  word: number,
  kind: SystemWord["kind"],
  parts: readonly [number, number, number, number, number],
  rt: number,
])[] = [
  ["msr sctlr_el1, x5", 0xd518_1005, "msr", [3, 0, 1, 0, 0], 5],
  ["msr mdscr_el1, x5", 0xd510_0245, "msr", [2, 0, 0, 2, 2], 5],
  ["msr s3_0_c15_c2_0, x1", 0xd518_f201, "msr", [3, 0, 15, 2, 0], 1],
  ["mrs x9, hcr_el2", 0xd53c_1109, "mrs", [3, 4, 1, 1, 0], 9],
  ["tlbi vmalle1", 0xd508_871f, "sys", [1, 0, 8, 7, 0], 31],
  ["tlbi rvale2os, x30", 0xd50c_85be, "sys", [1, 4, 8, 5, 5], 30],
  ["sysl x3, #0, c7, c1, #0", 0xd528_7103, "sysl", [1, 0, 7, 1, 0], 3],
];

const NONE: readonly (readonly [assembly: string, word: number])[] = [
  ["msr daifset, #2", 0xd503_42df],
  ["msr pan, #1", 0xd500_419f],
  ["msr spsel, #1", 0xd500_41bf],
  ["nop", 0xd503_201f],
  ["isb", 0xd503_3fdf],
  ["wfit x1", 0xd503_1021],
  ["xaflag", 0xd500_403f],
  ["eret", 0xd69f_03e0],
  ["the same bits as MSR SCTLR_EL1, but 128 of them (MSRR)", 0xd558_1004],
];

const MAINTENANCE: readonly (readonly [assembly: string, word: number, is: boolean])[] = [
  ["tlbi vae1is, x3", 0xd508_8323, true],
  ["tlbi alle3", 0xd50e_871f, true],
  ["tlbi vae1isnxs, x1", 0xd508_9321, true],
  ["tlbi paall", 0xd50e_879f, true],
  ["dc cvac, x0", 0xd50b_7a20, true],
  ["dc civac, x2", 0xd50b_7e22, true],
  ["dc isw, x4", 0xd508_7644, true],
  ["dc cgdvac, x4", 0xd50b_7aa4, true],
  ["ic iallu", 0xd508_751f, true],
  ["ic ivau, x1", 0xd50b_7521, true],
  ["dc zva, x7", 0xd50b_7427, false],
  ["dc gva, x7", 0xd50b_7467, false],
  ["dc gzva, x7", 0xd50b_7487, false],
  ["at s1e1r, x0", 0xd508_7800, false],
  ["at s1e1wp, x1", 0xd508_7921, false],
  ["cfp rctx, x0", 0xd50b_7380, false],
  ["msr sctlr_el1, x5", 0xd518_1005, false],
];

function encodingIn(word: number): number {
  const found = systemWord(word);
  if (found === undefined) throw new Error(`0x${word.toString(16)} is no System instruction`);
  return found.encoding;
}

describe("a System instruction word", () => {
  it.each(WORDS)("%s is read", (_, word, kind, [op0, op1, crn, crm, op2], rt) => {
    const found = systemWord(word);
    expect(found).toMatchObject({ kind, rt });
    expect(encodingParts(found?.encoding ?? 0)).toEqual({ op0, op1, crn, crm, op2 });
  });

  it.each(NONE)("%s is none", (_, word) => {
    expect(systemWord(word)).toBeUndefined();
  });

  it.each([...CONTROL, ...NEWER, ...OTHER])("MSR %s is named", (name, word) => {
    expect(systemNameOf(encodingIn(word))).toBe(name);
    expect(encodingNamed(name)).toBe(encodingIn(word));
  });

  it("may be signed: bit 31 is set in all of them", () => {
    expect(systemWord(0xd518_1005 | 0)).toEqual(systemWord(0xd518_1005));
  });
});

describe("an encoding as one number", () => {
  it("holds all of every encoding that has a name", () => {
    const numbers = new Set<number>();
    for (const [place] of allSystemEncodings()) {
      const [op0 = 0, op1 = 0, crn = 0, crm = 0, op2 = 0] = place.split(" ").map(Number);
      const encoding = encodingOf({ op0, op1, crn, crm, op2 });
      expect(encodingParts(encoding)).toEqual({ op0, op1, crn, crm, op2 });
      numbers.add(encoding);
    }
    expect(numbers.size).toBe(allSystemEncodings().length);
  });
});

describe("writes that are looked for", () => {
  it("are those of the control registers, under every name of theirs", () => {
    const found = [...CONTROL, ...NEWER].filter(([, word]) => !isControlRegister(encodingIn(word)));
    expect(found).toEqual([]);
    expect(OTHER.filter(([, word]) => isControlRegister(encodingIn(word)))).toEqual([]);
  });

  it("are of registers that there are", () => {
    expect(CONTROL_REGISTERS.filter((name) => encodingNamed(name) === undefined)).toEqual([]);
    expect(new Set(CONTROL_REGISTERS).size).toBe(CONTROL_REGISTERS.length);
  });

  it.each(MAINTENANCE)("%s is maintenance or is not", (_, word, is) => {
    expect(isMaintenance(encodingIn(word))).toBe(is);
  });

  it("are found wherever they are", () => {
    const words = Uint32Array.of(
      0xd518_1005,
      0xd53c_1109,
      0xd503_201f,
      0xd508_871f,
      0xd500_419f,
      0xd528_7103,
      0xd518_1005,
    );
    expect(findSystemWrites(words, () => true)).toEqual([0, 3, 6]);
    expect(findSystemWrites(words, ({ kind }) => kind === "sys")).toEqual([3]);
    expect(findSystemWrites(words, ({ encoding }) => isControlRegister(encoding))).toEqual([0, 6]);
    expect(findSystemWrites(new Uint32Array(0), () => true)).toEqual([]);
  });

  it("are found in random words as a reader of their bits finds them", () => {
    const random = new Random(0x5e5);
    // Half of them near the encodings that matter.
    const words = Uint32Array.from({ length: 20_000 }, (_, i) =>
      i % 2 === 0 ? random.next() : (0xd500_0000 | (random.next() & 0x007f_ffff)) >>> 0,
    );
    const expected = [...words.keys()].filter((i) =>
      /^11010101000(?!00)/.test((words[i] as number).toString(2).padStart(32, "0")),
    );
    expect(findSystemWrites(words, () => true)).toEqual(expected);
    expect(expected.length).toBeGreaterThan(1000);
  });
});

describe("the register that an MSR writes", () => {
  const written = (name: string, level: number, e2h: boolean) =>
    writtenRegister(encodingNamed(name) ?? -1, { level, e2h });

  // The Arm ARM's tables of encodings (D23.3) say which registers a mnemonic accesses.
  it.each([
    ["SCTLR_EL1", "SCTLR_EL2"],
    ["SCTLR2_EL1", "SCTLR2_EL2"],
    ["CPACR_EL1", "CPTR_EL2"],
    ["TTBR0_EL1", "TTBR0_EL2"],
    ["TTBR1_EL1", "TTBR1_EL2"],
    ["TCR_EL1", "TCR_EL2"],
    ["TCR2_EL1", "TCR2_EL2"],
    ["MAIR_EL1", "MAIR_EL2"],
    ["MAIR2_EL1", "MAIR2_EL2"],
    ["AMAIR_EL1", "AMAIR_EL2"],
    ["PIR_EL1", "PIR_EL2"],
    ["PIRE0_EL1", "PIRE0_EL2"],
    ["POR_EL1", "POR_EL2"],
    ["VBAR_EL1", "VBAR_EL2"],
    ["CONTEXTIDR_EL1", "CONTEXTIDR_EL2"],
    ["CNTKCTL_EL1", "CNTHCTL_EL2"],
    ["ESR_EL1", "ESR_EL2"],
    ["SPSR_EL1", "SPSR_EL2"],
    ["ZCR_EL1", "ZCR_EL2"],
    ["MPAM1_EL1", "MPAM2_EL2"],
    ["CNTP_CTL_EL0", "CNTHP_CTL_EL2"],
    ["CNTV_CVAL_EL0", "CNTHV_CVAL_EL2"],
  ])("is, by the name %s, %s for a host at EL2 and nobody else", (name, atEl2) => {
    expect(written(name, 2, true)).toBe(atEl2);
    for (const [level, e2h] of [
      [0, true],
      [1, true],
      [1, false],
      [2, false],
      [3, true],
    ] as const) {
      expect(written(name, level, e2h)).toBe(name);
    }
  });

  it.each([
    ["SCTLR_EL12", "SCTLR_EL1"],
    ["CPACR_EL12", "CPACR_EL1"],
    ["MAIR2_EL12", "MAIR2_EL1"],
    ["CNTKCTL_EL12", "CNTKCTL_EL1"],
    ["CNTP_CTL_EL02", "CNTP_CTL_EL0"],
    ["SCTLRALIAS_EL1", "SCTLR_EL1"],
    ["TCR2ALIAS_EL1", "TCR2_EL1"],
  ])("is, by the name %s, %s for a host", (name, own) => {
    expect(written(name, 2, true)).toBe(own);
  });

  it.each([
    "SCTLR_EL2",
    "HCR_EL2",
    "TPIDR_EL1",
    "PAR_EL1",
    "TPIDR_EL0",
    "VBAR_EL3",
    "ACTLR_EL1",
    "S2POR_EL1",
    "SP_EL0",
  ])("is %s at any level", (name) => {
    for (const level of [1, 2, 3]) expect(written(name, level, true)).toBe(name);
  });

  it("of every control register and alias is a control register", () => {
    const encodings = Array.from({ length: 0x1_0000 }, (_, i) => i).filter(isControlRegister);
    expect(encodings.length).toBeGreaterThan(CONTROL_REGISTERS.length);
    for (const level of [1, 2, 3]) {
      for (const e2h of [false, true]) {
        const names = encodings.map((encoding) => writtenRegister(encoding, { level, e2h }));
        expect(names.filter((name) => !CONTROL_REGISTERS.includes(name))).toEqual([]);
      }
    }
  });
});
