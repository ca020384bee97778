import { describe, expect, it } from "vitest";
import { virt } from "../../src/base/address.ts";
import { MAX_BLOCK } from "../../src/code/block.ts";
import { evaluateOrigin, type Value } from "../../src/code/evaluate.ts";
import { registerName } from "../../src/code/operation.ts";
import { branchOrigin, type Origin, registerOrigin } from "../../src/code/origin.ts";
import { Random } from "../support/random.ts";
import { CodeMemory, codeWords, registersWith } from "./code-memory.ts";

const CODE = 0x1_0000n;
const NOP = 0xd503_201f;
const RET = 0xd65f_03c0;
const BLR_X8 = 0xd63f_0100;
const LDR_X8_X9_E0 = 0xf940_7128; // ldr x8, [x9, #0xe0]
const LDR_X9_X19_60 = 0xf940_3269; // ldr x9, [x19, #0x60]
const LDR_X8_X9_POST = 0xf840_8528; // ldr x8, [x9], #8
const ADD_X9_16 = 0x9100_4129; // add x9, x9, #16
const BTI_C = 0xd503_245f;

/** The origin of the branch that ends the words. */
function originOf(...words: readonly number[]): Origin {
  return branchOrigin(codeWords(CODE, words), words.length - 1) as Origin;
}

function chain({ steps }: Origin): string[] {
  return steps.map(({ register, operation: { kind } }) => `${registerName(register)} ${kind}`);
}

describe("the target of a branch", () => {
  it("is followed through loads and copies to a register that was set before the block", () => {
    const origin = originOf(RET, LDR_X9_X19_60, 0xd280_0020, LDR_X8_X9_E0, BLR_X8);
    expect(origin.register).toBe(8);
    expect(origin.steps).toEqual([
      {
        ...{ address: CODE + 12n, word: LDR_X8_X9_E0, register: 8 },
        operation: { kind: "load", from: { base: 9, offset: 0xe0n }, size: 8, signed: false },
      },
      {
        ...{ address: CODE + 4n, word: LDR_X9_X19_60, register: 9 },
        operation: { kind: "load", from: { base: 19, offset: 0x60n }, size: 8, signed: false },
      },
    ]);
    expect(origin.end).toEqual({ reason: "before-block", register: 19, edge: { kind: "branch", at: CODE } });
  });

  it.each<[string, readonly number[], string[], object]>([
    [
      "a page and an offset (adrp, ldr, ldr)",
      [0xf000_0008, 0xf940_0908, 0xf940_7d08],
      ["x8 load", "x8 load", "x8 constant"],
      { reason: "constant", value: 0x1_3000n },
    ],
    ["a constant in two parts", [0xd2a2_4688, 0xf28a_cf08], ["x8 insert", "x8 constant"], { reason: "constant" }],
    ["a literal", [0x5800_0208], ["x8 load-literal"], { reason: "literal", at: CODE + 0x40n }],
    ["the stack", [0xf940_0fe8], ["x8 load"], { reason: "stack" }],
    ["something computed", [0x9b0a_7d28], ["x8 computed"], { reason: "computed" }],
    ["something not decoded", [0x04bf_5028], [], { reason: "undecoded", address: CODE, register: 8 }],
    ["an authenticated pointer", [LDR_X8_X9_E0, 0xdac1_1128], ["x8 authenticate", "x8 load"], { register: 9 }],
  ])("comes from %s", (_, words, steps, end) => {
    const origin = originOf(...words, BLR_X8);
    expect(chain(origin)).toEqual(steps);
    expect(origin.end).toMatchObject(end);
  });

  it("is an argument where the function starts: by symbols, where calls land, or by its first store of x30", () => {
    const load = [0xf940_7c08, BLR_X8]; // ldr x8, [x0, #0xf8]
    const argument = { reason: "argument", register: 0 };
    expect(originOf(NOP, BTI_C, ...load).end).toEqual(argument);
    expect(originOf(RET, 0xa9bf_7bfd, 0x9100_03fd, ...load).end).toEqual(argument);
    const words = codeWords(CODE, [NOP, ...load]);
    expect(branchOrigin(words, 2, { functionStart: virt(CODE + 4n) })?.end).toEqual(argument);
    expect(originOf(RET, ...load).end).toMatchObject({ reason: "before-block", register: 0 });
    // Only x0 to x7 are arguments.
    expect(originOf(BTI_C, LDR_X8_X9_E0, BLR_X8).end).toMatchObject({ reason: "before-block", register: 9 });
  });

  it("is an argument where a call leads to", () => {
    // bl to the word behind the ret
    const words = codeWords(CODE, [0x9400_0002, RET, 0xf940_7c08, BLR_X8]);
    expect(branchOrigin(words, 3)).toMatchObject({
      end: { reason: "argument", register: 0 },
      block: { edge: { kind: "called", from: CODE } },
    });
  });

  it("is not followed past a place that another branch goes to", () => {
    // The cbnz behind the branch goes to the word before it.
    const words = codeWords(CODE, [LDR_X8_X9_E0, NOP, BLR_X8, 0xb5ff_ffe1]);
    expect(branchOrigin(words, 2)).toMatchObject({
      steps: [],
      end: { reason: "before-block", register: 8, edge: { kind: "join", from: CODE + 12n } },
    });
  });

  it.each<[string, readonly number[], string]>([
    ["a call", [0x9400_0040], "branch"],
    ["a conditional branch", [0x5400_0401], "branch"],
    ["an exception", [0xd400_0001], "branch"],
    ["what is no instruction", [0], "undefined"],
    ["what was not read", [], "unread"],
  ])("is not followed past %s", (_, before, kind) => {
    expect(originOf(...before, LDR_X8_X9_E0, BLR_X8).end).toMatchObject({ edge: { kind } });
  });

  it("is not followed over a gap in what was read", () => {
    const words = [...codeWords(CODE, [LDR_X8_X9_E0]), ...codeWords(CODE + 8n, [BLR_X8])];
    expect(branchOrigin(words, 1)).toMatchObject({ steps: [], end: { edge: { kind: "unread" } } });
  });

  it("is followed through 64 instructions", () => {
    const near = originOf(LDR_X8_X9_E0, ...new Array(MAX_BLOCK - 1).fill(NOP), BLR_X8);
    expect(near.steps).toHaveLength(1);
    const far = originOf(LDR_X8_X9_E0, ...new Array(MAX_BLOCK).fill(NOP), BLR_X8);
    expect(far).toMatchObject({ steps: [], end: { edge: { kind: "limit" } } });
  });

  it("has no origin where nothing branches through a register", () => {
    expect(branchOrigin(codeWords(CODE, [NOP, 0x9400_0040]), 0)).toBeUndefined();
    expect(branchOrigin(codeWords(CODE, [NOP, 0x9400_0040]), 1)).toBeUndefined();
    expect(branchOrigin([], 0)).toBeUndefined();
    expect(branchOrigin(codeWords(CODE, [BLR_X8]), -1)).toBeUndefined();
  });
});

describe("the address that a target was loaded from", () => {
  const TABLE = 0x20_0000n;
  const memory = new CodeMemory();
  memory
    .data(TABLE + 0xe0n, 0x1234n)
    .data(TABLE + 0x1060n, TABLE)
    .data(CODE + 0x3010n, TABLE + 0x1000n);
  memory.data(TABLE + 0x10f8n, 0x5678n).data(TABLE + 0x118n, 0x9abcn);

  function evaluate(words: readonly number[], values: Record<string, bigint>, how = "at-branch" as const) {
    return evaluateOrigin(originOf(...words), registersWith(values), memory, { registers: how });
  }

  function value(found: Value | undefined): bigint | undefined {
    return found?.known ? found.value : undefined;
  }

  it("is the base register, as it is at the fault, and the offset", async () => {
    const found = await evaluate([LDR_X8_X9_E0, BLR_X8], { x9: TABLE, x8: 0x1234n });
    expect(found.loadedFrom).toEqual({ known: true, value: TABLE + 0xe0n, assumes: [] });
    expect(value(found.target)).toBe(0x1234n);
    expect(value(found.recomputed)).toBe(0x1234n);
    expect(found.agrees).toBe(true);
  });

  it("is told not to agree when memory holds something else by now", async () => {
    expect((await evaluate([LDR_X8_X9_E0, BLR_X8], { x9: TABLE, x8: 0n })).agrees).toBe(false);
  });

  it("is worked out through memory where each load overwrote its base", async () => {
    const found = await evaluate([0xf000_0008, 0xf940_0908, 0xf940_7d08, BLR_X8], { x8: 0x5678n });
    expect(found.steps.map(({ loadedFrom }) => value(loadedFrom))).toEqual([
      TABLE + 0x10f8n,
      CODE + 0x3010n,
      undefined,
    ]);
    expect(found.loadedFrom).toMatchObject({ assumes: [`memory at 0x${(CODE + 0x3010n).toString(16)} is as it was`] });
    expect(found.agrees).toBe(true);
  });

  it("undoes what was added to the base since", async () => {
    const post = await evaluate([LDR_X8_X9_POST, ADD_X9_16, BLR_X8], { x9: TABLE + 0xe0n + 24n });
    expect(value(post.loadedFrom)).toBe(TABLE + 0xe0n);
  });

  it("adds the index", async () => {
    const found = await evaluate([0xf86a_7928, BLR_X8], { x9: TABLE, x10: 0x1cn });
    expect(value(found.loadedFrom)).toBe(TABLE + 0xe0n);
    expect((await evaluate([0xf86a_7928, BLR_X8], { x9: TABLE })).loadedFrom).toMatchObject({ known: false });
  });

  it("cannot be told when its base was overwritten, and says where", async () => {
    const found = await evaluate([LDR_X8_X9_E0, 0xaa01_03e9, BLR_X8], { x9: TABLE, x1: TABLE });
    expect(found.loadedFrom).toEqual({ known: false, why: `x9 was overwritten at 0x${(CODE + 4n).toString(16)}` });
    expect(found.agrees).toBeNull();
  });

  it("cannot be told from x30, which the call overwrote", async () => {
    const found = await evaluate([0xf940_07c8, BLR_X8], { x30: TABLE });
    expect(found.loadedFrom).toMatchObject({ known: false });
  });

  it("needs a register that calls preserve, and says so, when code ran since the branch", async () => {
    const words = codeWords(CODE, [LDR_X9_X19_60, LDR_X8_X9_E0, BLR_X8]);
    const origin = branchOrigin(words, 2) as Origin;
    const registers = registersWith({ x19: TABLE + 0x1000n, x9: 0xbadn, x8: 0xbadn });
    const found = await evaluateOrigin(origin, registers, memory, { registers: "callee-saved" });
    expect(found.loadedFrom).toMatchObject({ value: TABLE + 0xe0n });
    expect(found.loadedFrom).toMatchObject({ assumes: ["x19 is as it was at the branch", expect.any(String)] });
    expect(found.target).toEqual({ known: false, why: "x8 may have been overwritten since the branch" });
  });

  it("is not made up where memory cannot be read", async () => {
    const found = await evaluate([LDR_X9_X19_60, LDR_X8_X9_E0, BLR_X8], { x19: 0x99_0000n });
    expect(found.recomputed).toEqual({ known: false, why: "memory at 0x990060: outside-memory" });
  });
});

describe("hostile code", () => {
  it("is followed 20,000 times within bounds: each step further back, at most two reads a step", async () => {
    const random = new Random(0x0419);
    const likely = [LDR_X8_X9_E0, LDR_X9_X19_60, LDR_X8_X9_POST, ADD_X9_16, 0xf86a_7928, 0xf940_7d08, 0xaa0a_03e8, NOP];
    const memory = new CodeMemory().data(0n, 0n).data(0x1000n, 0n);
    let longest = 0;
    for (let i = 0; i < 20_000; i++) {
      const words = Array.from({ length: 40 }, () => (random.chance(0.03) ? random.next() : random.pick(likely)));
      const origin = registerOrigin(
        codeWords(random.word() & ~3n, words),
        random.below(40),
        random.below(32),
      ) as Origin;
      const addresses = origin.steps.map(({ address }) => address);
      expect(addresses.every((each, j) => each < (addresses[j - 1] ?? origin.at.address))).toBe(true);
      longest = Math.max(longest, addresses.length);
      memory.reads = 0;
      const registers = registersWith({ x9: random.word(), x10: 0n, x19: BigInt(random.below(0x2000)), x8: 0n });
      const found = await evaluateOrigin(origin, registers, memory, { registers: "at-branch" });
      expect(found.steps).toHaveLength(addresses.length);
      expect(memory.reads).toBeLessThanOrEqual(2 * MAX_BLOCK + 2);
    }
    expect(longest).toBeGreaterThan(5);
  }, 30_000);
});
