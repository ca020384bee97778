/** Whose tables and permissions a call chain goes by: those of the code, not of the vector that it stopped at. */
import { describe, expect, it } from "vitest";
import { liveRegimes } from "../../src/aarch64/regime.ts";
import { callChain, codeRegime } from "../../src/code/index.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { registersFrom, tcrEl1 } from "../support/regimes.ts";

const VBAR = 0x9000n;
const EL1H = 5n;
const EL2H = 9n;
const el1 = { SCTLR_EL1: 0x1005n, TCR_EL1: tcrEl1({ t0sz: 39 }), MAIR_EL1: 0xffn, TTBR0_EL1: 0x1000n, TTBR1_EL1: 0n };
const el2 = { SCTLR_EL2: 0n, TCR_EL2: 0n, MAIR_EL2: 0n, TTBR0_EL2: 0n, HCR_EL2: 1n << 31n };
const frame = { x29: 0n, x30: 0x20_0104n, sp: 0n, SP_EL0: 0n, SP_EL1: 0n };

function regimeName(values: Record<string, bigint>): string | undefined {
  const registers = registersFrom({ ...el1, ...el2, ...frame, ...values });
  return codeRegime(registers, liveRegimes(registers))?.name;
}

describe("the regime of a call chain", () => {
  it("is that of the code, also where the exception went to a higher level", () => {
    const atEl2 = { cpsr: EL2H, VBAR_EL2: VBAR, pc: VBAR + 0x400n, ELR_EL2: 0x1000n };
    expect(regimeName({ ...atEl2, SPSR_EL2: EL1H })).toBe("EL1&0");
    expect(regimeName({ ...atEl2, SPSR_EL2: 0n })).toBe("EL1&0");
    expect(regimeName({ ...atEl2, pc: VBAR + 0x200n, SPSR_EL2: EL2H })).toBe("EL2");
    expect(regimeName({ cpsr: EL2H, VBAR_EL2: VBAR, pc: 0x1000n })).toBe("EL2");
  });

  it("is unknown where a lower level was left and SPSR_ELx could not be read", () => {
    expect(regimeName({ cpsr: EL2H, VBAR_EL2: VBAR, pc: VBAR + 0x400n, ELR_EL2: 0x1000n })).toBeUndefined();
  });
});

describe("whether code can run", () => {
  /** A block at VA 0x20_0000 that only EL1 executes (UXN), stopped at the vector for `spsr`. */
  async function doubts(spsr: bigint, vector: bigint): Promise<readonly string[]> {
    const memory = new FakeMemory();
    const UXN = 1n << 54n;
    memory.setWord(0x1008n, 0x20_0000n | UXN | 0x441n | (1n << 7n));
    memory.bytes(0x20_0000n);
    const values = { ...el1, ...frame, cpsr: EL1H, VBAR_EL1: VBAR, pc: VBAR + vector, ELR_EL1: 0x20_0000n };
    const registers = registersFrom({ ...values, SPSR_EL1: spsr });
    const regime = codeRegime(registers, liveRegimes(registers));
    if (regime === undefined) throw new Error("no regime");
    const { backtrace } = await callChain(registers, regime, memory, memory);
    return backtrace.frames[0]?.doubts ?? [];
  }

  it("goes by the permissions of the level that the code was at", async () => {
    expect(await doubts(EL1H, 0x200n)).toEqual([]);
    expect(await doubts(0n, 0x400n)).toEqual(["no code can run at 0x200000"]);
  });
});
