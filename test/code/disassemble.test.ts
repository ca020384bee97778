import { describe, expect, it } from "vitest";
import { type VirtAddr, virt } from "../../src/base/address.ts";
import {
  codeAround,
  disassemble,
  disassembleWords,
  type Instruction,
  MAX_INSTRUCTIONS,
} from "../../src/code/disassemble.ts";
import { Random } from "../support/random.ts";
import { CodeMemory, codeWords } from "./code-memory.ts";

const NOP = 0xd503_201f;

/** Words with what llvm-objdump 14 prints for them at address 0, immediates as this disassembler writes them. */
const KNOWN: readonly (readonly [word: number, text: string])[] = [
  [0xf940_7128, "ldr x8, [x9, #0xe0]"],
  [0x52b0_0000, "mov w0, #0x80000000"],
  [0x9280_0026, "mov x6, #-2"],
  [0xf85f_0d28, "ldr x8, [x9, #-0x10]!"],
  [0xf86a_7928, "ldr x8, [x9, x10, lsl #3]"],
  [0xa9be_7bfd, "stp x29, x30, [sp, #-0x20]!"],
  [0xa941_27e8, "ldp x8, x9, [sp, #0x10]"],
  [0xd63f_0100, "blr x8"],
  [0x9400_0040, "bl #0x100"],
  [0x54ff_ffc1, "b.ne #0xfffffffffffffff8"],
  [0xd65f_03c0, "ret"],
  [0xd538_1000, "mrs x0, sctlr_el1"],
  [0xd51c_1000, "msr sctlr_el2, x0"],
  [0xd508_871f, "tlbi vmalle1"],
  // FEAT_LSE
  [0xf820_0041, "ldadd x0, x1, [x2]"],
  [0xc8a0_7c41, "cas x0, x1, [x2]"],
  [0x4820_7c82, "casp x0, x1, x2, x3, [x4]"],
  // FEAT_PAuth, FEAT_BTI, FEAT_LRCPC
  [0xd503_233f, "paciasp"],
  [0xd65f_0bff, "retaa"],
  [0xd63f_091f, "blraaz x8"],
  [0xf87f_ed28, "ldraa x8, [x9, #-0x10]!"],
  [0xd503_245f, "bti c"],
  [0xf8bf_c020, "ldapr x0, [x1]"],
  // FEAT_SVE, FEAT_LS64
  [0x04bf_5020, "rdvl x0, #1"],
  [0xf83f_d100, "ld64b x0, [x8]"],
];

function text({ mnemonic, operands }: Instruction): string {
  return operands === "" ? mnemonic : `${mnemonic} ${operands}`;
}

function bytesOf(...words: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, i * 4);
  return bytes;
}

describe("disassembly", () => {
  it.each(KNOWN)("writes %i as %s", async (word, expected) => {
    const [instruction] = await disassemble(bytesOf(word), virt(0));
    expect(instruction && text(instruction)).toBe(expected);
    expect(instruction).toMatchObject({ address: 0n, word, decoded: true });
  });

  it("writes branch targets as addresses, in the upper half too", async () => {
    const high = virt(0xffff_8000_1234_5678n);
    expect((await disassemble(bytesOf(NOP, 0x9400_0008), high)).map(text)).toEqual(["nop", "bl #0xffff80001234569c"]);
  });

  it("writes words that are no instructions as .inst, between those that are", async () => {
    const found = await disassemble(bytesOf(NOP, 0xffff_ffff, 0x0001_0000, NOP), virt(0x1000));
    expect(found.map(text)).toEqual(["nop", ".inst 0xffffffff", ".inst 0x00010000", "nop"]);
    expect(found.map(({ decoded }) => decoded)).toEqual([true, false, false, true]);
    expect(found.map(({ address }) => address)).toEqual([0x1000n, 0x1004n, 0x1008n, 0x100cn]);
  });

  it("leaves out what is no whole word", async () => {
    expect(await disassemble(bytesOf(NOP).subarray(0, 3), virt(0))).toEqual([]);
    expect(await disassemble(bytesOf(NOP, NOP).subarray(0, 7), virt(0))).toHaveLength(1);
  });

  it("stops at its limit", async () => {
    const words = new Array(MAX_INSTRUCTIONS + 10).fill(NOP);
    expect(await disassemble(bytesOf(...words), virt(0))).toHaveLength(MAX_INSTRUCTIONS);
  });

  it("shows raw words where there is no disassembler", async () => {
    const reader = Promise.resolve(() => undefined);
    expect((await disassembleWords(codeWords(0n, [NOP]), reader)).map(text)).toEqual([".inst 0xd503201f"]);
  });

  it("has one line of printable text for each of 20,000 random words", async () => {
    const random = new Random(0xd15a);
    let decoded = 0;
    for (let batch = 0; batch < 20; batch++) {
      const words = Array.from({ length: 1000 }, () => random.next());
      const found = await disassemble(bytesOf(...words), virt(random.word()));
      expect(found.map(({ word }) => word)).toEqual(words);
      decoded += found.filter((each) => each.decoded).length;
      for (const each of found) expect(text(each)).toMatch(/^[\x20-\x7e]{2,192}$/);
    }
    // About a third of all words are instructions.
    expect(decoded).toBeGreaterThan(5000);
    expect(decoded).toBeLessThan(12_000);
  });
});

describe("the code around an address", () => {
  const memory = new CodeMemory().code(0x1000n, new Array(0x400).fill(NOP)).code(0xffff_ffff_ffff_f000n, [NOP]);
  const addresses = (found: { instructions: readonly Instruction[] }): VirtAddr[] =>
    found.instructions.map(({ address }) => address);

  it("is so many instructions before and after it", async () => {
    const found = await codeAround(memory, virt(0x1010), { before: 2, after: 1 });
    expect(addresses(found)).toEqual([0x1008n, 0x100cn, 0x1010n, 0x1014n]);
    expect(found.gaps).toEqual([]);
  });

  it("is aligned as instructions are", async () => {
    expect(addresses(await codeAround(memory, virt(0x1013), { before: 0, after: 0 }))).toEqual([0x1010n]);
  });

  it("says what could not be read, once, and shows the rest", async () => {
    const found = await codeAround(memory, virt(0x1000), { before: 1024, after: 0 });
    expect(addresses(found)).toEqual([0x1000n]);
    expect(found.gaps).toEqual([{ address: 0n, length: 4096, state: "absent", code: "outside-memory" }]);
    const over = await codeAround(memory, virt(0x2000), { before: 1, after: 1024 });
    expect(addresses(over)).toEqual([0x1ffcn]);
    expect(over.gaps).toEqual([{ address: 0x2000n, length: 4100, state: "absent", code: "outside-memory" }]);
  });

  it("ends at both ends of the address space", async () => {
    const bottom = await codeAround(memory, virt(0), { before: 10, after: 3 });
    expect(bottom).toEqual({
      instructions: [],
      gaps: [{ address: 0n, length: 16, state: "absent", code: "outside-memory" }],
    });
    const top = await codeAround(memory, virt(0xffff_ffff_ffff_fffcn), { before: 1, after: 10 });
    expect(addresses(top)).toEqual([0xffff_ffff_ffff_fff8n, 0xffff_ffff_ffff_fffcn]);
  });

  it("is bounded whatever is asked for", async () => {
    const found = await codeAround(memory, virt(0x1800), { before: 1e12, after: Number.NaN });
    expect(found.instructions).toHaveLength(0x201);
    expect(found.gaps).toEqual([{ address: 0x800n, length: 0x800, state: "absent", code: "outside-memory" }]);
  });
});
