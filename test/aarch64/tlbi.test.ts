import { describe, expect, it } from "vitest";
import { allSystemEncodings, encodingNamed, encodingOf, isMaintenance } from "../../src/aarch64/registers/index.ts";
import { type TlbiScope, type TlbiState, tlbiScope } from "../../src/aarch64/tlbi.ts";
import { Random } from "../support/random.ts";

const TLBIS: readonly string[] = allSystemEncodings()
  .map(([, name]) => name)
  .filter((name) => name.startsWith("TLBI "));

/** Those that are not decoded, and why. */
const UNKNOWN: readonly (readonly [names: RegExp, why: string])[] = [
  [
    /^TLBI (?:PAALL|PAALLOS|RPAOS|RPALOS)$/,
    "of the granule protection table (FEAT_RME): of physical addresses, of no regime",
  ],
  [/^TLBI VMALLWS2E1/, "only what hardware made writable (FEAT_TLBIW): not a whole translation"],
];

const EL1: TlbiState = { level: 1, e2h: false, tge: false };
const EL2: TlbiState = { level: 2, e2h: false, tge: false };
const HOST: TlbiState = { level: 2, e2h: true, tge: true };
const HOST_OF_GUESTS: TlbiState = { level: 2, e2h: true, tge: false };
const EL3: TlbiState = { level: 3, e2h: false, tge: false };

function scope(name: string, value: bigint, state: TlbiState): TlbiScope | undefined {
  const encoding = encodingNamed(`TLBI ${name}`);
  if (encoding === undefined) throw new Error(`no TLBI ${name}`);
  return tlbiScope(encoding, value, state);
}

/** What is in a scope unless a case says otherwise. */
const WHOLE = {
  asid: undefined,
  va: undefined,
  size: undefined,
  granuleBits: undefined,
  lastLevel: false,
  level: undefined,
  broadcast: "none",
} as const;

describe("a TLBI covers", () => {
  it.each<[string, bigint, TlbiState, TlbiScope]>([
    ["VMALLE1", 0n, EL1, { ...WHOLE, regimes: ["EL1&0"], kind: "all" }],
    ["VMALLE1IS", 0n, HOST, { ...WHOLE, regimes: ["EL2&0"], kind: "all", broadcast: "inner" }],
    ["VMALLE1OS", 0n, HOST_OF_GUESTS, { ...WHOLE, regimes: ["EL1&0"], kind: "all", broadcast: "outer" }],
    ["VMALLE1", 0n, EL3, { ...WHOLE, regimes: ["EL1&0"], kind: "all" }],
    ["VMALLS12E1IS", 0n, HOST, { ...WHOLE, regimes: ["EL1&0", "stage2"], kind: "all", broadcast: "inner" }],
    ["ALLE1", 0n, EL2, { ...WHOLE, regimes: ["EL1&0", "stage2"], kind: "all" }],
    ["ALLE2", 0n, EL2, { ...WHOLE, regimes: ["EL2"], kind: "all" }],
    ["ALLE2IS", 0n, HOST, { ...WHOLE, regimes: ["EL2&0"], kind: "all", broadcast: "inner" }],
    ["ALLE3", 0n, EL3, { ...WHOLE, regimes: ["EL3"], kind: "all" }],
    [
      "ASIDE1IS",
      0x1234_0000_0000_0000n,
      EL1,
      { ...WHOLE, regimes: ["EL1&0"], kind: "asid", asid: 0x1234, broadcast: "inner" },
    ],
    // 0xffff800012345000 of ASID 5
    [
      "VAE1",
      0x0005_0ff8_0001_2345n,
      EL1,
      { ...WHOLE, regimes: ["EL1&0"], kind: "va", asid: 5, va: 0xffff_8000_1234_5000n },
    ],
    [
      "VALE1NXS",
      0x0005_0000_0001_2345n,
      EL1,
      { ...WHOLE, regimes: ["EL1&0"], kind: "va", asid: 5, va: 0x1234_5000n, lastLevel: true },
    ],
    [
      "VAAE1IS",
      0x0005_0000_0001_2345n,
      EL1,
      { ...WHOLE, regimes: ["EL1&0"], kind: "va", va: 0x1234_5000n, broadcast: "inner" },
    ],
    [
      "VAALE1OS",
      0x0005_0000_0001_2345n,
      HOST,
      { ...WHOLE, regimes: ["EL2&0"], kind: "va", va: 0x1234_5000n, lastLevel: true, broadcast: "outer" },
    ],
    ["VAE2", 0x0005_0000_0001_2345n, EL2, { ...WHOLE, regimes: ["EL2"], kind: "va", va: 0x1234_5000n }],
    [
      "VAE2",
      0x0005_0000_0001_2345n,
      HOST_OF_GUESTS,
      { ...WHOLE, regimes: ["EL2&0"], kind: "va", asid: 5, va: 0x1234_5000n },
    ],
    [
      "VALE3IS",
      0x0005_0000_0001_2345n,
      EL3,
      { ...WHOLE, regimes: ["EL3"], kind: "va", va: 0x1234_5000n, lastLevel: true, broadcast: "inner" },
    ],
    [
      "IPAS2LE1IS",
      0x8000_0008_0001_2345n,
      EL2,
      { ...WHOLE, regimes: ["stage2"], kind: "ipa", va: 0x8000_1234_5000n, lastLevel: true, broadcast: "inner" },
    ],
    // 4 KiB: (3 + 1) * 2^(5 * 1 + 1) pages = 1 MiB from 0xffff800012300000 on.
    [
      "RVAE1IS",
      0x0007_5198_0001_2300n | 0x18_0000_0000n,
      EL1,
      {
        ...WHOLE,
        regimes: ["EL1&0"],
        kind: "range",
        asid: 7,
        va: 0xffff_8000_1230_0000n,
        size: 0x10_0000n,
        granuleBits: 12,
        broadcast: "inner",
      },
    ],
    // 64 KiB: 1 * 2 granules from 0x7fff0000 on, level 3.
    [
      "RVALE2OS",
      0xc060_0000_7fffn,
      EL2,
      {
        ...WHOLE,
        regimes: ["EL2"],
        kind: "range",
        va: 0x7fff_0000n,
        size: 0x2_0000n,
        granuleBits: 16,
        lastLevel: true,
        level: 3,
        broadcast: "outer",
      },
    ],
    // 16 KiB: 32 * 2^16 granules from the IPA 2^50 on.
    [
      "RIPAS2E1",
      0xbf90_0000_0000n,
      EL2,
      { ...WHOLE, regimes: ["stage2"], kind: "range", va: 1n << 50n, size: 1n << 35n, granuleBits: 14 },
    ],
  ])("%s of %s", (name, value, state, expected) => {
    expect(scope(name, value, state)).toEqual(expected);
  });

  it("the granule that an address lies in, by the operand or else by the tables", () => {
    const of = (value: bigint, granuleBits?: 12 | 14 | 16) =>
      scope("VAE1", value, granuleBits ? { ...EL1, granuleBits } : EL1);
    expect(of(0x1_2345n)?.va).toBe(0x1234_5000n);
    expect(of(0x1_2347n, 14)?.va).toBe(0x1234_4000n);
    expect(of(0x1_234fn, 16)?.va).toBe(0x1234_0000n);
    // TTL: 16 KiB, level 2; 4 KiB, level 3; 64 KiB, level 1; a level without a granule is no hint.
    expect(of(0xa000_0001_2347n)).toMatchObject({ va: 0x1234_4000n, granuleBits: 14, level: 2 });
    expect(of(0x7000_0001_2347n, 16)).toMatchObject({ va: 0x1234_7000n, granuleBits: 12, level: 3 });
    expect(of(0xd000_0001_2347n)).toMatchObject({ va: 0x1234_0000n, granuleBits: 16, level: 1 });
    expect(of(0x3000_0001_2347n)).toMatchObject({ va: 0x1234_7000n, granuleBits: undefined, level: undefined });
  });

  // Table of TTL: where there are no leaves without FEAT_LPA2, or never, it is as if nothing was said.
  it.each([
    [0x4n, "level 0 of 4 KiB", { granuleBits: undefined, level: undefined }, { granuleBits: 12, level: 0 }],
    [0x5n, "level 1 of 4 KiB", { granuleBits: 12, level: 1 }, { granuleBits: 12, level: 1 }],
    [
      0x8n,
      "level 0 of 16 KiB",
      { granuleBits: undefined, level: undefined },
      { granuleBits: undefined, level: undefined },
    ],
    [0x9n, "level 1 of 16 KiB", { granuleBits: undefined, level: undefined }, { granuleBits: 14, level: 1 }],
    [
      0xcn,
      "level 0 of 64 KiB",
      { granuleBits: undefined, level: undefined },
      { granuleBits: undefined, level: undefined },
    ],
    [0xdn, "level 1 of 64 KiB", { granuleBits: 16, level: 1 }, { granuleBits: 16, level: 1 }],
  ])("entries by the hint %s: %s", (ttl, _, small, large) => {
    expect(scope("VAE1", ttl << 44n, EL1)).toMatchObject(small);
    expect(scope("VAE1", ttl << 44n, { ...EL1, largeAddresses: true })).toMatchObject(large);
  });

  it("ranges from multiples of 64 KiB where addresses are large", () => {
    const found = scope("RVAE1", 0x4000_0000_1234n, { ...EL1, largeAddresses: true });
    expect(found).toMatchObject({ va: 0x1234_0000n, size: 0x2000n });
    expect(scope("RVAE1", 0x401f_ffff_ffffn, { ...EL1, largeAddresses: true })?.va).toBe(0xffff_ffff_ffff_0000n);
  });

  it("nothing that is known with a range of the reserved granule", () => {
    expect(scope("RVAE1", 0x1234n, EL1)).toBeUndefined();
  });

  it("nothing where it is UNDEFINED", () => {
    expect(scope("VMALLE1", 0n, { ...EL1, level: 0 })).toBeUndefined();
    for (const name of ["ALLE1", "ALLE2", "VAE2", "IPAS2E1", "RVAE2", "VMALLS12E1"])
      expect(scope(name, 0n, EL1)).toBeUndefined();
    for (const name of ["ALLE3", "VAE3", "RVALE3"]) expect(scope(name, 1n << 46n, HOST)).toBeUndefined();
  });
});

/** TTL of an address as digits, and of a range behind its granule, without FEAT_LPA2: the rest are no hints. */
const LEVELS: Readonly<Record<string, 1 | 2 | 3>> = {
  "0101": 1,
  "0110": 2,
  "0111": 3,
  "1010": 2,
  "1011": 3,
  "1101": 1,
  "1110": 2,
  "1111": 3,
};
const RANGE_LEVELS: Readonly<Record<string, 1 | 2 | 3>> = {
  "12 01": 1,
  "12 10": 2,
  "12 11": 3,
  "14 10": 2,
  "14 11": 3,
  "16 01": 1,
  "16 10": 2,
  "16 11": 3,
};

/** What the letters of a mnemonic say: a second derivation, which sees no encoding. */
function byLetters(name: string, operand: bigint, { level, e2h, tge }: TlbiState): TlbiScope | undefined {
  const letters = /^TLBI (R?)(VMALLS12|VMALL|ALL|ASID|VA|IPAS2)(A?)(L?)E([123])(IS|OS)?(?:NXS)?$/.exec(name);
  if (letters === null) return undefined;
  const [, range, what = "", anyAsid, last, el = "", domain] = letters;
  const isOfStage1And2 = name.includes("S12") || name.startsWith("TLBI ALLE1");
  const needed = isOfStage1And2 || what === "IPAS2" ? 2 : Number(el);
  if (level < needed) return undefined;
  const host = e2h ? "EL2&0" : "EL2";
  const ownRegime = el === "1" ? (level > 1 && e2h && tge ? "EL2&0" : "EL1&0") : el === "2" ? host : "EL3";
  const regimes = isOfStage1And2 ? ["EL1&0", "stage2"] : what === "IPAS2" ? ["stage2"] : [ownRegime];
  const text = operand.toString(2).padStart(64, "0");
  const field = (high: number, low: number) => Number.parseInt(text.slice(63 - high, 64 - low), 2);
  const takesAsid = (what === "VA" && anyAsid === "") || what === "ASID";
  const isAddress = what === "VA" || what === "IPAS2";
  const granule = ([undefined, 12, 14, 16] as const)[field(47, 46)];
  if (range !== "" && granule === undefined) return undefined;
  const told = range === "" ? LEVELS[text.slice(16, 20)] : RANGE_LEVELS[`${granule} ${text.slice(25, 27)}`];
  const aligned = range === "" && told === undefined ? 12 : (granule ?? 12);
  const digits = range !== "" ? text.slice(27) : text.slice(what === "VA" ? 20 : 24, 76 - aligned);
  const sign = what === "VA" ? digits.charAt(0) : "0";
  const address = BigInt(`0b${(digits + "0".repeat(aligned)).padStart(64, sign)}`);
  return {
    regimes: regimes as TlbiScope["regimes"],
    kind: range !== "" ? "range" : what === "VA" ? "va" : what === "IPAS2" ? "ipa" : what === "ASID" ? "asid" : "all",
    asid: takesAsid && ownRegime.endsWith("&0") ? field(63, 48) : undefined,
    va: isAddress ? address : undefined,
    size: range === "" ? undefined : BigInt(field(43, 39) + 1) * 2n ** BigInt(5 * field(45, 44) + 1 + (granule ?? 0)),
    lastLevel: last === "L",
    granuleBits: isAddress && (range !== "" || told !== undefined) ? granule : undefined,
    level: isAddress ? told : undefined,
    broadcast: domain === "IS" ? "inner" : domain === "OS" ? "outer" : "none",
  };
}

describe("every TLBI that has a name", () => {
  it("is there to be asked", () => {
    expect(TLBIS.length).toBeGreaterThan(120);
  });

  it("covers what its letters say, in each state and for random operands, or is listed as unknown", () => {
    const random = new Random(0x71b1);
    const states = ([1, 2, 3] as const).flatMap((level) =>
      [EL1, HOST, HOST_OF_GUESTS, { ...EL1, tge: true }].map((state) => ({ ...state, level })),
    );
    for (const name of TLBIS) {
      const unknown = UNKNOWN.some(([names]) => names.test(name));
      let decoded = 0;
      for (const state of states) {
        for (let i = 0; i < 10; i++) {
          const operand = random.word();
          const found = tlbiScope(encodingNamed(name) ?? -1, operand, state);
          const expected = unknown ? undefined : byLetters(name, operand, state);
          expect(found, `${name} of 0x${operand.toString(16)} at EL${state.level}`).toEqual(expected);
          if (found !== undefined) decoded++;
        }
      }
      expect(decoded > 0, name).toBe(!unknown);
    }
    for (const [names] of UNKNOWN) expect(TLBIS.some((name) => names.test(name))).toBe(true);
  });

  it("is maintenance, and no other encoding is decoded", () => {
    const numbers = new Set(TLBIS.map((name) => encodingNamed(name)));
    for (const number of numbers) expect(isMaintenance(number ?? -1)).toBe(true);
    const others: string[] = [];
    for (let encoding = 0; encoding < 0x1_0000; encoding++) {
      if (numbers.has(encoding)) continue;
      if (tlbiScope(encoding, 1n << 46n, EL3) !== undefined) others.push(encoding.toString(16));
    }
    expect(others).toEqual([]);
    // DC CIVAC
    expect(tlbiScope(encodingOf({ op0: 1, op1: 3, crn: 7, crm: 14, op2: 1 }), 0n, EL3)).toBeUndefined();
  });
});
