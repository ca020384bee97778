/**
 * Which translations a TLBI instruction covers.
 *
 * Source: Arm ARM DDI 0487, C5.5 (each TLBI), D8.17.5 "TLB maintenance instructions". The operand holds an ASID in
 * bits 63:48 and VA<55:12> in 43:0 or IPA<51:12> in 39:0, with a hint of the level (TTL) in 47:44; operations on a range (FEAT_TLBIRANGE)
 * instead TG [47:46], SCALE [45:44], NUM [43:39], TTL [38:37] and BaseADDR [36:0]. The nXS forms (FEAT_XS) cover the same.
 *
 * Not looked at: VMIDs (all but ALLE1 cover the current one only), Security states, HCR_EL2.FB, which broadcasts what EL1 means for itself, and
 * TLBIP, which takes 128 bits.
 */
import { bits, bitsNumber } from "../base/bits.ts";
import type { RegimeName } from "./regime-model.ts";
import { encodingParts } from "./registers/encodings.ts";
import { type TlbiOperation, tlbiOperation } from "./tlbi-operation.ts";

export interface TlbiScope {
  /** That it can touch. `stage2` by itself: translations from virtual addresses that went through stage 2 may stay. */
  readonly regimes: readonly RegimeName[];
  /** `asid`: all addresses, but no global leaves. `va` and `range` take global leaves whatever the ASID. */
  readonly kind: "all" | "asid" | "va" | "ipa" | "range";
  /** Undefined: of every ASID, or of a regime without them. All 16 bits; with 8-bit ASIDs (TCR_ELx.AS) the upper ones are not looked at. */
  readonly asid: number | undefined;
  /** The first address, of a granule; intermediate physical for stage 2. */
  readonly va: bigint | undefined;
  /** Of a range in bytes, which does not wrap at the end; undefined for `va` and `ipa`: the whole entry that translates the address. */
  readonly size: bigint | undefined;
  /** Entries for leaves only: cached table descriptors may stay. */
  readonly lastLevel: boolean;
  /** Only entries from tables of this granule need go; undefined: of any. Said with a range or a level. */
  readonly granuleBits: GranuleBits | undefined;
  /** Only entries of leaves of this level need go (TTL); undefined: of any. */
  readonly level: 0 | 1 | 2 | 3 | undefined;
  /** To the PEs of the Inner or Outer Shareable domain. */
  readonly broadcast: "none" | "inner" | "outer";
}

export type GranuleBits = 12 | 14 | 16;

export interface TlbiState {
  /** The Exception level that executes it. */
  readonly level: 0 | 1 | 2 | 3;
  /** HCR_EL2.E2H and TGE; false where EL2 is not enabled. */
  readonly e2h: boolean;
  readonly tge: boolean;
  /** Of the regime's tables, where the operand does not say; 12 unless told. */
  readonly granuleBits?: GranuleBits;
  /** TCR_ELx.DS or VTCR_EL2.DS (FEAT_LPA2): ranges begin at multiples of 64 KiB whatever the granule, and leaves may be a level higher. */
  readonly largeAddresses?: boolean;
}

/**
 * What the TLBI of this encoding (see `encodingOf`) covers when it is executed with this value in its register, 0 without one. Undefined: it
 * is no TLBI, one that is UNDEFINED at the level, or one that is not known here: those of granule protection (PAALL, RPA) and of dirty
 * state (VMALLWS2E1), and ranges with TG = 0, which is reserved.
 */
export function tlbiScope(encoding: number, value: bigint, state: TlbiState): TlbiScope | undefined {
  const operation = tlbiOperation(encodingParts(encoding));
  if (operation === undefined || state.level < operation.leastLevel) return undefined;
  const { kind, lastLevel, broadcast } = operation;
  const regimes = regimesOf(operation, state);
  const where = kind === "range" ? rangeOf(value, operation, state) : entriesOf(value, kind, state);
  if (where === undefined) return undefined;
  const asid = operation.asid && hasAsids(regimes) ? bitsNumber(value, 63, 48) : undefined;
  return { regimes, kind, asid, ...where, lastLevel, broadcast };
}

/** {E2H, TGE} = {1, 1} gives the operations of EL1 to the host, but for those that are of stage 2 too. */
function regimesOf({ target }: TlbiOperation, { level, e2h, tge }: TlbiState): readonly RegimeName[] {
  switch (target) {
    case "EL1":
      return level >= 2 && e2h && tge ? ["EL2&0"] : ["EL1&0"];
    case "EL2":
      return e2h ? ["EL2&0"] : ["EL2"];
    case "EL3":
      return ["EL3"];
    case "stage2":
      return ["stage2"];
    case "both-stages":
      return ["EL1&0", "stage2"];
  }
}

function hasAsids([first]: readonly RegimeName[]): boolean {
  return first === "EL1&0" || first === "EL2&0";
}

/** TG of TTL and of ranges. */
const GRANULE_BITS = [undefined, 12, 14, 16] as const;

type Place = Pick<TlbiScope, "va" | "size" | "granuleBits" | "level">;

const ANYWHERE: Place = { va: undefined, size: undefined, granuleBits: undefined, level: undefined };

/** TTL<3:2> is the granule, without which there is no hint. */
function entriesOf(value: bigint, kind: TlbiScope["kind"], state: TlbiState): Place {
  if (kind !== "va" && kind !== "ipa") return ANYWHERE;
  const told = GRANULE_BITS[bitsNumber(value, 47, 46)];
  const level = told && levelOf(bitsNumber(value, 45, 44), told, state);
  const granuleBits = level === undefined ? undefined : told;
  const below = BigInt(granuleBits ?? state.granuleBits ?? 12);
  const page = bits(value, kind === "va" ? 43 : 39, 0) << 12n;
  const address = (page >> below) << below;
  return { ...ANYWHERE, va: kind === "va" ? signExtended(address, 56) : address, granuleBits, level };
}

/** Levels 0 of 4 KiB and 1 of 16 KiB have leaves with FEAT_LPA2 only; without it, and where they never have, the value is no hint. */
function levelOf(level: number, granule: GranuleBits, { largeAddresses }: TlbiState): TlbiScope["level"] {
  const highest = granule === 12 ? (largeAddresses ? 0 : 1) : granule === 14 && !largeAddresses ? 2 : 1;
  return level >= highest ? (level as 0 | 1 | 2 | 3) : undefined;
}

/** (NUM + 1) * 2^(5 * SCALE + 1) granules from BaseADDR on; undefined when TG is reserved. TTL 0 is no hint. */
function rangeOf(value: bigint, { target }: TlbiOperation, state: TlbiState): Place | undefined {
  const granuleBits = GRANULE_BITS[bitsNumber(value, 47, 46)];
  if (granuleBits === undefined) return undefined;
  const shift = state.largeAddresses ? 16 : granuleBits;
  const base = bits(value, 36, 0) << BigInt(shift);
  const exponent = bits(value, 45, 44) * 5n + 1n + BigInt(granuleBits);
  const hint = bitsNumber(value, 38, 37);
  return {
    va: target === "stage2" ? base : signExtended(base, shift + 37),
    size: (bits(value, 43, 39) + 1n) << exponent,
    granuleBits,
    level: hint === 0 ? undefined : levelOf(hint, granuleBits, state),
  };
}

function signExtended(value: bigint, width: number): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(width, value));
}
