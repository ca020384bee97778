import { describe, expect, it, vi } from "vitest";
import { leafAttributes, leafKey } from "../../src/aarch64/descriptor.ts";
import {
  currentExceptionLevel,
  currentRegimeName,
  hostExtensions,
  liveRegimes,
  physicalAddressBits,
  type RegimeName,
  readRegime,
} from "../../src/aarch64/regime.ts";
import { el1Regime, registersFrom, tcrEl1 } from "../support/regimes.ts";

vi.setConfig({ testTimeout: 120_000 });

const AARCH32 = 1n << 4n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;
const VM = 1n;
const atEl = (el: number): bigint => BigInt(el) << 2n;

describe("the Exception level in cpsr", () => {
  it.each([0, 1, 2, 3])("is %i by bits 3:2", (el) => {
    expect(currentExceptionLevel(registersFrom({ cpsr: atEl(el) | 0x3c1n }))).toBe(el);
  });

  it("is not told in AArch32 state, nor without cpsr", () => {
    expect(currentExceptionLevel(registersFrom({ cpsr: AARCH32 | atEl(1) }))).toBeUndefined();
    expect(currentExceptionLevel(registersFrom({}))).toBeUndefined();
  });
});

describe("the current regime", () => {
  it.each<[number, bigint, RegimeName]>([
    [0, 0n, "EL1&0"],
    [1, 0n, "EL1&0"],
    [2, 0n, "EL2"],
    [3, 0n, "EL3"],
    [0, E2H, "EL1&0"],
    [0, TGE, "EL1&0"],
    [0, E2H | TGE, "EL2&0"],
    [1, E2H | TGE, "EL1&0"],
    [2, E2H, "EL2&0"],
    [2, TGE, "EL2"],
    [3, E2H | TGE, "EL3"],
  ])("at EL%i with HCR_EL2 = %s is %s", (el, hcr, name) => {
    expect(currentRegimeName(registersFrom({ cpsr: atEl(el), HCR_EL2: hcr }))).toBe(name);
  });

  it("is EL1&0 at EL0 and EL1 without HCR_EL2", () => {
    expect(currentRegimeName(registersFrom({ cpsr: atEl(1) }))).toBe("EL1&0");
    expect(hostExtensions(registersFrom({}))).toBe(false);
  });
});

describe("live regimes", () => {
  const names = (values: Readonly<Record<string, bigint>>): string[] =>
    liveRegimes(registersFrom(values)).map(({ name }) => name);

  it("are the current one, then those whose SCTLR has M set", () => {
    expect(names({ cpsr: atEl(1), SCTLR_EL1: 0n })).toEqual(["EL1&0"]);
    expect(names({ cpsr: atEl(1), SCTLR_EL1: 1n, SCTLR_EL2: 0n, SCTLR_EL3: 1n })).toEqual(["EL1&0", "EL3"]);
    expect(names({ cpsr: atEl(2), SCTLR_EL1: 1n, SCTLR_EL2: 0n })).toEqual(["EL2", "EL1&0"]);
  });

  it("include EL2&0 instead of EL2 with E2H", () => {
    expect(names({ cpsr: atEl(2), SCTLR_EL1: 0n, SCTLR_EL2: 1n, HCR_EL2: E2H })).toEqual(["EL2&0"]);
    expect(names({ cpsr: atEl(1), SCTLR_EL1: 1n, SCTLR_EL2: 1n, HCR_EL2: E2H })).toEqual(["EL1&0", "EL2&0"]);
  });

  it("include stage 2, with its root, when HCR_EL2.VM is 1 and the host is not alone", () => {
    const values = { cpsr: atEl(1), SCTLR_EL1: 1n, HCR_EL2: VM, VTTBR_EL2: 0x12_0000_4000_1001n };
    const regimes = liveRegimes(registersFrom(values));
    expect(regimes.map(({ name }) => name)).toEqual(["EL1&0", "stage2"]);
    expect(regimes[1]?.undecoded).toMatchObject([{ code: "regime-not-decoded", root: 0x4000_1000n }]);
    expect(names({ ...values, HCR_EL2: VM | E2H | TGE })).not.toContain("stage2");
    expect(names({ ...values, cpsr: atEl(3) })).not.toContain("stage2");
  });
});

describe("the root of TTBR0_EL1", () => {
  /** D8.2, 4 KiB granule: TxSZ, initial lookup level, entries of the initial table. */
  const SIZES = Array.from({ length: 24 }, (_, i) => i + 16).map((t0sz) => {
    const level = t0sz <= 24 ? 0 : t0sz <= 33 ? 1 : 2;
    const lastOfLevel = [24, 33, 42][level] as number;
    return [t0sz, level, 2 ** (lastOfLevel - t0sz + 1)] as const;
  });

  it.each(SIZES)("with T0SZ = %i is at level %i and aligned to its %i entries", (t0sz, level, entries) => {
    const ttbr = 0xabcd_0000_4000_0fffn;
    const [root] = el1Regime({ TTBR0_EL1: ttbr, TCR_EL1: tcrEl1({ t0sz }) }).roots;
    const alignment = Math.max(64, entries * 8);
    const table = 0x4000_0fffn & ~BigInt(alignment - 1);
    expect(root).toMatchObject({ startLevel: level, inputBits: 64 - t0sz, vaBase: 0n, table, register: "TTBR0_EL1" });
  });

  it("leaves out the ASID and CnP", () => {
    const [root] = el1Regime({ TTBR0_EL1: 0xffff_0000_4000_0001n }).roots;
    expect(root?.table).toBe(0x4000_0000n);
  });

  it.each([
    ["T0SZ below 16", tcrEl1({ t0sz: 15 }), "extension-not-decoded"],
    ["T0SZ above 48", tcrEl1({ t0sz: 49 }), "extension-not-decoded"],
    ["TG0 = 0b01 (64 KiB)", tcrEl1({ extra: 1n << 14n }), "granule-not-decoded"],
    ["TG0 = 0b10 (16 KiB)", tcrEl1({ extra: 2n << 14n }), "granule-not-decoded"],
    ["TG0 = 0b11 (reserved)", tcrEl1({ extra: 3n << 14n }), "granule-not-decoded"],
  ])("is not decoded with %s, but kept", (_, tcr, code) => {
    const { roots, undecoded } = el1Regime({ TTBR0_EL1: 0x4000_0000n, TCR_EL1: tcr });
    expect(roots).toEqual([]);
    expect(undecoded).toMatchObject([{ code, root: 0x4000_0000n, halves: ["lower"] }]);
  });

  it("is none with EPD0", () => {
    const { roots, undecoded } = el1Regime({ TCR_EL1: tcrEl1({ extra: 1n << 7n }) });
    expect({ roots, undecoded }).toEqual({ roots: [], undecoded: [] });
  });
});

describe("the root of TTBR1_EL1", () => {
  const values = { TTBR0_EL1: 0x1000n, TTBR1_EL1: 0x4000_0000n };

  it.each([16, 25, 39])("with T1SZ = %i covers the top of the address space", (t1sz) => {
    const [, root] = el1Regime({ ...values, TCR_EL1: tcrEl1({ t1sz }) }).roots;
    expect(root).toMatchObject({
      register: "TTBR1_EL1",
      inputBits: 64 - t1sz,
      vaBase: 2n ** 64n - 2n ** BigInt(64 - t1sz),
    });
  });

  it.each([
    [0b00, "reserved"],
    [0b01, "16 KiB"],
    [0b11, "64 KiB"],
  ])("with TG1 = %i is not decoded (%s), while TTBR0 is", (tg1, granule) => {
    const tcr = (tcrEl1({ t1sz: 16 }) & ~(0b11n << 30n)) | (BigInt(tg1) << 30n);
    const { roots, undecoded } = el1Regime({ ...values, TCR_EL1: tcr });
    expect(roots.map(({ register }) => register)).toEqual(["TTBR0_EL1"]);
    expect(undecoded).toMatchObject([{ code: "granule-not-decoded", root: 0x4000_0000n, halves: ["upper"] }]);
    expect(undecoded[0]?.why).toContain(granule);
  });

  it("takes HPD1, while TTBR0 takes HPD0", () => {
    const hierarchical = (position: bigint): boolean[] =>
      el1Regime({ ...values, TCR_EL1: tcrEl1({ t1sz: 16, extra: 1n << position }) }).roots.map(
        (root) => root.hierarchical,
      );
    expect(hierarchical(41n)).toEqual([false, true]);
    expect(hierarchical(42n)).toEqual([true, false]);
  });

  it("is reported when the stub does not offer TTBR1_EL1", () => {
    const registers = registersFrom({ SCTLR_EL1: 1n, TCR_EL1: tcrEl1({ t1sz: 16 }), MAIR_EL1: 0n, TTBR0_EL1: 0n });
    const { roots, undecoded } = readRegime("EL1&0", registers);
    expect(roots).toHaveLength(1);
    expect(undecoded).toMatchObject([{ code: "register-missing", halves: ["upper"] }]);
  });
});

describe("TCR_EL2", () => {
  const values = { SCTLR_EL2: 1n, MAIR_EL2: 0xffn, TTBR0_EL2: 0x4000_0000n, TTBR1_EL2: 0x5000_0000n };

  it("has one range, HPD at 24 and PS at 18:16 in the EL2 regime", () => {
    const tcr = 25n | (1n << 24n) | (0b010n << 16n);
    const regime = readRegime("EL2", registersFrom({ ...values, TCR_EL2: tcr }));
    expect(regime).toMatchObject({ hasEl0: false, outputBits: 40, exceptionLevel: 2 });
    expect(regime.roots).toMatchObject([{ register: "TTBR0_EL2", startLevel: 1, hierarchical: false }]);
  });

  it("has the layout of TCR_EL1 in the EL2&0 regime", () => {
    const tcr = tcrEl1({ t0sz: 25, t1sz: 25, extra: 1n << 24n });
    const regime = readRegime("EL2&0", registersFrom({ ...values, TCR_EL2: tcr }));
    expect(regime).toMatchObject({ hasEl0: true, outputBits: 48, exceptionLevel: 2 });
    expect(regime.roots.map(({ register }) => register)).toEqual(["TTBR0_EL2", "TTBR1_EL2"]);
    expect(regime.roots.map(({ hierarchical }) => hierarchical)).toEqual([true, true]);
  });
});

describe("what is not decoded is refused as a whole, with its roots kept", () => {
  const values = { TTBR0_EL1: 0x4000_0000n, TTBR1_EL1: 0x5000_0000n, TCR_EL1: tcrEl1({ t1sz: 16 }) };

  it.each([
    ["big-endian tables", { SCTLR_EL1: 1n | (1n << 25n) }, "extension-not-decoded"],
    ["PnCH", { TCR2_EL1: 1n << 0n }, "extension-not-decoded"],
    ["PIE", { TCR2_EL1: 1n << 1n }, "extension-not-decoded"],
    ["E0POE", { TCR2_EL1: 1n << 2n }, "extension-not-decoded"],
    ["POE", { TCR2_EL1: 1n << 3n }, "extension-not-decoded"],
    ["AIE", { TCR2_EL1: 1n << 4n }, "extension-not-decoded"],
    ["D128", { TCR2_EL1: 1n << 5n }, "extension-not-decoded"],
  ])("%s", (_, change, code) => {
    const { roots, undecoded } = el1Regime({ ...values, ...change });
    expect(roots).toEqual([]);
    expect(undecoded.map((each) => each.root)).toEqual([0x4000_0000n, 0x5000_0000n]);
    for (const each of undecoded) expect(each).toMatchObject({ code, halves: ["lower", "upper"] });
  });

  it("stage 2, behind which roots are intermediate physical addresses and none is kept", () => {
    const { roots, undecoded } = el1Regime({ ...values, HCR_EL2: VM, cpsr: atEl(1) });
    expect(roots).toEqual([]);
    expect(undecoded).toMatchObject([{ code: "regime-not-decoded", root: undefined, halves: ["lower", "upper"] }]);
  });

  it("LPA2, which DS says in both layouts", () => {
    const el1 = el1Regime({ ...values, TCR_EL1: tcrEl1({ extra: 1n << 59n }) });
    const el2Values = { SCTLR_EL2: 1n, MAIR_EL2: 0n, TTBR0_EL2: 0x4000_0000n, TCR_EL2: 16n | (1n << 32n) };
    const el2 = readRegime("EL2", registersFrom(el2Values));
    for (const { roots, undecoded } of [el1, el2]) {
      expect(roots).toEqual([]);
      expect(undecoded[0]).toMatchObject({ code: "extension-not-decoded", root: 0x4000_0000n });
    }
  });

  it("a regime whose SCTLR, TCR or MAIR the stub does not offer", () => {
    const { roots, undecoded } = readRegime("EL1&0", registersFrom({ SCTLR_EL1: 1n }));
    expect(roots).toEqual([]);
    expect(undecoded).toMatchObject([{ code: "register-missing", root: undefined, halves: ["lower", "upper"] }]);
    expect(undecoded[0]?.why).toContain("TCR_EL1, MAIR_EL1");
  });

  it("nothing of it while translation is off", () => {
    const { enabled, roots, undecoded } = el1Regime({ ...values, SCTLR_EL1: 0n, TCR2_EL1: 0x3fn });
    expect({ enabled, roots, undecoded }).toEqual({ enabled: false, roots: [], undecoded: [] });
  });
});

describe("the width of output addresses", () => {
  it.each([
    [0, 32],
    [1, 36],
    [2, 40],
    [3, 42],
    [4, 44],
    [5, 48],
    [6, 48],
    [7, 48],
  ])("with TCR.IPS = %i is %i bits", (ips, width) => {
    const tcr = 16n | (1n << 23n) | (BigInt(ips) << 32n);
    expect(el1Regime({ TCR_EL1: tcr, ID_AA64MMFR0_EL1: 6n }).outputBits).toBe(width);
  });

  it("is no more than the machine implements", () => {
    expect(el1Regime({ ID_AA64MMFR0_EL1: 0b0010n }).outputBits).toBe(40);
    expect(physicalAddressBits(registersFrom({}))).toBe(48);
  });

  it("is what the machine implements with translation off, whatever TCR says", () => {
    const off = { SCTLR_EL1: 0n, TCR_EL1: 0n };
    expect(el1Regime({ ...off, ID_AA64MMFR0_EL1: 0b0100n }).outputBits).toBe(44);
    expect(el1Regime({ ...off, ID_AA64MMFR0_EL1: 0b0110n }).outputBits).toBe(52);
  });
});

describe("a read-only leaf with DBM", () => {
  const AP2 = 1 << 7;
  const DBM = 1 << (51 - 32);
  const writable = (values: Readonly<Record<string, bigint>>, high = DBM, inherited = 0): boolean =>
    leafAttributes(leafKey(AP2 | 0x403, high, inherited, 3), el1Regime(values)).write;
  const HA = 1n << 39n;
  const HD = 1n << 40n;

  it("is writable when hardware manages dirty state", () => {
    expect(writable({ TCR_EL1: tcrEl1({ extra: HA | HD }) })).toBe(true);
    expect(writable({ TCR_EL1: tcrEl1({ extra: HA | HD }), ID_AA64MMFR1_EL1: 2n })).toBe(true);
  });

  it("is read-only without TCR.HA, TCR.HD, FEAT_HAFDBS or DBM", () => {
    expect(writable({ TCR_EL1: tcrEl1({ extra: HD }) })).toBe(false);
    expect(writable({ TCR_EL1: tcrEl1({ extra: HA }) })).toBe(false);
    expect(writable({ TCR_EL1: tcrEl1({ extra: HA | HD }), ID_AA64MMFR1_EL1: 1n })).toBe(false);
    expect(writable({ TCR_EL1: tcrEl1({ extra: HA | HD }) }, 0)).toBe(false);
  });

  it("is read-only below a table that forbids writing", () => {
    expect(writable({ TCR_EL1: tcrEl1({ extra: HA | HD }) }, DBM, 0b1000)).toBe(false);
  });
});

describe("attributes of a leaf", () => {
  it("have equal keys exactly where they are equal", () => {
    const byKey = new Map<string, string>();
    const keys = new Set<string>();
    let unequal = 0;
    for (const regime of [el1Regime({ MAIR_EL1: 0x44_0400ffn }), el1Regime({ SCTLR_EL1: 0x8_0001n })]) {
      for (let raw = 0; raw < 1 << 15; raw++) {
        const { key, ...attributes } = leafAttributes(raw | (2 << 19), regime);
        const text = JSON.stringify(attributes);
        if ((byKey.get(key) ?? text) !== text) unequal++;
        byKey.set(key, text);
        keys.add(text);
      }
    }
    expect(unequal).toBe(0);
    expect(byKey.size).toBe(keys.size);
    expect(keys.size).toBeGreaterThan(500);
  });
});
