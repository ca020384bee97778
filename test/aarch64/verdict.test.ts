/** What happens to accesses, by hand: Arm ARM DDI 0487, D8.4 (permissions, PAN), D8.5 (Access flag). */
import { describe, expect, it } from "vitest";
import { readRegime } from "../../src/aarch64/regime.ts";
import type { RegimeName } from "../../src/aarch64/regime-model.ts";
import { Translator } from "../../src/aarch64/translate.ts";
import { verdicts } from "../../src/aarch64/verdict.ts";
import { virt } from "../../src/base/address.ts";
import { FakeMemory } from "../support/fake-memory.ts";
import { registersFrom } from "../support/regimes.ts";

const M_C_I = 0x1005n;
const EPAN = 1n << 57n;
/** T0SZ = 39: 25 bits, one level-2 table of 16 entries. TTBR1 disabled, 48-bit addresses. */
const TCR = 39n | (1n << 23n) | (5n << 32n);
const HA = 1n << 39n;
const AF = 1n << 10n;
const AP_EL0 = 1n << 6n;
const READ_ONLY = 1n << 7n;
const PXN = 1n << 53n;
const UXN = 1n << 54n;
const EL1H = 5n;
const PAN = 1n << 22n;

/** `EL1 rwx`, `EL0 r--`: `a` in place of a letter is an Access flag fault, `p` PAN, `?` unknown. */
function letters(leaf: bigint, change: Record<string, bigint> = {}, name: RegimeName = "EL1&0"): string[] {
  const memory = new FakeMemory();
  memory.setWord(0x1000n, leaf | 0x4000_0001n);
  const registers = { cpsr: EL1H, SCTLR_EL1: M_C_I, TCR_EL1: TCR, MAIR_EL1: 0xffn, TTBR0_EL1: 0x1000n, ...change };
  const regime = readRegime(name, registersFrom(registers));
  const { result } = new Translator(regime, memory).translate(virt(0x123n));
  if (result.mapped !== true) throw new Error(`not mapped: ${result.why}`);
  return verdicts(result.attributes, regime).map(({ level, read, write, execute }) => {
    const letter = (verdict: string, name: string): string =>
      ({
        allowed: name,
        "permission fault": "-",
        "permission fault (PAN)": "p",
        "access flag fault": "a",
        "translation fault": "t",
        unknown: "?",
      })[verdict] as string;
    return `${level} ${letter(read, "r")}${letter(write, "w")}${letter(execute, "x")}`;
  });
}

describe("the verdicts of a leaf", () => {
  it.each<[string, bigint, string[]]>([
    ["of EL1 alone", AF, ["EL1 rwx", "EL0 --x"]],
    ["that is read-only", AF | READ_ONLY | UXN, ["EL1 r-x", "EL0 ---"]],
    ["that EL0 may write: EL1 does not execute it", AF | AP_EL0, ["EL1 rw-", "EL0 rwx"]],
    ["that EL0 may read", AF | AP_EL0 | READ_ONLY | PXN, ["EL1 r--", "EL0 r-x"]],
    ["without AF", AP_EL0, ["EL1 aaa", "EL0 aaa"]],
  ])("%s", (_, leaf, wanted) => {
    expect(letters(leaf)).toEqual(wanted);
  });

  it("without AF where hardware sets it are as if it were set", () => {
    expect(letters(0n, { TCR_EL1: TCR | HA })).toEqual(["EL1 rwx", "EL0 --x"]);
    expect(letters(0n, { TCR_EL1: TCR | HA, ID_AA64MMFR1_EL1: 0n })).toEqual(["EL1 aaa", "EL0 aaa"]);
  });

  it("that EL0 can reach are PAN's while PSTATE.PAN is 1, for data only, and at EL1 only", () => {
    expect(letters(AF | AP_EL0 | UXN, { cpsr: EL1H | PAN })).toEqual(["EL1 pp-", "EL0 rw-"]);
    expect(letters(AF | AP_EL0 | READ_ONLY, { cpsr: EL1H | PAN })).toEqual(["EL1 p-x", "EL0 r-x"]);
    expect(letters(AF | AP_EL0 | READ_ONLY, { cpsr: PAN })).toEqual(["EL1 r-x", "EL0 r-x"]);
    expect(letters(AF, { cpsr: EL1H | PAN })).toEqual(["EL1 rwx", "EL0 --x"]);
  });

  it("that EL0 can only execute are PAN's with SCTLR_EL1.EPAN", () => {
    expect(letters(AF, { cpsr: EL1H | PAN, SCTLR_EL1: M_C_I | EPAN })).toEqual(["EL1 ppx", "EL0 --x"]);
    expect(letters(AF | UXN, { cpsr: EL1H | PAN, SCTLR_EL1: M_C_I | EPAN })).toEqual(["EL1 rwx", "EL0 ---"]);
  });

  it("cannot be told where permissions are indirect and the stub offers neither PIR_EL1 nor PIRE0_EL1", () => {
    expect(letters(AF, { TCR2_EL1: 2n })).toEqual(["EL1 ???", "EL0 ???"]);
    // PIIndex 0: EL1 reads and executes (0b1010), EL0 has no access.
    expect(letters(AF, { TCR2_EL1: 2n, PIR_EL1: 0xan, PIRE0_EL1: 0n })).toEqual(["EL1 r-x", "EL0 ---"]);
    expect(letters(AF, { TCR2_EL1: 2n, PIRE0_EL1: 0n })).toEqual(["EL1 ???", "EL0 ---"]);
  });

  it("of EL0 are Translation faults in a half that TCR_EL1.E0PD0 denies it; PAN goes by the descriptor still", () => {
    const values = { TCR_EL1: TCR | (1n << 55n), cpsr: EL1H | PAN };
    expect(letters(AF | AP_EL0 | UXN, values)).toEqual(["EL1 pp-", "EL0 ttt"]);
    expect(letters(AF | AP_EL0 | UXN, { ...values, ID_AA64MMFR2_EL1: 0n })).toEqual(["EL1 pp-", "EL0 rw-"]);
  });

  it("cannot be told under PAN where EL0's permissions cannot", () => {
    const values = { TCR2_EL1: 2n, PIR_EL1: 0xcn, cpsr: EL1H | PAN };
    expect(letters(AF, values)).toEqual(["EL1 ??-", "EL0 ???"]);
  });

  it("cannot be told where the machine may have indirect permissions and the stub does not offer TCR2_EL1", () => {
    expect(letters(AF, { ID_AA64MMFR3_EL1: 0x101n })).toEqual(["EL1 ???", "EL0 ???"]);
    expect(letters(AF, { ID_AA64MMFR3_EL1: 0x101n, TCR2_EL1: 0n })).toEqual(["EL1 rwx", "EL0 --x"]);
    expect(letters(AF, { ID_AA64MMFR3_EL1: 0x001n })).toEqual(["EL1 rwx", "EL0 --x"]);
  });

  it("lose what an overlay takes away, and cannot be told where it is not offered", () => {
    const poe = { TCR2_EL1: 0b1100n };
    // POIndex 2 (bits 62:60): EL1 reads (0b0001), EL0 executes (0b0010).
    const overlays = { ...poe, POR_EL1: 0x100n, POR_EL0: 0x200n };
    expect(letters(AF | AP_EL0 | READ_ONLY | (2n << 60n), overlays)).toEqual(["EL1 r--", "EL0 --x"]);
    expect(letters(AF | AP_EL0 | READ_ONLY | (2n << 60n), poe)).toEqual(["EL1 ?-?", "EL0 ?-?"]);
  });

  it("of stage 2 alone are those of EL1 and EL0", () => {
    const memory = new FakeMemory();
    // S2AP read-only, XN = 0b01 (FEAT_XNX): not executable at EL1.
    memory.setWord(0x1000n, 0x4000_0001n | AF | (0b1111n << 2n) | (1n << 6n) | (1n << 53n));
    const values = { VTCR_EL2: 39n | (5n << 16n), VTTBR_EL2: 0x1000n, HCR_EL2: 1n, ID_AA64MMFR1_EL1: 1n << 28n };
    const regime = readRegime("stage2", registersFrom(values));
    const { result } = new Translator(regime, memory).translate(virt(0x123n));
    if (result.mapped !== true) throw new Error("not mapped");
    expect(verdicts(result.attributes, regime)).toEqual([
      { level: "EL1", read: "allowed", write: "permission fault", execute: "permission fault" },
      { level: "EL0", read: "allowed", write: "permission fault", execute: "allowed" },
    ]);
  });
});
