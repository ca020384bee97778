import { describe, expect, it } from "vitest";
import { faultStatus } from "../../src/aarch64/registers/index.ts";
import { decodeSyndrome } from "../../src/aarch64/syndrome.ts";

function field(esr: bigint, name: string): { value: bigint; meaning: string } | undefined {
  return decodeSyndrome(esr).fields.find((decoded) => decoded.name === name);
}

/** Rows for a test: the value in hexadecimal for the title, the words, the value. */
function hexed(
  rows: readonly (readonly [esr: bigint, words: string])[],
): readonly (readonly [string, string, bigint])[] {
  return rows.map(([esr, words]) => [`0x${esr.toString(16)}`, words, esr]);
}

/** ESR_ELx of a class, with IL=1. */
function esrOf(ec: number, iss: bigint): bigint {
  return (BigInt(ec) << 26n) | (1n << 25n) | iss;
}

describe("decodeSyndrome: parts", () => {
  it("takes EC, IL and ISS apart", () => {
    const syndrome = decodeSyndrome(0x8600_0007n);
    expect(syndrome).toMatchObject({ ec: 0x21, il: true, iss: 7 });
    expect(decodeSyndrome(0x8400_0007n).il).toBe(false);
  });

  it("calls a reserved class reserved", () => {
    expect(decodeSyndrome(esrOf(0x3e, 0n))).toMatchObject({ ecName: "Reserved exception class 0x3e", fields: [] });
  });
});

describe("decodeSyndrome: summary", () => {
  it.each(
    hexed([
      [0x8600_0007n, "Instruction abort taken without a change in Exception level: translation fault, level 3"],
      [0x8200_0007n, "Instruction abort from a lower Exception level: translation fault, level 3"],
      [0x0200_0000n, "Unknown reason (for example an UNDEFINED instruction)"],
      [0x9600_0004n, "Data abort taken without a change in Exception level: translation fault, level 0, on a read"],
      [0x9600_0044n, "Data abort taken without a change in Exception level: translation fault, level 0, on a write"],
      [0x9200_004fn, "Data abort from a lower Exception level: permission fault, level 3, on a write"],
      [0x9600_0021n, "Data abort taken without a change in Exception level: alignment fault, on a read"],
      [0x9600_0010n, "Data abort taken without a change in Exception level: synchronous External abort, on a read"],
      [0x8a00_0000n, "PC alignment fault"],
      [0x9a00_0000n, "SP alignment fault"],
      [0x3a00_0000n, "Illegal Execution state"],
      [0x5600_0005n, "SVC instruction execution in AArch64 state: immediate 0x5"],
      [0x5a00_0000n, "HVC instruction execution in AArch64 state: immediate 0x0"],
      [0x5e00_0000n, "SMC instruction execution in AArch64 state: immediate 0x0"],
      [0xf200_0800n, "BRK instruction execution in AArch64 state: immediate 0x800"],
      [0x1fe0_0000n, "Access to SME, SVE, Advanced SIMD or floating-point functionality trapped"],
      [0xbe00_0000n, "SError exception: uncategorized error"],
      [0xbe00_0011n, "SError exception: uncontainable (UC)"],
      [0xbf00_0002n, "SError exception: IMPLEMENTATION DEFINED syndrome"],
      [0x07e0_0001n, "Trapped WFI, WFE, WFIT or WFET instruction: WFE"],
      [0x3600_0002n, "Branch Target Exception: BTYPE 2"],
      [0x7200_0003n, "Pointer Authentication instruction authentication failure: Data key, B key"],
      [0x6a00_0003n, "Trapped ERET, ERETAA or ERETAB instruction: ERETAB"],
      [0x6a00_0000n, "Trapped ERET, ERETAA or ERETAB instruction: ERET"],
      [0x7600_0003n, "Access to SME functionality trapped: illegal while PSTATE.ZA is 0"],
      [0xb600_0000n, "Guarded Control Stack exception: data check"],
      [0x9e00_0000n, "Memory Operation Exception: CPY* instruction"],
      [0x9f00_0000n, "Memory Operation Exception: SET* instruction"],
      [0xce00_0022n, "Software Step exception taken without a change in Exception level"],
      [0xd600_0062n, "Watchpoint exception taken without a change in Exception level: on a write"],
    ]),
  )("%s says: %s", (_hex, summary, esr) => {
    expect(decodeSyndrome(esr).summary).toBe(summary);
  });

  it("calls a reserved fault status code reserved", () => {
    expect(decodeSyndrome(0x8600_003fn).summary).toBe(
      "Instruction abort taken without a change in Exception level: reserved fault status 0x3f",
    );
  });

  it("says that a fault was on a stage 2 walk for stage 1", () => {
    expect(decodeSyndrome(esrOf(0x20, 0x87n)).summary).toContain("in stage 2 during a stage 1 table walk");
  });

  it("names the instruction where CM is set", () => {
    expect(decodeSyndrome(esrOf(0x25, 0x144n)).summary).toContain("on a cache maintenance or address translation");
  });
});

describe("decodeSyndrome: data aborts", () => {
  it("gives SAS, SSE, SRT, SF and AR only while ISV is 1", () => {
    const valid = esrOf(0x24, (1n << 24n) | (2n << 22n) | (5n << 16n) | (1n << 15n) | 0x47n);
    expect(field(valid, "SAS")).toMatchObject({ meaning: "word" });
    expect(field(valid, "SRT")).toMatchObject({ value: 5n });
    expect(field(valid, "SF")).toMatchObject({ meaning: "64 bits" });
    expect(field(esrOf(0x24, 0x47n), "SAS")).toBeUndefined();
    expect(field(esrOf(0x24, 0x47n), "ISV")).toMatchObject({ meaning: "no" });
  });

  it("gives SET and FnV only for a synchronous External abort", () => {
    expect(field(esrOf(0x25, 0x1010n), "SET")).toMatchObject({ meaning: "uncontainable (UC)" });
    expect(field(esrOf(0x25, 0x410n), "FnV")).toMatchObject({ meaning: "FAR not valid" });
    expect(field(esrOf(0x25, 0x7n), "SET")).toBeUndefined();
    expect(field(esrOf(0x25, 0x7n), "FnV")).toBeUndefined();
  });

  it("marks a fault through VNCR_EL2", () => {
    expect(field(esrOf(0x25, 0x2007n), "VNCR")).toMatchObject({ value: 1n, meaning: "yes" });
  });

  it("gives the fields of ISS2 only if ISS2 is not zero", () => {
    expect(field(esrOf(0x25, 0x4fn), "Overlay")).toBeUndefined();
    expect(field((1n << 38n) | esrOf(0x25, 0x4fn), "Overlay")).toMatchObject({ meaning: "yes" });
  });
});

describe("decodeSyndrome: trapped System registers", () => {
  /** As QEMU's syn_aa64_sysregtrap builds it. */
  function trap(op0: number, op1: number, crn: number, crm: number, op2: number, rt: number, read: boolean): bigint {
    const iss = (op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (rt << 5) | (crm << 1) | (read ? 1 : 0);
    return esrOf(0x18, BigInt(iss));
  }
  const TRAP = "Trapped MSR, MRS or System instruction execution in AArch64 state";

  it.each(
    hexed([
      [trap(3, 0, 1, 0, 0, 3, true), "MRS X3, SCTLR_EL1"],
      [trap(3, 4, 1, 1, 0, 0, false), "MSR HCR_EL2, X0"],
      [trap(3, 0, 12, 12, 5, 31, false), "MSR ICC_SRE_EL1, XZR"],
      [trap(1, 0, 8, 7, 1, 2, false), "TLBI VAE1, X2"],
      [trap(3, 3, 15, 2, 7, 1, true), "MRS X1, S3_3_C15_C2_7"],
    ]),
  )("writes %s as %s", (_hex, instruction, esr) => {
    expect(decodeSyndrome(esr).summary).toBe(`${TRAP}: ${instruction}`);
  });

  it("gives the register as a field, and the parts of its encoding", () => {
    const esr = trap(3, 0, 10, 2, 0, 7, true);
    expect(field(esr, "Register")).toMatchObject({ meaning: "MAIR_EL1" });
    expect(field(esr, "CRn")).toMatchObject({ value: 10n });
    expect(field(esr, "Rt")).toMatchObject({ value: 7n });
    expect(field(esr, "Direction")).toMatchObject({ meaning: "read" });
  });
});

describe("decodeSyndrome: trapped 128-bit instructions", () => {
  const TRAP = "Trapped MSRR, MRRS or 128-bit System instruction execution in AArch64 state";
  const trap = (rt: number, read: boolean): bigint =>
    esrOf(0x14, BigInt((3 << 20) | (2 << 10) | (rt << 6) | (read ? 1 : 0)));

  it.each(
    hexed([
      [trap(1, true), "MRRS X2, X3, TTBR0_EL1"],
      [trap(15, false), "MSRR TTBR0_EL1, X30, XZR"],
    ]),
  )("writes %s as %s", (_hex, instruction, esr) => {
    expect(decodeSyndrome(esr).summary).toBe(`${TRAP}: ${instruction}`);
  });

  it("gives the register as a field, and its pair in [9:6]", () => {
    expect(field(trap(1, true), "Register")).toMatchObject({ meaning: "TTBR0_EL1" });
    expect(field(trap(15, true), "Rt")).toMatchObject({ value: 15n });
  });
});

describe("decodeSyndrome: late extensions", () => {
  it("gives FnP, PFV and WU of a data abort without ISV, where they are set", () => {
    const esr = esrOf(0x25, (3n << 16n) | (1n << 15n) | (1n << 14n) | 0x10n);
    expect(field(esr, "WU")).toMatchObject({ meaning: "updated" });
    expect(field(esr, "FnP")).toMatchObject({ meaning: "yes" });
    expect(field(esr, "PFV")).toMatchObject({ meaning: "yes" });
    for (const name of ["WU", "FnP", "PFV"]) expect(field(esrOf(0x25, 0x10n), name)).toBeUndefined();
    expect(field(esr | (1n << 24n), "FnP")).toBeUndefined();
  });

  it("gives HDBSSF and TnD out of ISS2", () => {
    expect(field((1n << 43n) | esrOf(0x24, 0xfn), "HDBSSF")).toMatchObject({ meaning: "yes" });
    expect(field((1n << 42n) | esrOf(0x24, 0xfn), "TnD")).toMatchObject({ meaning: "yes" });
  });

  it("gives ELS, VFV, WnRV and WnR of an SError, where they are set", () => {
    const esr = esrOf(0x2f, (1n << 18n) | (1n << 15n) | 0xd1n);
    expect(field(esr, "ELS")).toMatchObject({ meaning: "yes" });
    expect(field(esr, "VFV")).toMatchObject({ meaning: "yes" });
    expect(field(esr, "WnR")).toMatchObject({ meaning: "write" });
    for (const name of ["ELS", "VFV", "WnRV", "WnR"]) expect(field(esrOf(0x2f, 0x11n), name)).toBeUndefined();
    expect(field(esrOf(0x2f, 0x2011n), "IESB")).toMatchObject({ meaning: "yes" });
  });
});

describe("decodeSyndrome: other classes", () => {
  it("names what a Granule Protection Check found", () => {
    const esr = esrOf(0x1e, (0b000101n << 14n) | 0x28n);
    expect(field(esr, "GPCSC")).toMatchObject({ meaning: "GPT walk fault, level 1" });
  });

  it("says whether a profiling exception was synchronous", () => {
    expect(decodeSyndrome(esrOf(0x3d, 1n)).summary).toBe("Profiling exception: taken synchronously");
    expect(field(esrOf(0x3d, 0x3en), "FSC")).toMatchObject({ value: 0x1fn });
  });

  it("writes one encoding as DBGDTRRX_EL0 when it is read and DBGDTRTX_EL0 when it is written", () => {
    const iss = (2n << 20n) | (3n << 14n) | (5n << 1n);
    expect(decodeSyndrome(esrOf(0x18, iss | 1n)).summary).toContain("MRS X0, DBGDTRRX_EL0");
    expect(decodeSyndrome(esrOf(0x18, iss)).summary).toContain("MSR DBGDTRTX_EL0, X0");
  });

  it("takes the registers of a memory copy apart", () => {
    const esr = esrOf(0x27, (1n << 16n) | (1n << 10n) | (2n << 5n) | 3n);
    expect(field(esr, "destreg")).toMatchObject({ value: 1n });
    expect(field(esr, "srcreg")).toMatchObject({ value: 2n });
    expect(field(esr, "sizereg")).toMatchObject({ value: 3n });
    expect(field(esr, "OptionA")).toMatchObject({ meaning: "Option A" });
  });

  it("names the instruction of a Guarded Control Stack data check", () => {
    expect(field(esrOf(0x2d, 1n), "IT")).toMatchObject({ meaning: "GCSPOPM" });
    expect(field(esrOf(0x2d, 2n << 20n), "IT")).toBeUndefined();
  });

  it("gives no architected fields for an IMPLEMENTATION DEFINED SError", () => {
    expect(field(0xbf00_0011n, "AET")).toBeUndefined();
    expect(field(0xbf00_0011n, "IMPDEF")).toMatchObject({ value: 0x11n });
  });

  it("decodes any value without throwing", () => {
    for (let ec = 0; ec < 64; ec += 1) {
      for (const iss of [0n, 0x155_5555n, 0x1ff_ffffn]) expect(decodeSyndrome(esrOf(ec, iss)).summary).not.toBe("");
    }
  });
});

describe("faultStatus", () => {
  it.each([
    ["000000", "address size fault, level 0"],
    ["000111", "translation fault, level 3"],
    ["001001", "access flag fault, level 1"],
    ["001111", "permission fault, level 3"],
    ["010000", "synchronous External abort"],
    ["010111", "synchronous External abort on translation table walk, level 3"],
    ["011000", "synchronous parity or ECC error on memory access"],
    ["100001", "alignment fault"],
    ["100011", "Granule Protection Fault on translation table walk, level -1"],
    ["100100", "Granule Protection Fault on translation table walk, level 0"],
    ["101001", "address size fault, level -1"],
    ["101010", "translation fault, level -2"],
    ["101011", "translation fault, level -1"],
    ["101100", "address size fault, level -2"],
    ["110000", "TLB conflict abort"],
    ["110001", "unsupported atomic hardware update fault"],
  ])("0b%s is %s", (code, words) => {
    expect(faultStatus(Number.parseInt(code, 2))).toBe(words);
  });

  /** All codes that ESR_ELx.DFSC has, in hexadecimal: Arm ARM DDI 0487, D24.2 ESR_EL1. */
  const DEFINED =
    "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 1b 1c 1d 1e 1f " +
    "21 22 23 24 25 26 27 28 29 2a 2b 2c 30 31 34 35";

  it("names the codes that are defined, and no others", () => {
    const named = Array.from({ length: 64 }, (_, code) => code).filter((code) => faultStatus(code) !== undefined);
    expect(named.map((code) => code.toString(16).padStart(2, "0")).join(" ")).toBe(DEFINED);
  });
});
