import { describe, expect, it } from "vitest";
import {
  decodeFields,
  describeRegister,
  memoryType,
  REGISTER_DESCRIPTIONS,
  type RegisterDescription,
  type RegisterField,
  registerClass,
  systemRegisterName,
  unnamedBits,
} from "../../src/aarch64/registers/index.ts";
import { allSyndromeFields } from "../../src/aarch64/registers/syndrome-fields.ts";

const label = (description: RegisterDescription): string => `${description.name} (${description.title})`;

function checkField(field: RegisterField): void {
  const width = field.high - field.low + 1;
  expect(field.low).toBeGreaterThanOrEqual(0);
  expect(field.high).toBeLessThanOrEqual(63);
  expect(width).toBeGreaterThanOrEqual(1);
  expect(field.meaning.length, field.meaning).toBeLessThanOrEqual(60);
  for (const [key, words] of Object.entries(field.values ?? {})) {
    expect(key, field.name).toMatch(/^0b[01]+$/);
    expect(key.length - 2, `${field.name} ${key}`).toBe(width);
    expect(words).not.toBe("");
  }
}

function bitsOf(name: string, value: bigint, field: string, variant: { e2h?: boolean } = {}): bigint | undefined {
  return decodeFields(name, value, variant).find((decoded) => decoded.name === field)?.value;
}

function meaningOf(name: string, value: bigint, field: string, variant: { e2h?: boolean } = {}): string | undefined {
  return decodeFields(name, value, variant).find((decoded) => decoded.name === field)?.meaning;
}

describe("register tables", () => {
  it.each(REGISTER_DESCRIPTIONS.map((description) => [label(description), description] as const))(
    "%s has well-formed fields",
    (_label, description) => {
      expect(description.fields.length).toBeGreaterThan(0);
      for (const field of description.fields) checkField(field);
    },
  );

  it.each(REGISTER_DESCRIPTIONS.map((description) => [label(description), description] as const))(
    "%s runs from high to low without overlap, each name once",
    (_label, description) => {
      const { fields } = description;
      for (const [index, field] of fields.entries()) {
        const next = fields[index + 1];
        if (next !== undefined) expect(next.high, `${next.name} after ${field.name}`).toBeLessThan(field.low);
      }
      expect(new Set(fields.map((field) => field.name)).size).toBe(fields.length);
    },
  );

  it("cites the Arm ARM and its own name in every description", () => {
    for (const description of REGISTER_DESCRIPTIONS) {
      expect(description.source).toMatch(/^Arm ARM DDI 0487 M\.a, /);
      expect(description.source).toContain(description.name === "cpsr" ? "PSTATE" : description.name);
    }
  });

  it("describes a name once, or once for each side of one condition", () => {
    const names = new Set(REGISTER_DESCRIPTIONS.map((description) => description.name));
    for (const name of names) {
      const layouts = REGISTER_DESCRIPTIONS.filter((description) => description.name === name);
      if (layouts.length === 1) expect(layouts[0]?.when, name).toBeUndefined();
      else expect(new Set(layouts.map((layout) => JSON.stringify(layout.when))).size, name).toBe(2);
    }
  });

  it("has well-formed fields in every syndrome", () => {
    for (const [, fields] of allSyndromeFields()) for (const field of fields) checkField(field);
  });

  it("finds a layout for either side of every condition", () => {
    for (const description of REGISTER_DESCRIPTIONS) {
      for (const e2h of [false, true]) {
        for (const value of [0n, 0xffff_ffff_ffff_ffffn]) {
          expect(describeRegister(description.name, { e2h, value }), description.name).toBeDefined();
        }
      }
    }
  });
});

/** What has to have a table, as a user would list it; numbers are ends of ranges. */
const WANTED =
  "SCTLR_EL1 SCTLR_EL2 SCTLR_EL3 SCTLR2_EL1 SCTLR2_EL2 SCTLR2_EL3 TCR_EL1 TCR_EL2 TCR_EL3 TCR2_EL1 TCR2_EL2 TTBR0_EL1 " +
  "TTBR0_EL2 TTBR0_EL3 TTBR1_EL1 TTBR1_EL2 MAIR_EL1 MAIR_EL2 MAIR_EL3 MAIR2_EL1 MAIR2_EL2 MAIR2_EL3 AMAIR_EL1 AMAIR_EL2 " +
  "AMAIR_EL3 AMAIR2_EL1 AMAIR2_EL2 AMAIR2_EL3 VBAR_EL1 VBAR_EL2 VBAR_EL3 ESR_EL1 ESR_EL2 ESR_EL3 FAR_EL1 FAR_EL2 FAR_EL3 " +
  "ELR_EL1 ELR_EL2 ELR_EL3 SPSR_EL1 SPSR_EL2 SPSR_EL3 CPACR_EL1 CPTR_EL2 CPTR_EL3 CONTEXTIDR_EL1 CONTEXTIDR_EL2 PAR_EL1 " +
  "TPIDR_EL0 TPIDR_EL1 TPIDR_EL2 TPIDR_EL3 TPIDRRO_EL0 TPIDR2_EL0 HCR_EL2 HCRX_EL2 VTCR_EL2 VTTBR_EL2 VSTCR_EL2 VSTTBR_EL2 " +
  "VMPIDR_EL2 HPFAR_EL2 MDCR_EL2 MDCR_EL3 SCR_EL3 CNTHCTL_EL2 CNTKCTL_EL1 CNTFRQ_EL0 CNTVOFF_EL2 CNTPOFF_EL2 CNTP_CTL_EL0 " +
  "CNTV_CTL_EL0 CNTHP_CTL_EL2 CNTHV_CTL_EL2 CNTHPS_CTL_EL2 CNTHVS_CTL_EL2 CNTPS_CTL_EL1 PIR_EL1 PIR_EL2 PIR_EL3 PIRE0_EL1 " +
  "PIRE0_EL2 POR_EL0 POR_EL1 POR_EL2 POR_EL3 S2PIR_EL2 ID_AA64MMFR0_EL1 ID_AA64MMFR1_EL1 ID_AA64MMFR2_EL1 ID_AA64MMFR3_EL1 " +
  "ID_AA64MMFR4_EL1 ID_AA64ISAR0_EL1 ID_AA64ISAR1_EL1 ID_AA64ISAR2_EL1 ID_AA64ISAR3_EL1 ID_AA64PFR0_EL1 ID_AA64PFR1_EL1 " +
  "ID_AA64PFR2_EL1 ID_AA64DFR0_EL1 ID_AA64DFR1_EL1 MDSCR_EL1 DBGBCR0_EL1 DBGBCR15_EL1 DBGBVR0_EL1 DBGBVR15_EL1 " +
  "DBGWCR0_EL1 DBGWCR15_EL1 DBGWVR0_EL1 DBGWVR15_EL1 OSLSR_EL1 OSLAR_EL1 OSDLR_EL1 MDCCINT_EL1 DBGPRCR_EL1 DBGCLAIMSET_EL1 " +
  "DBGCLAIMCLR_EL1 cpsr SCTLR_EL12 TCR_EL12 TTBR0_EL12 ESR_EL12 SPSR_EL12 CNTP_CTL_EL02 CNTV_CVAL_EL02";

describe("which registers have a table", () => {
  it.each(WANTED.split(" "))("%s has one", (name) => {
    expect(describeRegister(name)?.fields.length).toBeGreaterThan(0);
  });

  it("describes SCTLR_EL12 as SCTLR_EL1 and CNTV_CTL_EL02 as CNTV_CTL_EL0", () => {
    expect(describeRegister("SCTLR_EL12")).toBe(describeRegister("SCTLR_EL1"));
    expect(describeRegister("CNTV_CTL_EL02")).toBe(describeRegister("CNTV_CTL_EL0"));
  });

  it("describes all breakpoints by one table, and none above 63", () => {
    expect(describeRegister("DBGBCR63_EL1")).toBe(describeRegister("DBGBCR0_EL1"));
    for (const name of ["DBGBCR64_EL1", "DBGBCR_EL1", "DBGBCR00_EL1", "DBGXCR0_EL1", "SCTLR_EL22", "XSCTLR_EL12"]) {
      expect(describeRegister(name), name).toBeUndefined();
    }
  });

  it("gives the same fields each time", () => {
    expect(describeRegister("HCR_EL2")?.fields).toBe(describeRegister("HCR_EL2")?.fields);
  });
});

describe("decodeFields", () => {
  it("gives nothing for a register without a table", () => {
    expect(decodeFields("ACTLR_EL1", 1n)).toEqual([]);
    expect(describeRegister("ACTLR_EL1")).toBeUndefined();
  });

  it("reads SCTLR_EL1=0x30d0198d of firmware as MMU, caches and SP checks on, WXN off", () => {
    const value = 0x30d0_198dn;
    expect(meaningOf("SCTLR_EL1", value, "M")).toBe("MMU on");
    expect(meaningOf("SCTLR_EL1", value, "C")).toBe("cacheable");
    expect(meaningOf("SCTLR_EL1", value, "I")).toBe("cacheable");
    expect(meaningOf("SCTLR_EL1", value, "A")).toBe("off");
    expect(meaningOf("SCTLR_EL1", value, "SA")).toBe("on");
    expect(meaningOf("SCTLR_EL1", value, "SA0")).toBe("off");
    expect(meaningOf("SCTLR_EL1", value, "WXN")).toBe("no effect");
    expect(meaningOf("SCTLR_EL1", value, "EE")).toBe("little-endian");
    expect(unnamedBits("SCTLR_EL1", value)).toBe(0n);
  });

  it("gives the set fields of SCTLR_EL1=0x30d0198d exactly", () => {
    const set = decodeFields("SCTLR_EL1", 0x30d0_198dn).filter((field) => field.value !== 0n);
    const names = "LSMAOE nTLSMD SPAN EIS TSCXT I EOS SED ITD SA C M";
    expect(set.map((field) => field.name).join(" ")).toBe(names);
  });

  it("reads the TCR_EL1 of Linux with 4 KiB pages and 48-bit addresses", () => {
    const value = 0x0000_0005_b510_3510n | (1n << 36n);
    expect(bitsOf("TCR_EL1", value, "T0SZ")).toBe(16n);
    expect(bitsOf("TCR_EL1", value, "T1SZ")).toBe(16n);
    expect(meaningOf("TCR_EL1", value, "TG0")).toBe("4 KiB granule");
    expect(meaningOf("TCR_EL1", value, "TG1")).toBe("4 KiB granule");
    expect(meaningOf("TCR_EL1", value, "SH0")).toBe("Inner Shareable");
    expect(meaningOf("TCR_EL1", value, "IPS")).toBe("48 bits, 256 TiB");
    expect(meaningOf("TCR_EL1", value, "AS")).toBe("16 bits");
  });

  it("reads TG0=0b01 as 64 KiB and TG1=0b01 as 16 KiB", () => {
    expect(meaningOf("TCR_EL1", 1n << 14n, "TG0")).toBe("64 KiB granule");
    expect(meaningOf("TCR_EL1", 1n << 30n, "TG1")).toBe("16 KiB granule");
  });

  it("reads TCR_EL2 in two layouts: PS with E2H=0, IPS with E2H=1", () => {
    const value = 0x8085_3510n;
    expect(meaningOf("TCR_EL2", value, "PS")).toBe("48 bits, 256 TiB");
    expect(bitsOf("TCR_EL2", value, "IPS")).toBeUndefined();
    expect(bitsOf("TCR_EL2", value, "PS", { e2h: true })).toBeUndefined();
    expect(meaningOf("TCR_EL2", 5n << 32n, "IPS", { e2h: true })).toBe("48 bits, 256 TiB");
    expect(unnamedBits("TCR_EL2", value)).toBe(0x8080_0000n); // RES1: bits 31 and 23
  });

  it("reads CPTR_EL2 in two layouts: TFP with E2H=0, FPEN with E2H=1", () => {
    expect(meaningOf("CPTR_EL2", 0x33ffn, "TFP")).toBe("not trapped to EL2");
    expect(meaningOf("CPTR_EL2", 0x30_0000n, "FPEN", { e2h: true })).toBe("not trapped");
    expect(meaningOf("CPTR_EL2", 0n, "FPEN", { e2h: true })).toBe("trapped at EL0, EL1 and EL2");
  });

  it("reads bit 1 of CNTHCTL_EL2 as EL1PCEN with E2H=0 and as EL0VCTEN with E2H=1", () => {
    expect(meaningOf("CNTHCTL_EL2", 3n, "EL1PCEN")).toBe("not trapped");
    expect(meaningOf("CNTHCTL_EL2", 3n, "EL0VCTEN", { e2h: true })).toBe("not trapped");
    expect(meaningOf("CNTHCTL_EL2", 3n, "EL1PCTEN", { e2h: true })).toBe("trapped to EL2");
  });

  it("has no EL0 controls in SCTLR_EL2 with E2H=0 nor in SCTLR_EL3", () => {
    for (const name of ["SCTLR_EL2", "SCTLR_EL3"]) {
      expect(bitsOf(name, 0x30c5_1835n, "nTWE")).toBeUndefined();
      expect(meaningOf(name, 0x30c5_1835n, "M")).toBe("MMU on");
    }
    expect(meaningOf("SCTLR_EL2", 1n << 18n, "nTWE", { e2h: true })).toBe("not trapped");
  });

  it("reads bit 12 of TCR2_EL2 as AMEC0 in both layouts, and E0POE with E2H=1 only", () => {
    for (const e2h of [false, true]) expect(bitsOf("TCR2_EL2", 1n << 12n, "AMEC0", { e2h })).toBe(1n);
    expect(meaningOf("TCR2_EL2", 1n << 2n, "E0POE", { e2h: true })).toBe("on");
    expect(bitsOf("TCR2_EL2", 1n << 2n, "E0POE")).toBeUndefined();
  });

  it("reads a field of PIR_EL1, PIRE0_EL1 and POR_EL0 as a permission", () => {
    expect(meaningOf("PIR_EL1", 0x5n << 4n, "Perm1")).toBe("read, write; overlay applies");
    expect(meaningOf("PIR_EL1", 0xcn << 60n, "Perm15")).toBe("read, write");
    expect(meaningOf("PIRE0_EL1", 0x9n, "Perm0")).toBe("read, GCS read and write");
    expect(meaningOf("POR_EL0", 0x7n, "Perm0")).toBe("read, write, execute");
  });

  it("reads MAIR2_EL1 as the memory types for AttrIndx 8 to 15", () => {
    expect(meaningOf("MAIR2_EL1", 0xffn << 56n, "Attr7")).toBe("Normal WB RAWA");
    expect(describeRegister("MAIR2_EL1")?.fields[0]?.meaning).toBe("Memory type for AttrIndx 15");
  });

  it("reads DBGBCR0_EL1=0x1e5 as a breakpoint on an address, enabled", () => {
    expect(meaningOf("DBGBCR0_EL1", 0x1e5n, "BT")).toBe("address match");
    expect(meaningOf("DBGBCR0_EL1", 0x1e5n, "BAS")).toBe("the word, A64 and A32");
    expect(meaningOf("DBGBCR0_EL1", 0x1e5n, "E")).toBe("enabled");
    expect(bitsOf("DBGBCR0_EL1", 0x1e5n, "PMC")).toBe(2n);
  });

  it("reads DBGWCR1_EL1=0x1ff5 as a watchpoint on eight bytes for stores", () => {
    expect(meaningOf("DBGWCR1_EL1", 0x1ff5n, "LSC")).toBe("stores");
    expect(bitsOf("DBGWCR1_EL1", 0x1ff5n, "BAS")).toBe(0xffn);
  });

  it("has no field of FEAT_TME, which Arm has withdrawn", () => {
    for (const [name, bit] of [
      ["SCTLR_EL1", 53n],
      ["HCR_EL2", 39n],
      ["SCR_EL3", 34n],
    ] as const) {
      expect(unnamedBits(name, 1n << bit), name).toBe(1n << bit);
    }
  });

  it("reads the debug features of a Cortex-A57, ID_AA64DFR0_EL1=0x10305106", () => {
    expect(meaningOf("ID_AA64DFR0_EL1", 0x1030_5106n, "DebugVer")).toBe("Armv8.0");
    expect(meaningOf("ID_AA64DFR0_EL1", 0x1030_5106n, "PMUVer")).toBe("FEAT_PMUv3");
    expect(bitsOf("ID_AA64DFR0_EL1", 0x1030_5106n, "BRPs")).toBe(5n);
    expect(bitsOf("ID_AA64DFR0_EL1", 0x1030_5106n, "WRPs")).toBe(3n);
    expect(unnamedBits("ID_AA64DFR0_EL1", 0x1030_5106n)).toBe(0n);
  });

  it("has an ASID in TTBR0_EL2 only with E2H=1", () => {
    expect(bitsOf("TTBR0_EL2", 1n << 48n, "ASID")).toBeUndefined();
    expect(bitsOf("TTBR0_EL2", 1n << 48n, "ASID", { e2h: true })).toBe(1n);
  });

  it("reads the MAIR_EL1 of EDK2 as Device, Non-cacheable, Write-Through, Write-Back", () => {
    const value = 0xff_bb_44_00n;
    expect(["Attr0", "Attr1", "Attr2", "Attr3"].map((name) => meaningOf("MAIR_EL1", value, name))).toEqual([
      "Device-nGnRnE",
      "Normal NC",
      "Normal WT RAWA",
      "Normal WB RAWA",
    ]);
  });

  it("reads PAR_EL1 by its bit F", () => {
    expect(meaningOf("PAR_EL1", 0xff00_0000_4000_0b80n, "ATTR")).toBe("Normal WB RAWA");
    expect(bitsOf("PAR_EL1", 0xff00_0000_4000_0b80n, "PA[47:12]")).toBe(0x4_0000n);
    expect(meaningOf("PAR_EL1", 0x80fn, "FST")).toBe("translation fault, level 3");
    expect(bitsOf("PAR_EL1", 0x80fn, "ATTR")).toBeUndefined();
  });

  it("reads SPSR_EL1=0x600003c5 as EL1h with DAIF masked", () => {
    expect(meaningOf("SPSR_EL1", 0x6000_03c5n, "M[3:0]")).toBe("EL1h: EL1 with SP_EL1");
    for (const mask of ["D", "A", "I", "F"]) expect(meaningOf("SPSR_EL1", 0x6000_03c5n, mask)).toBe("masked");
    expect(bitsOf("SPSR_EL1", 0x6000_03c5n, "Z")).toBe(1n);
  });

  it("reads SPSR_EL1=0x1d3 as AArch32 Supervisor", () => {
    expect(meaningOf("SPSR_EL1", 0x1d3n, "M[3:0]")).toBe("Supervisor");
    expect(meaningOf("SPSR_EL1", 0x1d3n, "T")).toBe("A32");
  });

  it("reads cpsr=0x600003c9 as EL2 with SP_EL2", () => {
    expect(meaningOf("cpsr", 0x6000_03c9n, "EL")).toBe("EL2");
    expect(meaningOf("cpsr", 0x6000_03c9n, "SP")).toBe("SP_ELx of the current level");
    expect(meaningOf("cpsr", 0x6000_03c9n, "nRW")).toBe("AArch64");
  });

  it("reads HCR_EL2=0x80000002 as AArch64 at EL1, stage 2 off", () => {
    expect(meaningOf("HCR_EL2", 0x8000_0002n, "RW")).toBe("AArch64");
    expect(meaningOf("HCR_EL2", 0x8000_0002n, "VM")).toBe("off");
    expect(meaningOf("HCR_EL2", 0x4_0000_0000n, "E2H")).toBe("on");
  });

  it("names the exception class in ESR_EL1", () => {
    expect(meaningOf("ESR_EL1", 0x8600_0007n, "EC")).toBe(
      "Instruction abort taken without a change in Exception level",
    );
    expect(bitsOf("ESR_EL1", 0x8600_0007n, "ISS")).toBe(7n);
  });

  it("reads the FIPA of HPFAR_EL2 as the page of the IPA", () => {
    expect(bitsOf("HPFAR_EL2", 0x9_0000n << 4n, "FIPA")).toBe(0x9_0000n);
  });

  it("reads TGran16=0b0000 as not implemented and TGran4=0b1111 likewise", () => {
    expect(meaningOf("ID_AA64MMFR0_EL1", 0xf000_0000n, "TGran16")).toBe("not implemented");
    expect(meaningOf("ID_AA64MMFR0_EL1", 0xf000_0000n, "TGran4")).toBe("not implemented");
    expect(meaningOf("ID_AA64MMFR0_EL1", 5n, "PARange")).toBe("48 bits, 256 TiB");
  });

  it("falls back to the meaning of the field for a value without words", () => {
    expect(meaningOf("TCR_EL1", 25n, "T0SZ")).toBe("Size of the lower range: 2^(64 - T0SZ) bytes");
  });
});

describe("memoryType", () => {
  it.each([
    [0x00, "Device-nGnRnE"],
    [0x04, "Device-nGnRE"],
    [0x08, "Device-nGRE"],
    [0x0c, "Device-GRE"],
    [0x01, "Device-nGnRnE XS=0"],
    [0x0d, "Device-GRE XS=0"],
    [0x40, "Normal NC XS=0"],
    [0xa0, "Normal WT RA XS=0"],
    [0xf0, "Normal WB RAWA Tagged"],
    [0x44, "Normal NC"],
    [0xff, "Normal WB RAWA"],
    [0xaa, "Normal WT RA"],
    [0xee, "Normal WB RA"],
    [0x77, "Normal WB RAWA transient"],
    [0xf4, "Normal outer WB RAWA inner NC"],
    [0x4f, "Normal outer NC inner WB RAWA"],
    [0x02, "reserved 0x02"],
    [0x0f, "reserved 0x0F"],
    [0x10, "reserved 0x10"],
    [0xe0, "reserved 0xE0"],
  ])("names the attribute byte %i %s", (attr, words) => {
    expect(memoryType(attr)).toBe(words);
  });
});

describe("registerClass", () => {
  it.each([
    [
      "control",
      "SCTLR_EL1 SCTLR_EL2 TCR_EL1 TTBR0_EL1 TTBR1_EL2 MAIR_EL1 AMAIR_EL1 VBAR_EL1 HCR_EL2 HCRX_EL2 CPACR_EL1",
    ],
    ["control", "CPTR_EL2 VTCR_EL2 VTTBR_EL2 SCR_EL3 ACTLR_EL1 CONTEXTIDR_EL1 SCTLR VBAR CPACR HFGRTR_EL2 HDFGWTR_EL2"],
    ["exception", "ESR_EL1 FAR_EL1 ELR_EL2 SPSR_EL1 AFSR0_EL1 AFSR1_EL2 HPFAR_EL2 PAR_EL1 DISR_EL1 VDISR_EL2 ISR_EL1"],
    ["general", "x0 x30 sp pc cpsr v0 v31 fpsr fpcr SP_EL0 SP_EL1 TPIDR_EL1 TPIDRRO_EL0"],
    [
      "control",
      "SCTLR2_EL1 TCR2_EL2 PIR_EL1 PIRE0_EL2 POR_EL0 S2PIR_EL2 MAIR2_EL3 AMAIR2_EL1 VSTCR_EL2 VMPIDR_EL2 SMCR_EL1",
    ],
    ["control", "SCTLRMASK_EL1 TCR2ALIAS_EL1 HAFGRTR_EL2 HFGITR2_EL2 ZCR_EL12 RCWSMASK_EL1 SCTLR_EL12"],
    ["exception", "MFAR_EL3 PFAR_EL1 VSESR_EL2 ESR_EL12"],
    ["timer", "CNTFRQ_EL0 CNTV_CTL_EL0 CNTHCTL_EL2 CNTKCTL_EL1"],
    ["debug", "DBGBVR0_EL1 DBGWCR1 MDSCR_EL1 MDCR_EL2 OSLAR_EL1 OSLSR_EL1 PMCR_EL0 PMCCNTR_EL0"],
    ["debug", "MDSELR_EL1 MDSTEPOP_EL1 MDCCINT_EL1 DBGAUTHSTATUS_EL1 MDCR_EL3"],
    ["other", "MIDR_EL1 ID_AA64PFR0_EL1 CTR_EL0 x31 ICC_PMR_EL1 RNDR"],
  ])("puts into %s: %s", (expected, names) => {
    for (const name of names.split(" ")) expect(registerClass(name), name).toBe(expected);
  });
});

describe("systemRegisterName", () => {
  it("names a numbered debug register from CRm", () => {
    expect(systemRegisterName({ op0: 2, op1: 0, crn: 0, crm: 3, op2: 4 })).toBe("DBGBVR3_EL1");
  });

  it("names numbered registers of other groups", () => {
    expect(systemRegisterName({ op0: 3, op1: 3, crn: 14, crm: 11, op2: 6 })).toBe("PMEVCNTR30_EL0");
    expect(systemRegisterName({ op0: 3, op1: 4, crn: 12, crm: 13, op2: 7 })).toBe("ICH_LR15_EL2");
    expect(systemRegisterName({ op0: 3, op1: 3, crn: 13, crm: 12, op2: 3 })).toBe("AMEVCNTR13_EL0");
  });

  it("names an unknown encoding as an assembler would", () => {
    expect(systemRegisterName({ op0: 3, op1: 0, crn: 15, crm: 2, op2: 0 })).toBe("S3_0_C15_C2_0");
  });
});
