/**
 * The features of a random machine and the layouts that its registers may ask for: what the architecture allows, no more. Reserved
 * encodings and sizes out of range are not made: what they do is left to the implementation.
 */
import type { Random } from "./random.ts";
import { type GranuleBits, type Layout, lowestBit } from "./slow-walk.ts";

export interface Features {
  /** Encoded, and in bits. */
  readonly paRange: number;
  readonly paBits: number;
  /** FEAT_LPA2 for a granule, of stage 1 and stage 2. */
  readonly lpa2: Readonly<Record<1 | 2, Readonly<Record<GranuleBits, boolean>>>>;
  /** FEAT_TTST. */
  readonly small: boolean;
  /** FEAT_LVA. */
  readonly large: boolean;
  readonly e0pd: boolean;
  readonly xnx: boolean;
  readonly idRegisters: ReadonlyMap<string, bigint>;
}

const SIZES = [32, 36, 40, 42, 44, 48, 52] as const;

/** Everything that 4 KiB tables of stage 1 needed before there was more: no sizes beyond 48 bits. */
export function plainFeatures(random: Random): Features {
  const paRange = random.chance(0.88) ? 5 : random.below(7);
  const idRegisters = new Map([["ID_AA64MMFR0_EL1", BigInt(paRange)]]);
  if (random.chance(0.5)) idRegisters.set("ID_AA64MMFR1_EL1", BigInt(random.below(4)) | (1n << 12n));
  const none = { 12: false, 14: false, 16: false };
  const lpa2 = { 1: none, 2: none };
  const paBits = SIZES[paRange] as number;
  return { paRange, paBits, lpa2, small: false, large: false, e0pd: false, xnx: false, idRegisters };
}

export function randomFeatures(random: Random): Features {
  const paRange = random.chance(0.45) ? 5 : random.chance(0.75) ? 6 : random.below(7);
  const [four, sixteen] = [random.chance(0.6), random.chance(0.6)];
  // TGran4_2, TGran16_2: as for stage 1, supported, with 52 bits.
  const [four2, sixteen2] = [random.pick([0, 0, 0, 2, 3]), random.pick([0, 0, 0, 2, 3])];
  const [small, large, e0pd, xnx] = [random.chance(0.5), random.chance(0.5), random.chance(0.7), random.chance(0.6)];
  const mmfr0 = fields([paRange, 0], [sixteen ? 2 : 1, 20], [four ? 1 : 0, 28], [sixteen2, 32], [four2, 40]);
  const mmfr1 = fields([random.pick([0, 1, 2, 2, 2, 3]), 0], [random.pick([1, 2]), 12], [Number(xnx), 28]);
  const mmfr2 = fields([Number(large), 16], [Number(small), 28], [1, 40], [Number(e0pd), 60]);
  return {
    paRange,
    paBits: SIZES[paRange] as number,
    lpa2: {
      1: { 12: four, 14: sixteen, 16: false },
      2: { 12: four2 === 0 ? four : four2 === 3, 14: sixteen2 === 0 ? sixteen : sixteen2 === 3, 16: false },
    },
    ...{ small, large, e0pd, xnx },
    idRegisters: new Map([
      ["ID_AA64MMFR0_EL1", mmfr0],
      ["ID_AA64MMFR1_EL1", mmfr1],
      ["ID_AA64MMFR2_EL1", mmfr2],
    ]),
  };
}

/** A register of [value, lowest bit]. */
export function fields(...parts: readonly (readonly [number | bigint, number])[]): bigint {
  return parts.reduce((all, [value, low]) => all | (BigInt(value) << BigInt(low)), 0n);
}

/** A PS or IPS: mostly what the machine has, or 48 bits. */
export function randomPs(random: Random, { paRange }: Features): number {
  return random.chance(0.7) ? Math.max(paRange, 5) : random.chance(0.7) ? 5 : random.below(7);
}

/** The layout of one half of stage 1. */
export function stage1Layout(random: Random, features: Features, ps: number, dsBit: boolean): Layout {
  const granuleBits = random.pick([12, 12, 14, 16] as const);
  const ds = dsBit && features.lpa2[1][granuleBits];
  const least = ds || (granuleBits === 16 && features.large) ? 12 : 16;
  const most = features.small ? (granuleBits === 16 ? 47 : 48) : 39;
  const txsz = least === 12 && random.chance(0.5) ? random.between(12, 15) : random.between(least, most);
  const inputBits = 64 - txsz;
  const level = 3 - Math.floor((inputBits - 1 - granuleBits) / (granuleBits - 3));
  return finish(features, { granuleBits, inputBits, level, ds }, ps);
}

export function plainLayout(random: Random, features: Features, ps: number): Layout {
  const inputBits = 64 - random.between(16, 39);
  const level = 3 - Math.floor((inputBits - 13) / 9);
  return finish(features, { granuleBits: 12, inputBits, level, ds: false }, ps);
}

function finish(
  features: Features,
  layout: Pick<Layout, "granuleBits" | "inputBits" | "level" | "ds">,
  ps: number,
): Layout {
  const most = layout.ds || layout.granuleBits === 16 ? 52 : 48;
  const outputBits = Math.min(SIZES[ps] as number, most, features.paBits);
  return { ...layout, outputBits, lpa: features.paBits >= 52, ps52: ps === 6 };
}

/** The starting levels of stage 2 by SL2:SL0. */
const STARTS: Readonly<Record<GranuleBits, readonly number[]>> = {
  12: [2, 1, 0, 3, -1],
  14: [3, 2, 1, 0],
  16: [3, 2, 1],
};

export interface Stage2Layout extends Layout {
  /** SL2:SL0. */
  readonly sl: number;
}

/** The layout of stage 2; `inputBits` up to `widest`. */
export function stage2Layout(random: Random, features: Features, ps: number, dsBit: boolean): Stage2Layout {
  const granuleBits = random.pick([12, 12, 14, 16] as const);
  const ds = dsBit && features.lpa2[2][granuleBits];
  const widest = Math.min(features.paBits, ds || granuleBits === 16 ? 52 : 48);
  const inputBits = stage2Input(random, features, granuleBits, widest);
  const fitting = STARTS[granuleBits].filter((level) => startFits(features, { granuleBits, inputBits, level, ds }));
  const wanted = random.chance(0.95) && fitting.length > 0 ? random.pick(fitting) : random.pick(STARTS[granuleBits]);
  const sl = STARTS[granuleBits].indexOf(wanted);
  return { ...finish(features, { granuleBits, inputBits, level: wanted, ds }, ps), sl };
}

function stage2Input(random: Random, { small }: Features, granuleBits: GranuleBits, widest: number): number {
  if (widest > 48 && random.chance(0.5)) return random.between(49, widest);
  if (small && random.chance(0.15)) return random.between(granuleBits === 16 ? 17 : 16, 24);
  return random.chance(0.3) ? widest : random.between(25, widest);
}

/** Consistent with the input size (up to 16 tables side by side), and not reserved here. */
function startFits(features: Features, layout: Pick<Layout, "granuleBits" | "inputBits" | "level" | "ds">): boolean {
  const { granuleBits, inputBits, level, ds } = layout;
  const resolved = inputBits - lowestBit(granuleBits, level);
  if (resolved < 1 || resolved > granuleBits + 1) return false;
  if (granuleBits === 12) return level === 3 ? features.small : level === -1 ? ds : level > 0 || features.paBits >= 44;
  return level > 1 || (level === 0 ? ds : features.paBits >= 44);
}
