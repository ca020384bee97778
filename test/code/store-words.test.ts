import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { mayStore, storedSpans } from "../../src/code/store-words.ts";
import { Random } from "../support/random.ts";
import { storeOfText } from "./capstone-stores.ts";
import { registersWith } from "./code-memory.ts";

const BASE = 0x1_0000n;
const REGISTERS = registersWith({ x1: BASE, sp: BASE, x2: 24n, x15: BASE, x16: BASE, x11: BASE });

/**
 * Assembled with llvm-mc 14 and executed by qemu-aarch64 7.2 (-cpu max) with x1 and sp at `BASE` and x2 = 24: the bytes that differed
 * afterwards, from BASE. Exclusive stores had their load before them; compare-and-swap found what it compared with.
 */
const SEEN: readonly (readonly [assembly: string, word: number, offset: number, size: number])[] = [
  ["str x3, [x1]", 0xf900_0023, 0, 8],
  ["str x3, [x1, #0x7ff8]", 0xf93f_fc23, 32760, 8],
  ["str w3, [sp, #16]", 0xb900_13e3, 16, 4],
  ["strh w3, [x1, #0x10]", 0x7900_2023, 16, 2],
  ["strb w3, [x1, #0xfff]", 0x393f_fc23, 4095, 1],
  ["str wzr, [x1, #4]", 0xb900_043f, 4, 4],
  ["stur x3, [x1, #-256]", 0xf810_0023, -256, 8],
  ["sturb w3, [x1, #-1]", 0x381f_f023, -1, 1],
  ["sttr x3, [x1, #8]", 0xf800_8823, 8, 8],
  ["sttrh w3, [x1, #-2]", 0x781f_e823, -2, 2],
  ["str x3, [x1, #-16]!", 0xf81f_0c23, -16, 8],
  ["str x3, [x1], #-16", 0xf81f_0423, 0, 8],
  ["strb w3, [x1], #1", 0x3800_1423, 0, 1],
  ["str x3, [x1, x2]", 0xf822_6823, 24, 8],
  ["str x3, [x1, x2, lsl #3]", 0xf822_7823, 192, 8],
  ["str w3, [x1, w2, sxtw #2]", 0xb822_d823, 96, 4],
  ["str w3, [x1, w2, uxtw]", 0xb822_4823, 24, 4],
  ["strh w3, [x1, x2, sxtx #1]", 0x7822_f823, 48, 2],
  ["strb w3, [x1, w2, sxtw #0]", 0x3822_d823, 24, 1],
  ["str x3, [x1, xzr, lsl #3]", 0xf83f_7823, 0, 8],
  ["str q0, [x1, #0x20]", 0x3d80_0820, 32, 16],
  ["str q0, [x1, x2, lsl #4]", 0x3ca2_7820, 384, 16],
  ["str q0, [x1], #16", 0x3c81_0420, 0, 16],
  ["stur q0, [x1, #-3]", 0x3c9f_d020, -3, 16],
  ["str d0, [x1, #8]", 0xfd00_0420, 8, 8],
  ["str s0, [x1, #-4]!", 0xbc1f_cc20, -4, 4],
  ["str h0, [x1, #2]", 0x7d00_0420, 2, 2],
  ["str b0, [x1, x2]", 0x3c22_6820, 24, 1],
  ["stp x3, x4, [x1, #-16]!", 0xa9bf_1023, -16, 16],
  ["stp x3, x4, [x1], #16", 0xa881_1023, 0, 16],
  ["stp w3, w4, [x1, #8]", 0x2901_1023, 8, 8],
  ["stp q0, q1, [x1, #-32]", 0xad3f_0420, -32, 32],
  ["stp d0, d1, [x1, #504]", 0x6d1f_8420, 504, 16],
  ["stp s0, s1, [x1]", 0x2d00_0420, 0, 8],
  ["stnp x3, x4, [x1, #16]", 0xa801_1023, 16, 16],
  ["stnp q0, q1, [x1, #16]", 0xac00_8420, 16, 32],
  ["stgp x3, x4, [x1, #16]", 0x6900_9023, 16, 16],
  ["stgp x3, x4, [x1], #16", 0x6880_9023, 0, 16],
  ["stlr x3, [x1]", 0xc89f_fc23, 0, 8],
  ["stlrb w3, [sp]", 0x089f_ffe3, 0, 1],
  ["stllr w3, [x1]", 0x889f_7c23, 0, 4],
  ["stlur x3, [x1, #-8]", 0xd91f_8023, -8, 8],
  ["stlurh w3, [x1, #6]", 0x5900_6023, 6, 2],
  ["stxr w5, x3, [x1]", 0xc805_7c23, 0, 8],
  ["stlxrb w5, w3, [x1]", 0x0805_fc23, 0, 1],
  ["stxp w5, x3, x4, [x1]", 0xc825_1023, 0, 16],
  ["stlxp w5, w3, w4, [x1]", 0x8825_9023, 0, 8],
  ["cas x3, x4, [x1]", 0xc8a3_7c24, 0, 8],
  ["casalb w3, w4, [x1]", 0x08e3_fc24, 0, 1],
  ["casp x2, x3, x4, x5, [x1]", 0x4822_7c24, 0, 16],
  ["caspa w2, w3, w4, w5, [x1]", 0x0862_7c24, 0, 8],
  ["ldadd x3, x4, [x1]", 0xf823_0024, 0, 8],
  ["stadd w3, [x1]", 0xb823_003f, 0, 4],
  ["ldclrah w3, w4, [x1]", 0x78a3_1024, 0, 2],
  ["ldeorb w3, w4, [x1]", 0x3823_2024, 0, 1],
  ["stsmax x3, [sp]", 0xf823_43ff, 0, 8],
  ["ldumin w3, w4, [x1]", 0xb823_7024, 0, 4],
  ["swp x3, x4, [x1]", 0xf823_8024, 0, 8],
  ["swpalh w3, w4, [x1]", 0x78e3_8024, 0, 2],
  ["st1 {v0.16b}, [x1]", 0x4c00_7020, 0, 16],
  ["st1 {v0.8b, v1.8b}, [x1]", 0x0c00_a020, 0, 16],
  ["st1 {v0.2d, v1.2d, v2.2d}, [x1], #48", 0x4c9f_6c20, 0, 48],
  ["st1 {v0.4s, v1.4s, v2.4s, v3.4s}, [x1], x2", 0x4c82_2820, 0, 64],
  ["st2 {v0.4h, v1.4h}, [x1]", 0x0c00_8420, 0, 16],
  ["st3 {v0.16b, v1.16b, v2.16b}, [x1]", 0x4c00_4020, 0, 48],
  ["st4 {v0.2s, v1.2s, v2.2s, v3.2s}, [x1]", 0x0c00_0820, 0, 32],
  ["st1 {v0.b}[15], [x1]", 0x4d00_1c20, 0, 1],
  ["st1 {v0.h}[7], [x1]", 0x4d00_5820, 0, 2],
  ["st1 {v0.s}[3], [x1]", 0x4d00_9020, 0, 4],
  ["st1 {v0.d}[1], [x1]", 0x4d00_8420, 0, 8],
  ["st2 {v0.b, v1.b}[1], [x1]", 0x0d20_0420, 0, 2],
  ["st2 {v0.d, v1.d}[1], [x1], #16", 0x4dbf_8420, 0, 16],
  ["st3 {v0.s, v1.s, v2.s}[3], [x1], x2", 0x4d82_b020, 0, 12],
  ["st4 {v0.h, v1.h, v2.h, v3.h}[5], [x1]", 0x4d20_6820, 0, 8],
  ["st4 {v0.d, v1.d, v2.d, v3.d}[0], [x1]", 0x0d20_a420, 0, 32],
  ["stzg x3, [x1, #32]", 0xd960_2823, 32, 16],
  ["stzg sp, [x1], #-16", 0xd97f_f43f, 0, 16],
  ["stz2g x3, [x1, #-16]!", 0xd9ff_fc23, -16, 32],
];

/** The Arm ARM's word for what that QEMU does not have; those of FEAT_LRCPC3 and FEAT_LSE128 as LLVM's tests of its assembler have them. */
const READ: readonly (readonly [assembly: string, word: number, offset: number, size: number])[] = [
  ["st64b x0, [x1]", 0xf83f_9020, 0, 64],
  ["st64bv x5, x0, [x1]", 0xf825_b020, 0, 64],
  ["st64bv0 x5, x0, [x1]", 0xf825_a020, 0, 64],
  ["stilp w24, w0, [x16, #-8]!", 0x9900_0a18, -8, 8],
  ["stilp x24, x0, [x16, #-16]!", 0xd900_0a18, -16, 16],
  ["stilp w26, w2, [x16]", 0x9902_1a1a, 0, 8],
  ["stlr w3, [x15, #-4]!", 0x9980_09e3, -4, 4],
  ["stlr x3, [sp, #-8]!", 0xd980_0be3, -8, 8],
  ["stlur b3, [x15, #-1]", 0x1d1f_f9e3, -1, 1],
  ["stlur d3, [sp, #4]", 0xdd00_4be3, 4, 8],
  ["stlur q3, [x15, #-5]", 0x1d9f_b9e3, -5, 16],
  ["stl1 {v3.d}[1], [sp]", 0x4d01_87e3, 0, 8],
  ["swpp x1, x2, [x11]", 0x1922_8161, 0, 16],
  ["ldsetpl x1, x2, [x11]", 0x1962_3161, 0, 16],
];

/** What differed nowhere; from LDRAA on it was not executed. */
const NONE: readonly (readonly [assembly: string, word: number])[] = [
  ["stg x3, [x1, #16]", 0xd920_1823],
  ["st2g x3, [x1]", 0xd9a0_0823],
  ["dc gva, x1", 0xd50b_7461],
  ["ldr x3, [x1]", 0xf940_0023],
  ["ldr x3, [x1, x2]", 0xf862_6823],
  ["ldp x3, x4, [x1]", 0xa940_1023],
  ["ldpsw x3, x4, [x1]", 0x6940_1023],
  ["ldnp q0, q1, [x1]", 0xac40_0420],
  ["ldxr x3, [x1]", 0xc85f_7c23],
  ["ldaxp x3, x4, [x1]", 0xc87f_9023],
  ["ldar w3, [x1]", 0x88df_fc23],
  ["ldlar w3, [x1]", 0x88df_7c23],
  ["ldapr x3, [x1]", 0xf8bf_c023],
  ["ldapur x3, [x1, #8]", 0xd940_8023],
  ["ldg x3, [x1]", 0xd960_0023],
  ["ld1 {v0.16b}, [x1]", 0x4c40_7020],
  ["ld1r {v0.16b}, [x1]", 0x4d40_c020],
  ["ld4 {v0.h, v1.h, v2.h, v3.h}[5], [x1]", 0x4d60_6820],
  ["ldursw x3, [x1, #4]", 0xb880_4023],
  ["prfm pldl1keep, [x1]", 0xf980_0020],
  ["prfum pstl1strm, [x1, #-1]", 0xf89f_f031],
  ["dc cvac, x1", 0xd50b_7a21],
  ["add x0, x1, x2", 0x8b02_0020],
  ["fadd d0, d1, d2", 0x1e62_2820],
  ["nop", 0xd503_201f],
  ["ld1w {z0.s}, p0/z, [x1]", 0xa540_a020],
  ["whilelo p0.s, x0, x1", 0x25a1_1c00],
  ["ldraa x3, [x1, #8]!", 0xf820_1c23],
  ["stgm x3, [x1]", 0xd9a0_0023],
  ["ldr x3, 8", 0x5800_0043],
  ["ldgm x3, [x1]", 0xd9e0_0023],
  ["ld64b x0, [x1]", 0xf83f_d020],
  ["dc ivac, x1", 0xd508_7621],
  ["tlbi vmalle1", 0xd508_871f],
  ["msr sctlr_el1, x1", 0xd518_1001],
  ["svc #0", 0xd400_0001],
  ["bl 8", 0x9400_0002],
  ["udf #0", 0x0000_0000],
  ["eret", 0xd69f_03e0],
  ["ldiapp w28, w4, [x20], #8", 0x9944_0a9c],
  ["ldapr w3, [x15], #4", 0x99c0_09e3],
  ["ldapur q3, [sp, #10]", 0x1dc0_abe3],
  ["ldap1 {v3.d}[1], [x15]", 0x4d41_85e3],
  ["ld1b {za0h.b[w12, 0]}, p0/z, [x1]", 0xe01f_0020],
  ["smopa za0.s, p0/m, p0/m, z0.b, z0.b", 0xa080_0000],
];

/** What stores, but is not worked out; and words that are no instructions. */
const UNKNOWN: readonly (readonly [assembly: string, word: number])[] = [
  ["cpyp [x0]!, [x1]!, x2!", 0x1d01_0440],
  ["cpyfm [x0]!, [x1]!, x2!", 0x1941_0440],
  ["setp [x0]!, x1!, x2", 0x19c2_0420],
  ["setgm [x0]!, x1!, x2", 0x1dc2_4420],
  ["st1w {z0.s}, p0, [x1]", 0xe540_e020],
  ["stnt1d {z0.d}, p0, [x1]", 0xe590_e020],
  ["str z0, [x1]", 0xe580_4020],
  ["str p0, [x1]", 0xe580_0020],
  ["st2b {z0.b, z1.b}, p0, [x1, x2]", 0xe422_6020],
  ["st1w {z0.s}, p0, [x1, z1.s, uxtw]", 0xe541_8020],
  ["st1w {za0h.s[w12, 0]}, p0, [x1]", 0xe0bf_0020],
  ["str za[w12, 0], [x1]", 0xe120_0020],
  ["sys #0, c11, c0, #0, x1", 0xd508_b001],
  ["sys #0, c15, c0, #0, x1", 0xd508_f001],
  ["gcsss1 x1 (sys #3, c7, c7, #2, x1)", 0xd50b_7741],
  ["gcsstr x26, [x27]", 0xd91f_0f7a],
  ["unallocated", 0x0200_0000],
  ["unallocated, as STR (register) without option<1>", 0xf822_2823],
];

describe("what an instruction stores", () => {
  it.each([...SEEN, ...READ])("%s", (_, word, offset, size) => {
    expect(storedSpans(word, REGISTERS)).toEqual([{ address: BASE + BigInt(offset), size }]);
    expect(mayStore(word)).toBe(true);
  });

  it.each(NONE)("%s: nothing", (_, word) => {
    expect(storedSpans(word, REGISTERS)).toEqual([]);
    expect(storedSpans(word, registersWith({}))).toEqual([]);
    expect(mayStore(word)).toBe(false);
  });

  it.each(UNKNOWN)("%s: not known", (_, word) => {
    expect(storedSpans(word, registersWith({ x0: 0n, x1: 0n, x2: 0n, x27: 0n }))).toBeUndefined();
    expect(mayStore(word)).toBe(true);
  });

  // Executed by the same QEMU, whose block is 512 bytes; STZGM takes EL1, and is read from the Arm ARM.
  it.each([
    ["dc zva, x1", 0xd50b_7421],
    ["dc gzva, x1", 0xd50b_7481],
    ["stzgm x3, [x1]", 0xd920_0023],
  ])("%s: the block of zeros that holds the address", (_, word) => {
    const registers = registersWith({ x1: 0x1_2345n });
    expect(storedSpans(word, registers)).toEqual([{ address: 0x1_2340n, size: 64 }]);
    expect(storedSpans(word, registers, 512)).toEqual([{ address: 0x1_2200n, size: 512 }]);
  });

  it("is at 0 for DC ZVA of the zero register", () => {
    expect(storedSpans(0xd50b_743f, registersWith({}))).toEqual([{ address: 0n, size: 64 }]);
  });

  it("is indexed by the part of a register that the extension takes", () => {
    const registers = registersWith({ x1: BASE, x2: 0xdead_0000_ffff_ffe8n });
    const start = (word: number) => storedSpans(word, registers)?.[0]?.address;
    expect(start(0xb822_d823)).toBe(BASE - 96n); // str w3, [x1, w2, sxtw #2]
    expect(start(0xb822_4823)).toBe(BASE + 0xffff_ffe8n); // str w3, [x1, w2, uxtw]
    expect(start(0xf822_7823)).toBe(0xf568_0008_0000_ff40n); // str x3, [x1, x2, lsl #3]
  });

  it("wraps around the ends of the address space", () => {
    // stur x3, [x1, #-256]
    expect(storedSpans(0xf810_0023, registersWith({ x1: 16n }))?.[0]?.address).toBe(0xffff_ffff_ffff_ff10n);
    // str x3, [x1, #0x7ff8]
    expect(storedSpans(0xf93f_fc23, registersWith({ x1: 0xffff_ffff_ffff_fff8n }))?.[0]?.address).toBe(0x7ff0n);
  });

  it("is not known without the registers of its address", () => {
    expect(storedSpans(0xf822_6823, registersWith({ x1: BASE }))).toBeUndefined();
    expect(storedSpans(0xf822_6823, registersWith({ x2: 8n }))).toBeUndefined();
    expect(storedSpans(0xb900_13e3, registersWith({ x1: BASE }))).toBeUndefined();
    // str x3, [x1]: what is stored is not asked for.
    expect(storedSpans(0xf900_0023, registersWith({ x1: BASE }))).toHaveLength(1);
  });

  it("is the same for a word that is a signed number", () => {
    expect(storedSpans(0xf900_0023 | 0, REGISTERS)).toEqual([{ address: BASE, size: 8 }]);
    expect(mayStore(0xf940_0023 | 0)).toBe(false);
  });
});

interface Capstone {
  disasm(bytes: readonly number[], address: bigint, max: number): readonly { mnemonic: string; op_str: string }[];
}

/** Half of them loads and stores, some System instructions. */
function someWord(random: Random, i: number): number {
  const word = random.next();
  if (i % 50 === 0) return (0xd508_0000 | (word & 0x7_ffff)) >>> 0;
  return i % 2 === 0 ? word : ((word & ~0x0a00_0000) | 0x0800_0000) >>> 0;
}

describe("a second decoder", () => {
  /** Where it is said here not to be known, and capstone's text stores nothing. */
  const CAREFUL: readonly (readonly [text: RegExp, why: string])[] = [
    [/^sysl? .*#\d, c1[15],/, "IMPLEMENTATION DEFINED instructions may do anything"],
    [/^sysl? .*#\d, c7, c7,/, "instructions of the Guarded Control Stack (FEAT_GCS) store to it"],
  ];

  it("reads the same stores out of the text of 200,000 words", async () => {
    const cs = await createRequire(import.meta.url)("@alexaltea/capstone-js")();
    const handle: Capstone = new cs.Capstone(cs.ARCH_ARM64, cs.MODE_LITTLE_ENDIAN);
    const random = new Random(0x57);
    const different: string[] = [];
    const compared = { none: 0, unknown: 0, span: 0 };
    for (let i = 0; i < 200_000; i++) {
      const word = someWord(random, i);
      const [first] = disassembled(handle, word);
      if (first === undefined) continue;
      const values = Array.from({ length: 32 }, () => random.word());
      const get = (name: string) => values[name === "sp" ? 31 : Number(name.slice(1))];
      const theirs = storeOfText(first.mnemonic, first.op_str, values, 64);
      const spans = storedSpans(word, { get });
      const ours = spans === undefined ? "unknown" : (spans[0] ?? "none");
      const text = `${first.mnemonic} ${first.op_str}`;
      if (theirs === "none" && ours === "unknown" && CAREFUL.some(([each]) => each.test(text))) continue;
      if (said(ours) !== said(theirs))
        different.push(`0x${word.toString(16)} ${text}: ${said(ours)}, not ${said(theirs)}`);
      expect(mayStore(word)).toBe(ours !== "none");
      compared[typeof ours === "string" ? ours : "span"]++;
    }
    expect(different).toEqual([]);
    expect(compared.none).toBeGreaterThan(40_000);
    expect(compared.span).toBeGreaterThan(15_000);
    expect(compared.unknown).toBeGreaterThan(500);
  });
});

function disassembled(handle: Capstone, word: number): ReturnType<Capstone["disasm"]> {
  try {
    return handle.disasm([word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24], 0n, 1);
  } catch {
    return [];
  }
}

function said(store: ReturnType<typeof storeOfText>): string {
  return typeof store === "string" ? store : `${store.size} bytes at 0x${store.address.toString(16)}`;
}
