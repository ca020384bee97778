import { describe, expect, it, vi } from "vitest";
import { type Attributes, leafAttributes } from "../../src/aarch64/attributes.ts";
import { leafKey } from "../../src/aarch64/descriptor.ts";
import { currentExceptionLevel, hostExtensions } from "../../src/aarch64/machine-state.ts";
import { currentRegimeName, liveRegimes, readRegime } from "../../src/aarch64/regime.ts";
import type { Regime, RegimeName } from "../../src/aarch64/regime-model.ts";
import { el1Regime, registersFrom, tcrEl1 } from "../support/regimes.ts";

vi.setConfig({ testTimeout: 120_000 });

const AARCH32 = 1n << 4n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;
const VM = 1n;
/** TCR_EL1.DS */
const DS = 1n << 59n;
/** ID_AA64MMFR0_EL1: TGran4 = 1, TGran16 = 2, PARange = 6. */
const LPA2_EVERYWHERE = 0x1020_0006n;
/** The attributes of a page at level 3 below TTBR0. */
function leafOf(regime: Regime, low: number, high: number, inherited: number): Attributes {
  const [root] = regime.roots;
  if (root === undefined) throw new Error("the regime has no root");
  return leafAttributes(leafKey(low, high, inherited, 3, root.format), root, regime);
}

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
    const el2 = { SCTLR_EL2: 0n, HCR_EL2: 0n };
    expect(names({ cpsr: atEl(1), SCTLR_EL1: 1n, ...el2, SCTLR_EL3: 1n })).toEqual(["EL1&0", "EL3"]);
    expect(names({ cpsr: atEl(2), SCTLR_EL1: 1n, ...el2 })).toEqual(["EL2", "EL1&0"]);
  });

  it("include EL2&0 instead of EL2 with E2H", () => {
    expect(names({ cpsr: atEl(2), SCTLR_EL1: 0n, SCTLR_EL2: 1n, HCR_EL2: E2H })).toEqual(["EL2&0"]);
    expect(names({ cpsr: atEl(1), SCTLR_EL1: 1n, SCTLR_EL2: 1n, HCR_EL2: E2H })).toEqual(["EL1&0", "EL2&0"]);
  });

  it("include stage 2, with its root, when HCR_EL2.VM is 1 and the host is not alone", () => {
    const values = {
      cpsr: atEl(1),
      SCTLR_EL1: 1n,
      HCR_EL2: VM,
      VTTBR_EL2: 0x12_0000_4000_1001n,
      VTCR_EL2: 25n | (1n << 6n),
    };
    const regimes = liveRegimes(registersFrom(values));
    expect(regimes.map(({ name }) => name)).toEqual(["EL1&0", "stage2"]);
    expect(regimes[1]?.roots).toMatchObject([{ register: "VTTBR_EL2", table: 0x4000_1000n, startLevel: 1 }]);
    expect(regimes[0]?.behind?.roots).toEqual(regimes[1]?.roots);
    expect(names({ ...values, HCR_EL2: VM | E2H | TGE })).not.toContain("stage2");
  });

  it("include stage 2 where EL2 is enabled in the Security state: SCR_EL3.NS or SCR_EL3.EEL2", () => {
    const values = { cpsr: atEl(3), SCTLR_EL1: 1n, HCR_EL2: VM };
    expect(names({ ...values, SCR_EL3: 0n })).not.toContain("stage2");
    expect(names({ ...values, SCR_EL3: 1n })).toContain("stage2");
    expect(names({ ...values, SCR_EL3: 1n << 18n })).toContain("stage2");
  });

  it("leave out EL1&0 while EL2's host runs alone: its registers are a guest's", () => {
    const host = { cpsr: atEl(2), SCTLR_EL1: 1n, SCTLR_EL2: 1n };
    expect(names({ ...host, HCR_EL2: E2H | TGE })).toEqual(["EL2&0"]);
    expect(names({ ...host, HCR_EL2: E2H })).toEqual(["EL2&0", "EL1&0"]);
  });

  it("are unknown below EL3 where EL2 is there but HCR_EL2 cannot be read", () => {
    const regimes = liveRegimes(
      registersFrom({ cpsr: atEl(1), SCTLR_EL1: 1n, TCR_EL1: 16n, MAIR_EL1: 0n, VTTBR_EL2: 0n }),
    );
    expect(regimes.map(({ name, roots }) => [name, roots.length])).toEqual([["EL1&0", 0]]);
    expect(regimes[0]?.undecoded[0]).toMatchObject({
      code: "register-missing",
      why: expect.stringContaining("HCR_EL2"),
    });
  });

  it("include a Secure stage 2 that is not decoded: VSTTBR_EL2 has its tables", () => {
    const values = { cpsr: atEl(1), SCTLR_EL1: 1n, HCR_EL2: VM, VTTBR_EL2: 0n, VTCR_EL2: 25n | (1n << 6n) };
    const [first, stage2] = liveRegimes(registersFrom({ ...values, SCR_EL3: 1n << 18n }));
    expect(stage2).toMatchObject({ name: "stage2", roots: [], undecoded: [{ code: "extension-not-decoded" }] });
    expect(first?.behind?.undecoded).toHaveLength(1);
  });

  it("leave out EL1&0 where HCR_EL2.TGE turns its stage 1 off", () => {
    expect(names({ cpsr: atEl(2), SCTLR_EL1: 1n, SCTLR_EL2: 1n, HCR_EL2: TGE })).toEqual(["EL2"]);
  });
});

describe("a stub that shows EL2's registers under the names of EL1's", () => {
  const shared = { SCTLR: 5n, TCR: tcrEl1(), TTBR0: 0x4000_0000n, TTBR1: 0x5000_0000n, MAIR: 0xffn, VBAR: 0x800n };
  const both = Object.fromEntries(
    Object.entries(shared).flatMap(([k, v]) => [
      [`${k}_EL1`, v],
      [`${k}_EL2`, v],
    ]),
  );
  const values = { ...both, cpsr: atEl(2), HCR_EL2: E2H };

  it("leaves EL1&0 unknown, and says that it is hidden", () => {
    const { roots, undecoded } = readRegime("EL1&0", registersFrom(values));
    expect(roots).toEqual([]);
    expect(undecoded[0]).toMatchObject({ code: "register-hidden", halves: ["lower", "upper"] });
    expect(liveRegimes(registersFrom(values)).map(({ name }) => name)).toEqual(["EL2&0", "EL1&0"]);
  });

  it("leaves EL1&0 out while the host runs alone", () => {
    const alone = { ...values, HCR_EL2: E2H | TGE };
    expect(liveRegimes(registersFrom(alone)).map(({ name }) => name)).toEqual(["EL2&0"]);
  });

  it.each([
    ["one of them differs", { VBAR_EL1: 0n }],
    ["the vCPU is at EL1", { cpsr: atEl(1) }],
    ["E2H is 0", { HCR_EL2: 0n }],
  ])("is none when %s", (_, change) => {
    const { undecoded } = readRegime("EL1&0", registersFrom({ ...values, ...change }));
    expect(undecoded.map(({ code }) => code)).not.toContain("register-hidden");
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
    const table = 0x4000_0fffn & ~BigInt(entries * 8 - 1);
    expect(root).toMatchObject({ startLevel: level, inputBits: 64 - t0sz, vaBase: 0n, table, register: "TTBR0_EL1" });
  });

  it("leaves out the ASID and CnP", () => {
    const [root] = el1Regime({ TTBR0_EL1: 0xffff_0000_4000_0001n }).roots;
    expect(root?.table).toBe(0x4000_0000n);
  });

  it.each([
    ["T0SZ below 16", tcrEl1({ t0sz: 15 })],
    ["T0SZ above 48", tcrEl1({ t0sz: 49 })],
    ["TG0 = 0b11 (reserved)", tcrEl1({ extra: 3n << 14n })],
  ])("is constrained unpredictable with %s, and its root page kept", (_, tcr) => {
    const { roots, undecoded } = el1Regime({ TTBR0_EL1: 0x4000_0000n, TCR_EL1: tcr });
    expect(roots).toEqual([]);
    expect(undecoded).toMatchObject([{ code: "constrained-unpredictable", root: 0x4000_0000n, halves: ["lower"] }]);
  });

  it.each([
    ["T0SZ above 39 without FEAT_TTST", { TCR_EL1: tcrEl1({ t0sz: 40 }), ID_AA64MMFR2_EL1: 0n }],
    ["4 KiB granules where they are not implemented", { ID_AA64MMFR0_EL1: 0xf000_0005n }],
    ["16 KiB granules where they are not implemented", { TCR_EL1: tcrEl1({ extra: 2n << 14n }), ID_AA64MMFR0_EL1: 5n }],
    ["DS and T0SZ of 12 without FEAT_LPA2", { TCR_EL1: tcrEl1({ t0sz: 12, extra: DS }), ID_AA64MMFR0_EL1: 6n }],
  ])("is constrained unpredictable with %s", (_, values) => {
    const { roots, undecoded } = el1Regime(values);
    expect(roots).toEqual([]);
    expect(undecoded).toMatchObject([{ code: "constrained-unpredictable" }]);
  });

  /** D8.2: granule, T0SZ, initial lookup level, entries of the initial table. */
  it.each([
    ["16 KiB", 2n << 14n, 16, 0, 2],
    ["16 KiB", 2n << 14n, 17, 1, 2048],
    ["16 KiB", 2n << 14n, 28, 2, 2048],
    ["16 KiB", 2n << 14n, 39, 3, 2048],
    ["64 KiB", 1n << 14n, 12, 1, 1024],
    ["64 KiB", 1n << 14n, 16, 1, 64],
    ["64 KiB", 1n << 14n, 22, 2, 8192],
    ["64 KiB", 1n << 14n, 35, 3, 8192],
    ["4 KiB with DS", DS, 12, -1, 16],
    ["4 KiB with DS", DS, 16, 0, 512],
    ["16 KiB with DS", DS | (2n << 14n), 12, 0, 32],
  ])(
    "of the %s granule (%i) with T0SZ = %i starts at level %i with %i entries",
    (_, extra, t0sz, startLevel, entries) => {
      const [root] = el1Regime({ TTBR0_EL1: 0x4000_0000n, TCR_EL1: tcrEl1({ t0sz, extra }) }).roots;
      expect(root).toMatchObject({ startLevel, entries, table: 0x4000_0000n, inputBits: 64 - t0sz });
    },
  );

  it("has bits 51:48 at TTBR0_EL1<5:2> with DS, and with 64 KiB granules and 52-bit addresses", () => {
    const ttbr = 0x4000_0000n | (0b1010n << 2n);
    const table = (extra: bigint): bigint | undefined => {
      const tcr = (tcrEl1({ extra }) & ~(7n << 32n)) | (6n << 32n);
      return el1Regime({ TTBR0_EL1: ttbr, TCR_EL1: tcr }).roots[0]?.table;
    };
    expect(table(DS)).toBe(0xa_0000_4000_0000n);
    expect(table(1n << 14n)).toBe(0xa_0000_4000_0000n);
    expect(table(0n)).toBe(0x4000_0000n);
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
    [0b01, 14],
    [0b10, 12],
    [0b11, 16],
  ])("has with TG1 = %i granules of 2^%i bytes", (tg1, granuleBits) => {
    const tcr = (tcrEl1({ t1sz: 16 }) & ~(0b11n << 30n)) | (BigInt(tg1) << 30n);
    const { roots } = el1Regime({ ...values, TCR_EL1: tcr });
    expect(roots.map(({ format }) => format.granuleBits)).toEqual([12, granuleBits]);
  });

  it("is unknown with TG1 = 0 (reserved), while TTBR0 is decoded", () => {
    const { roots, undecoded } = el1Regime({ ...values, TCR_EL1: tcrEl1({ t1sz: 16 }) & ~(0b11n << 30n) });
    expect(roots.map(({ register }) => register)).toEqual(["TTBR0_EL1"]);
    expect(undecoded).toMatchObject([{ code: "constrained-unpredictable", root: 0x4000_0000n, halves: ["upper"] }]);
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
    const regime = readRegime("EL2", registersFrom({ ...values, TCR_EL2: tcr, HCR_EL2: 0n }));
    expect(regime).toMatchObject({ hasEl0: false, exceptionLevel: 2 });
    const root = { register: "TTBR0_EL2", startLevel: 1, hierarchical: false, outputBits: 40 };
    expect(regime.roots).toMatchObject([root]);
  });

  it("has the layout of TCR_EL1 in the EL2&0 regime", () => {
    const tcr = tcrEl1({ t0sz: 25, t1sz: 25, extra: 1n << 24n });
    const regime = readRegime("EL2&0", registersFrom({ ...values, TCR_EL2: tcr, HCR_EL2: E2H }));
    expect(regime).toMatchObject({ hasEl0: true, exceptionLevel: 2 });
    expect(regime.roots.map(({ outputBits }) => outputBits)).toEqual([48, 48]);
    expect(regime.roots.map(({ register }) => register)).toEqual(["TTBR0_EL2", "TTBR1_EL2"]);
    expect(regime.roots.map(({ hierarchical }) => hierarchical)).toEqual([true, true]);
  });
});

describe("what is not decoded is refused as a whole, with its roots kept", () => {
  const values = { TTBR0_EL1: 0x4000_0000n, TTBR1_EL1: 0x5000_0000n, TCR_EL1: tcrEl1({ t1sz: 16 }) };

  it.each([
    ["D128", { TCR2_EL1: 1n << 5n }, "extension-not-decoded"],
    ["NV and NV1", { HCR_EL2: 0b11n << 42n }, "extension-not-decoded"],
    ["AArch32 state", { cpsr: AARCH32 | 3n }, "regime-not-decoded"],
    ["HCR_EL2.RW = 0 at EL2", { cpsr: atEl(2), HCR_EL2: 0n }, "regime-not-decoded"],
  ])("%s", (_, change, code) => {
    const { roots, undecoded } = el1Regime({ ...values, ...change });
    expect(roots).toEqual([]);
    expect(undecoded.map((each) => each.root)).toEqual([0x4000_0000n, 0x5000_0000n]);
    for (const each of undecoded) expect(each).toMatchObject({ code, halves: ["lower", "upper"] });
  });

  it("EL2 with E2H, and EL2&0 without", () => {
    const registers = { SCTLR_EL2: 1n, TCR_EL2: 16n, MAIR_EL2: 0n, TTBR0_EL2: 0x4000_0000n };
    const code = [{ code: "regime-not-decoded" }];
    expect(readRegime("EL2", registersFrom({ ...registers, HCR_EL2: E2H })).undecoded).toMatchObject(code);
    expect(readRegime("EL2&0", registersFrom({ ...registers, HCR_EL2: 0n })).undecoded).toMatchObject(code);
  });

  it("not TCR2_EL1 where HCRX_EL2.TCR2En says that it counts as 0", () => {
    const off = { ...values, TCR2_EL1: 1n << 5n, HCR_EL2: 0n, cpsr: atEl(1), HCRX_EL2: 0n };
    expect(el1Regime(off).undecoded).toEqual([]);
    expect(el1Regime({ ...off, HCRX_EL2: 1n << 14n }).undecoded).toHaveLength(2);
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
  const width = (ips: number, extra: bigint, more: Record<string, bigint> = { ID_AA64MMFR0_EL1: LPA2_EVERYWHERE }) =>
    el1Regime({ TCR_EL1: 16n | (1n << 23n) | (BigInt(ips) << 32n) | extra, ...more }).roots[0]?.outputBits;

  it.each([
    [0, 32, 32, 32],
    [1, 36, 36, 36],
    [2, 40, 40, 40],
    [3, 42, 42, 42],
    [4, 44, 44, 44],
    [5, 48, 48, 48],
    [6, 48, 52, 52],
    [7, 48, 52, 52],
  ])("with TCR.IPS = %i is %i bits, %i with DS, %i with 64 KiB granules", (ips, plain, ds, large) => {
    expect([width(ips, 0n), width(ips, DS), width(ips, 1n << 14n)]).toEqual([plain, ds, large]);
  });

  it("is no more than the machine implements", () => {
    expect(width(5, 0n, { ID_AA64MMFR0_EL1: 0b0010n })).toBe(40);
    expect(readRegime("EL1&0", registersFrom({})).physicalBits).toBe(48);
  });

  it("is what the machine implements with translation off, whatever TCR says", () => {
    const off = { SCTLR_EL1: 0n, TCR_EL1: 0n };
    expect(el1Regime({ ...off, ID_AA64MMFR0_EL1: 0b0100n }).physicalBits).toBe(44);
    expect(el1Regime({ ...off, ID_AA64MMFR0_EL1: 0b0110n }).physicalBits).toBe(52);
  });
});

describe("a read-only leaf with DBM", () => {
  const AP2 = 1 << 7;
  const DBM = 1 << (51 - 32);
  const writable = (values: Readonly<Record<string, bigint>>, high = DBM, inherited = 0): boolean | null =>
    leafOf(el1Regime(values), AP2 | 0x403, high, inherited).write;
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
      const [root] = regime.roots;
      if (root === undefined) throw new Error("no root");
      for (let raw = 0; raw < 1 << 15; raw++) {
        const { key, ...attributes } = leafAttributes(raw | (3 << 23), root, regime);
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
