import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import type { Translator } from "../../src/aarch64/translate.ts";
import { type Backtrace, stripPointer, unwind } from "../../src/aarch64/unwind.ts";
import { translatedMemory } from "../../src/aarch64/virtual-memory.ts";
import { virt } from "../../src/base/address.ts";
import { PointView } from "../../src/diff/point-view.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import { CodeMemory, inRange, registersWith } from "../code/code-memory.ts";
import { Random } from "../support/random.ts";

const NOP = 0xd503_201f;
const BL = 0x9400_0040;
const BLR_X8 = 0xd63f_0100;
const RET = 0xd65f_03c0;
const JUMP = 0x1400_0002;
const SAVE = 0xa9be_7bfd; // stp x29, x30, [sp, #-32]!
const SET_FP = 0x9100_03fd; // mov x29, sp
const RESTORE = 0xa8c2_7bfd; // ldp x29, x30, [sp], #32
const CODE = 0x1_0000n;
const STACK = 0x8_0000n;
const CPSR_EL1 = 0x3c5n;

const executable = inRange(CODE, CODE + 0x1000n);
let memory: CodeMemory;

/** Code of calls only, so that every return address in it follows one; at `framed` a function that has set up its frame. */
const framed = CODE + 0x800n;
beforeEach(() => {
  memory = new CodeMemory().code(CODE, [SAVE, ...new Array(0xff).fill(BL)]);
  memory.code(framed - 8n, [SAVE, SET_FP, NOP, RESTORE, RET]).data(STACK, 0n);
});

function trace(values: Record<string, bigint>, options: Parameters<typeof unwind>[2] = {}): Promise<Backtrace> {
  const registers = { cpsr: CPSR_EL1, sp: STACK, pc: framed, x30: CODE + 0x10n, ...values };
  return unwind(registersWith(registers), memory, { executable, ...options });
}

function pcs({ frames }: Backtrace): bigint[] {
  return frames.map(({ pc }) => pc);
}

describe("a chain of frame records", () => {
  it("is followed to the record whose frame pointer is 0", async () => {
    memory.data(STACK + 0x10n, STACK + 0x40n, CODE + 0x20n).data(STACK + 0x40n, 0n, CODE + 0x30n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(found.frames).toEqual([
      { pc: framed, call: undefined, fp: STACK + 0x10n, record: undefined, source: "pc", trust: "sure", doubts: [] },
      {
        ...{ pc: CODE + 0x20n, call: CODE + 0x1cn, fp: STACK + 0x40n, record: STACK + 0x10n },
        ...{ source: "frame-record", trust: "sure", doubts: [] },
      },
      {
        ...{ pc: CODE + 0x30n, call: CODE + 0x2cn, fp: 0n, record: STACK + 0x40n },
        ...{ source: "frame-record", trust: "sure", doubts: [] },
      },
    ]);
    expect(found.end.reason).toBe("end-of-chain");
  });

  it("ends at a return address of 0", async () => {
    memory.data(STACK + 0x10n, STACK + 0x40n, CODE + 0x20n).data(STACK + 0x40n, STACK + 0x80n, 0n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(pcs(found)).toEqual([framed, CODE + 0x20n]);
    expect(found.end.reason).toBe("end-of-chain");
  });

  it("ends where a stack was entered by a branch: x30 was the function's own start", async () => {
    const own = CODE + 0x40n;
    memory.code(own - 4n, [NOP, SAVE, SET_FP]);
    memory.data(STACK + 0x10n, STACK + 0x40n, CODE + 0x20n).data(STACK + 0x40n, 0n, own);
    const found = await trace({ x29: STACK + 0x10n });
    expect(pcs(found)).toEqual([framed, CODE + 0x20n]);
    expect(found.end).toMatchObject({ reason: "end-of-chain", text: expect.stringContaining("the stack begins") });
  });

  it.each<[string, bigint, string]>([
    ["points to itself", STACK + 0x10n, "no higher than the one before"],
    ["goes down", STACK + 0x8n, "no higher than the one before"],
    ["is not aligned to 8 bytes", STACK + 0x44n, "not aligned"],
    ["is a MiB away", STACK + 0x10_0020n, "another stack"],
    ["is at the end of the address space", 0xffff_ffff_ffff_fff8n, "past the end"],
  ])("ends where the frame pointer %s, behind the return address that can be trusted", async (_, next, text) => {
    memory.data(STACK + 0x10n, next, CODE + 0x20n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(pcs(found)).toEqual([framed, CODE + 0x20n]);
    expect(found.end).toEqual({ reason: "frame-pointer", text: expect.stringContaining(text) });
  });

  it("is none where x29 lies below the stack pointer", async () => {
    const found = await trace({ x29: STACK - 0x10n });
    expect(found.end.text).toContain("below the stack pointer");
  });

  it("ends where its record cannot be read, and says why", async () => {
    memory.data(STACK + 0x10n, STACK + 0x2000n, CODE + 0x20n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(found.frames).toHaveLength(2);
    expect(found.end).toEqual({ reason: "unreadable", text: expect.stringContaining("outside-memory") });
  });

  it.each<[string, bigint, string]>([
    ["is not executable", STACK, "not executable"],
    ["is not aligned to 4 bytes", CODE + 0x22n, "not aligned"],
  ])("ends with a broken frame where the return address %s", async (_, address, why) => {
    memory.data(STACK + 0x10n, STACK + 0x40n, address);
    const found = await trace({ x29: STACK + 0x10n });
    expect(found.frames[1]).toMatchObject({ pc: address, trust: "broken", doubts: [expect.stringContaining(why)] });
    expect(found.end.reason).toBe("broken");
  });

  it("goes on past a return address that follows no call, doubtful, while the next frame pointer makes sense", async () => {
    memory.data(STACK + 0x10n, STACK + 0x40n, framed + 4n).data(STACK + 0x40n, 0n, CODE + 0x30n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(found.frames.map(({ trust }) => trust)).toEqual(["sure", "doubtful", "sure"]);
  });

  it.each([0xdead_beefn, STACK + 0x10n, STACK])("ends there where it does not: %i", async (next) => {
    memory.data(STACK + 0x10n, next, framed + 4n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(found.frames.map(({ trust }) => trust)).toEqual(["sure", "broken"]);
  });

  it("is only likely where nobody knows what is executable", async () => {
    memory.data(STACK + 0x10n, 0n, CODE + 0x20n);
    const found = await trace({ x29: STACK + 0x10n }, { executable: () => null });
    expect(found.frames[1]).toMatchObject({ trust: "likely" });
  });

  it("is only likely where the code before the return address cannot be read", async () => {
    memory.data(STACK + 0x10n, 0n, 0x5_0000n);
    const found = await trace({ x29: STACK + 0x10n }, { executable: () => true });
    expect(found.frames[1]).toMatchObject({ pc: 0x5_0000n, trust: "likely" });
  });

  it("has 256 frames at most, or fewer when asked", async () => {
    for (let i = 0n; i < 300n; i++) memory.data(STACK + i * 16n, STACK + (i + 1n) * 16n, CODE + 0x20n);
    const all = await trace({ x29: STACK });
    expect(all.frames).toHaveLength(256);
    expect(all.end.reason).toBe("limit");
    expect((await trace({ x29: STACK }, { maxFrames: 5 })).frames).toHaveLength(5);
    expect((await trace({ x29: STACK }, { maxFrames: 1e9 })).frames).toHaveLength(256);
  });

  it("is read with the return address first where only that makes sense", async () => {
    memory.data(STACK + 0x10n, CODE + 0x20n, STACK + 0x40n).data(STACK + 0x40n, 0n, CODE + 0x30n);
    const found = await trace({ x29: STACK + 0x10n });
    expect(found.frames.map(({ source }) => source)).toEqual(["pc", "swapped-record", "frame-record"]);
    expect(pcs(found)).toEqual([framed, CODE + 0x20n, CODE + 0x30n]);
  });
});

describe("pointer authentication codes", () => {
  it("are taken off by the size of addresses, whatever bit 55 selects", () => {
    expect(stripPointer(0x0025_8000_1234_5678n, 48)).toBe(0x0000_8000_1234_5678n);
    expect(stripPointer(0x00ab_ffff_1234_5678n, 48)).toBe(0xffff_ffff_1234_5678n);
    expect(stripPointer(0x1234_5678_9abc_def0n, 39)).toBe(0x5678_9abc_def0n & 0x7f_ffff_ffffn);
    expect(stripPointer(0xffff_8000_0000_0000n, 48)).toBe(0xffff_8000_0000_0000n);
  });

  it("leave return addresses as they are when nobody says how long addresses are", async () => {
    memory.data(STACK + 0x10n, 0n, 0x0012_0000_0000_0000n | (CODE + 0x20n));
    expect((await trace({ x29: STACK + 0x10n })).frames[1]).toMatchObject({ trust: "broken" });
    const stripped = await trace({ x29: STACK + 0x10n }, { addressBits: () => 48 });
    expect(stripped.frames[1]).toMatchObject({ pc: CODE + 0x20n, trust: "sure" });
  });
});

describe("the innermost function's caller", () => {
  const leaf = CODE + 0x900n;
  const record = { x29: STACK + 0x10n };
  beforeEach(() => memory.data(STACK + 0x10n, 0n, CODE + 0x20n));

  it.each<[string, readonly number[], readonly bigint[]]>([
    ["is in x30 at its first instruction", [SAVE, SET_FP, BL, RESTORE, RET], [CODE + 0x10n, CODE + 0x20n]],
    ["is in x30 before its frame pointer is set", [SET_FP, BL, RESTORE, RET], [CODE + 0x10n, CODE + 0x20n]],
    ["is in the record behind that", [NOP, BL, RESTORE, RET], [CODE + 0x20n]],
    ["is in the record until it is loaded", [RESTORE, RET], [CODE + 0x20n]],
    ["is in x30 again at the return", [RET, SAVE], [CODE + 0x10n, CODE + 0x20n]],
  ])("%s", async (_, code, callers) => {
    memory.code(leaf, code);
    expect(pcs(await trace({ ...record, pc: leaf }))).toEqual([leaf, ...callers]);
  });

  it("may be in x30 where its code does not tell: doubtful", async () => {
    memory.code(leaf, [NOP, JUMP, RESTORE, RET]);
    const found = await trace({ ...record, pc: leaf });
    expect(found.frames[1]).toMatchObject({ pc: CODE + 0x10n, source: "link-register", trust: "doubtful" });
    expect(found.frames[2]).toMatchObject({ pc: CODE + 0x20n, trust: "sure" });
  });

  it("is not named twice when the record has the same", async () => {
    memory.code(leaf, [NOP, JUMP, RESTORE, RET]);
    expect(pcs(await trace({ ...record, pc: leaf, x30: CODE + 0x20n }))).toEqual([leaf, CODE + 0x20n]);
  });

  it("is told from a call of its own by symbols", async () => {
    memory.code(leaf, [NOP, JUMP, RESTORE, RET]);
    const own = await trace({ ...record, pc: leaf }, { functionOf: () => virt(CODE) });
    expect(pcs(own)).toEqual([leaf, CODE + 0x20n]);
    const other = await trace({ ...record, pc: leaf }, { functionOf: (each) => virt(each >= leaf ? leaf : CODE) });
    expect(other.frames[1]).toMatchObject({ pc: CODE + 0x10n, trust: "sure" });
  });
});

describe("a function that keeps no frame record", () => {
  const STORE_X30 = 0xf81f_0ffe; // str x30, [sp, #-16]!
  const SWAPPED = 0xa9bf_77fe; // stp x30, x29, [sp, #-16]!
  const returnTo = CODE + 0x44n;
  const atEntry = { pc: CODE + 0x900n, x30: returnTo, x29: STACK + 0x10n };

  async function afterCaller(...prologue: number[]): Promise<Backtrace["frames"][number] | undefined> {
    memory.code(CODE, [...prologue, ...new Array(0x40).fill(BL)]);
    memory.code(CODE + 0x900n, [SAVE, SET_FP]).data(STACK + 0x10n, 0n, CODE + 0x84n);
    return (await trace(atEntry)).frames[2];
  }

  it("hides its caller, and the frame behind it says so", async () => {
    const frame = await afterCaller(STORE_X30);
    expect(frame).toMatchObject({ pc: CODE + 0x84n, trust: "likely" });
    expect(frame?.doubts[0]).toContain("its caller is missing");
  });

  it("cannot be told without its first instructions", async () => {
    expect((await afterCaller(BL))?.doubts[0]).toContain("is not known: its caller may be missing");
  });

  it.each([
    ["the usual way", SAVE],
    ["the other way round", SWAPPED],
  ])("is not one that stores x29 and x30 %s", async (_, word) => {
    expect(await afterCaller(word)).toMatchObject({ trust: "sure", doubts: [] });
  });
});

describe("code that a function has just returned to", () => {
  it("has its own address in x30, which is no caller", async () => {
    memory.data(STACK + 0x10n, 0n, CODE + 0x20n);
    const found = await trace({ pc: CODE + 0x44n, x30: CODE + 0x44n, x29: STACK + 0x10n });
    expect(pcs(found)).toEqual([CODE + 0x44n, CODE + 0x20n]);
  });
});

describe("a branch to where no code can run", () => {
  it("has the caller once where the function that went wrong had set up its frame", async () => {
    memory.data(STACK + 0x20n, 0n, CODE + 0x44n);
    const found = await trace({ pc: 0n, x30: CODE + 0x44n, x29: STACK + 0x20n });
    expect(pcs(found)).toEqual([0n, CODE + 0x44n]);
    expect(found.frames[1]?.source).toBe("frame-record");
  });

  it("was made by the call before x30, whose frame x29 still is", async () => {
    memory.code(CODE + 0x40n, [BLR_X8]).data(STACK + 0x10n, 0n, CODE + 0x20n);
    const found = await trace({ pc: 0n, x30: CODE + 0x44n, x29: STACK + 0x10n });
    expect(found.frames.map(({ pc, source }) => [pc, source])).toEqual([
      [0n, "pc"],
      [CODE + 0x44n, "link-register"],
      [CODE + 0x20n, "frame-record"],
    ]);
    expect(found.frames[0]?.doubts).toEqual(["no code can run at 0x0"]);
  });

  it("was a return when x30 is the same address; the records behind are still there", async () => {
    memory.data(STACK + 0x10n, 0n, CODE + 0x20n);
    const found = await trace({ pc: 0n, x30: 0n, x29: STACK + 0x10n });
    expect(pcs(found)).toEqual([0n, CODE + 0x20n]);
    expect(found.frames[0]?.doubts[1]).toContain("returned to it");
  });

  it("ends the trace when x30 is no return address", async () => {
    const found = await trace({ pc: 0n, x30: STACK, x29: STACK + 0x10n });
    expect(found.frames[1]).toMatchObject({ trust: "broken" });
    expect(found.end.reason).toBe("broken");
  });
});

describe("at an exception vector", () => {
  const vectors = CODE + 0x2000n;
  const at = { VBAR_EL1: vectors, ELR_EL1: framed, x29: STACK + 0x10n };
  beforeEach(() => memory.data(STACK + 0x10n, 0n, CODE + 0x20n));

  it("the chain starts at ELR_ELx", async () => {
    const found = await trace({ ...at, pc: vectors + 0x200n, SPSR_EL1: 0x305n });
    expect(pcs(found)).toEqual([framed, CODE + 0x20n]);
    expect(found.frames[0]?.source).toBe("exception-link");
  });

  it.each<[string, bigint, bigint, Record<string, bigint>]>([
    ["SP_EL0 for the vectors of SP_EL0", 0x000n, 0x304n, { SP_EL0: STACK + 0x80n, sp: 0n }],
    ["SP_EL0 from EL0", 0x400n, 0x0n, { SP_EL0: STACK + 0x80n, sp: 0n }],
    ["sp otherwise", 0x200n, 0x305n, { SP_EL0: 0n, sp: STACK + 0x80n }],
  ])("the stack is %s", async (_, offset, spsr, stack) => {
    const found = await trace({ ...at, ...stack, pc: vectors + offset, SPSR_EL1: spsr });
    expect(found.end.text).toContain("below the stack pointer");
  });

  it("there is no chain from AArch32, or without ELR_ELx", async () => {
    const aarch32 = await trace({ ...at, pc: vectors + 0x600n, SPSR_EL1: 0x10n });
    expect(aarch32).toMatchObject({ frames: [], end: { reason: "no-registers" } });
    const values = { cpsr: CPSR_EL1, pc: vectors, VBAR_EL1: vectors };
    expect((await unwind(registersWith(values), memory)).frames).toEqual([]);
  });

  it("further into a handler it starts at the pc", async () => {
    const found = await trace({ ...at, pc: vectors + 0x204n });
    expect(found.frames[0]).toMatchObject({ pc: vectors + 0x204n, source: "pc" });
  });
});

describe("a capture of a guest that called through a zeroed table", () => {
  it("leads from address 0 through the caller, the application and the firmware to the end", async () => {
    const capture = await readCapture(fileURLToPath(new URL("../fixtures/boot-service.ebs", import.meta.url)));
    const fault = capture.points.find(({ kind }) => kind === "fault");
    const view = new PointView(capture, fault as NonNullable<typeof fault>);
    const translator: Translator = view.translator(view.currentRegime);
    const found = await unwind(view.registers, translatedMemory(translator, view.memory), {
      executable: (address) => {
        const { result } = translator.translate(address);
        return result.mapped === true ? result.attributes.execute : result.mapped;
      },
    });
    // The calls of examples/guests/handoff/handoff.efi that llvm-objdump shows before these, loaded at 0x7c411000: the stub in
    // arch.S, the mode's function and the table of modes.
    expect(pcs(found).slice(0, 4)).toEqual([0n, 0x7c41_2854n, 0x7c41_33acn, 0x7c41_2ac8n]);
    expect(found.frames[3]?.source).toBe("swapped-record");
    expect(found.end.reason).toBe("end-of-chain");
  });
});

describe("hostile stacks", () => {
  it("give at most 256 frames and at most five reads a frame, 20,000 times", async () => {
    const random = new Random(0x5eed);
    const interesting = [0n, 8n, STACK, STACK + 0x10n, STACK + 0xff8n, CODE + 0x20n, framed, 2n ** 64n - 8n, 2n ** 63n];
    const word = (): bigint => {
      if (random.chance(0.3)) return random.pick(interesting);
      if (random.chance(0.6)) return STACK + BigInt(random.below(0x200) * 8);
      return random.chance(0.5) ? CODE + BigInt(random.below(0x100) * 4) : random.word();
    };
    let longest = 0;
    for (let i = 0; i < 20_000; i++) {
      for (let j = 0n; j < 12n; j++) memory.data(STACK + j * 32n, STACK + (j + 1n) * 32n, CODE + 0x20n);
      for (let j = 0; j < 2; j++) memory.data(STACK + BigInt(random.below(0x40) * 8), word());
      memory.reads = 0;
      const values = {
        x29: random.chance(0.3) ? STACK : word(),
        x30: word(),
        pc: word(),
        sp: word(),
        VBAR_EL1: word(),
        ELR_EL1: word(),
      };
      const found = await trace(values, { addressBits: 48 });
      longest = Math.max(longest, found.frames.length);
      expect(found.frames.length).toBeLessThanOrEqual(256);
      expect(memory.reads).toBeLessThanOrEqual(5 * found.frames.length + 5);
    }
    expect(longest).toBeGreaterThan(5);
  });
});
