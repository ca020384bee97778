/**
 * Stage 1 of a regime, by its TCR, TCR2, TTBRs, MAIRs, permission registers and SCTLR.
 *
 * Source: Arm ARM DDI 0487, D8.2 (shared pseudocode AArch64.S1TTWParamsEL10, -EL20, -EL2, -EL3, AArch64.S1MinTxSZ, AArch64.MaxTxSZ,
 * AArch64.S1StartLevel, AArch64.VAIsOutOfRange, AArch64.S1Translate, AArch64.S1DisabledOutput, IsTCR2EL1Enabled), D8.4 (R_JHSVW,
 * R_BVXDG: no hierarchical permissions with PIE, POE or E0POE), D8.6 (R_MJGNV: nor with AIE), D24.2.
 *
 * Not modelled, so worlds must keep it out: D128, TxSZ outside of the architected range, reserved TG values, NV1, MTX, the Secure
 * state (NS, NSTable, SIF), PSTATE.PAN, a TTBR that is not aligned to its table, MAIR bytes that are UNPREDICTABLE.
 */
import { bits, isSet, need, type SlowMachine, swapBytes } from "./slow-bits.ts";
import {
  effectiveShareability,
  mairMemory,
  NORMAL_NC,
  NORMAL_WB,
  type SlowMemory,
  STRONGEST,
  shareability,
  UNKNOWN,
} from "./slow-memory.ts";
import { stage1Letters } from "./slow-permissions.ts";
import { el2Enabled, guestControl, hafdbs, stage2InForce, stage2Walk } from "./slow-stage2.ts";
import type { SlowFault, SlowMapping, SlowRegime, SlowUnreadable } from "./slow-types.ts";
import {
  contiguousBit,
  type GranuleBits,
  type Layout,
  type Leaf,
  outputAddressBits,
  physicalAddressBits,
  rootAddress,
  stageFault,
  type Walk,
  walkTables,
} from "./slow-walk.ts";

export type Stage1Regime = Exclude<SlowRegime, "stage2">;

/** The mapping of stage 1, its memory not yet in words. */
export type Stage1Mapping = Omit<SlowMapping, "memory"> & { readonly memoryType: SlowMemory };

/** Where the fields of TCR_ELx stand: of a half, and of the whole. */
const LOWER = { txsz: [5, 0], sh: [13, 12], tg: [15, 14], epd: 7, tbi: 37, hpd: 41, e0pd: 55 } as const;
const UPPER = { txsz: [21, 16], sh: [29, 28], tg: [31, 30], epd: 23, tbi: 38, hpd: 42, e0pd: 56 } as const;
const SINGLE = { txsz: [5, 0], sh: [13, 12], tg: [15, 14], epd: null, tbi: 20, hpd: 24, e0pd: null } as const;
const TWO_RANGES = { ps: [34, 32], ha: 39, hd: 40, ds: 59 } as const;
const ONE_RANGE = { ps: [18, 16], ha: 21, hd: 22, ds: 32 } as const;

interface Extensions {
  readonly pie: boolean;
  readonly poe: boolean;
  readonly e0poe: boolean;
  readonly aie: boolean;
  readonly pnch: boolean;
}

interface Stage1 {
  readonly layout: Layout;
  readonly extensions: Extensions;
  readonly regime: Stage1Regime;
  readonly el: 1 | 2 | 3;
  readonly hasUnprivileged: boolean;
  readonly upper: boolean;
  readonly ttbr: bigint;
  readonly sctlr: bigint;
  readonly tbi: boolean;
  readonly e0pd: boolean;
  readonly hpd: boolean;
  readonly sh: bigint;
  readonly dirtyState: boolean;
}

function levelOf(regime: Stage1Regime): 1 | 2 | 3 {
  return regime === "EL1&0" ? 1 : regime === "EL3" ? 3 : 2;
}

/** What the registers say of the half of the address space that an address is in. */
function readStage1(machine: SlowMachine, regime: Stage1Regime, va: bigint): Stage1 {
  const el = levelOf(regime);
  const hasUnprivileged = regime === "EL1&0" || regime === "EL2&0";
  const upper = hasUnprivileged && isSet(va, 55);
  const tcr = need(machine, `TCR_EL${el}`);
  const half = hasUnprivileged ? (upper ? UPPER : LOWER) : SINGLE;
  const whole = hasUnprivileged ? TWO_RANGES : ONE_RANGE;
  const at = (position: number | null): boolean => position !== null && isSet(tcr, position);
  const extensions = readExtensions(machine, regime, tcr);
  const { pie, poe, e0poe, aie } = extensions;
  return {
    layout: readLayout(machine, tcr, half, whole, upper),
    extensions,
    regime,
    el,
    hasUnprivileged,
    upper,
    ttbr: need(machine, `TTBR${upper ? 1 : 0}_EL${el}`),
    sctlr: need(machine, `SCTLR_EL${el}`),
    tbi: at(half.tbi),
    e0pd: at(half.e0pd) && bits(machine.register("ID_AA64MMFR2_EL1") ?? 1n << 60n, 63, 60) !== 0n,
    hpd: at(half.hpd) || pie || poe || e0poe || aie,
    sh: field(tcr, half.sh),
    dirtyState: at(whole.ha) && at(whole.hd) && hafdbs(machine) >= 2n,
  };
}

/** A field by its high and low bit. */
function field(value: bigint, [high, low]: readonly [number, number]): bigint {
  return bits(value, high, low);
}

type Half = typeof LOWER | typeof UPPER | typeof SINGLE;

function readLayout(
  machine: SlowMachine,
  tcr: bigint,
  half: Half,
  whole: typeof TWO_RANGES | typeof ONE_RANGE,
  upper: boolean,
): Layout {
  const granuleBits = granuleOf(field(tcr, half.tg), upper);
  const ds = isSet(tcr, whole.ds) && describes52Bits(machine, granuleBits);
  const txsz = Number(field(tcr, half.txsz));
  checkSize(machine, granuleBits, ds, txsz);
  const inputBits = 64 - txsz;
  const ps = field(tcr, whole.ps);
  return {
    granuleBits,
    inputBits,
    level: 3 - Math.floor((inputBits - 1 - granuleBits) / (granuleBits - 3)),
    outputBits: outputAddressBits(machine, ps, granuleBits, ds),
    ds,
    lpa: physicalAddressBits(machine) >= 52,
    ps52: ps === 6n,
  };
}

/** TG0 and TG1 name the granules differently. */
function granuleOf(tg: bigint, upper: boolean): GranuleBits {
  const names: readonly (GranuleBits | undefined)[] = upper ? [undefined, 14, 12, 16] : [12, 16, 14, undefined];
  const granuleBits = names[Number(tg)];
  if (granuleBits === undefined) throw new RangeError("a reserved TG is not modelled");
  return granuleBits;
}

/** FEAT_LPA2 for stage 1: ID_AA64MMFR0_EL1.{TGran4,TGran16}. */
function describes52Bits(machine: SlowMachine, granuleBits: GranuleBits): boolean {
  const mmfr0 = need(machine, "ID_AA64MMFR0_EL1");
  if (granuleBits === 16) return false;
  return granuleBits === 12 ? bits(mmfr0, 31, 28) === 1n : bits(mmfr0, 23, 20) === 2n;
}

/** AArch64.S1MinTxSZ, AArch64.MaxTxSZ: FEAT_LVA and DS make the range larger, FEAT_TTST smaller. */
function checkSize(machine: SlowMachine, granuleBits: GranuleBits, ds: boolean, txsz: number): void {
  const mmfr2 = machine.register("ID_AA64MMFR2_EL1") ?? 0n;
  const large = ds || (granuleBits === 16 && bits(mmfr2, 19, 16) !== 0n);
  const small = bits(mmfr2, 31, 28) !== 0n;
  const [least, most] = [large ? 12 : 16, small ? (granuleBits === 16 ? 47 : 48) : 39];
  if (txsz < least || txsz > most) throw new RangeError(`TxSZ ${txsz} is not modelled`);
}

/** TCR2_EL1, TCR2_EL2, or for EL3 the bits of TCR_EL3 itself. */
function readExtensions(machine: SlowMachine, regime: Stage1Regime, tcr: bigint): Extensions {
  if (regime === "EL3") {
    return { pnch: isSet(tcr, 34), pie: isSet(tcr, 35), poe: isSet(tcr, 36), e0poe: false, aie: isSet(tcr, 37) };
  }
  const tcr2 = effectiveTcr2(machine, levelOf(regime));
  const e0poe = regime !== "EL2" && isSet(tcr2, 2);
  return { pnch: isSet(tcr2, 0), pie: isSet(tcr2, 1), e0poe, poe: isSet(tcr2, 3), aie: isSet(tcr2, 4) };
}

/**
 * TCR2 is treated as 0 where it is not there, where SCR_EL3.TCR2En is 0, and that of EL1 where EL2 is enabled and HCRX_EL2.TCR2En
 * is 0, as it also is with SCR_EL3.HXEn 0.
 */
function effectiveTcr2(machine: SlowMachine, el: number): bigint {
  const scr = machine.register("SCR_EL3");
  if (scr !== undefined && !isSet(scr, 43)) return 0n;
  const hcrx = machine.register("HCRX_EL2");
  if (el === 1 && hcrx !== undefined && el2Enabled(machine)) {
    if (!isSet(hcrx, 14) || (scr !== undefined && !isSet(scr, 38))) return 0n;
  }
  return machine.register(`TCR2_EL${el}`) ?? 0n;
}

/** SCTLR_ELx.M; for EL1&0 also HCR_EL2.DC, and TGE with E2H 0. */
function enabled(machine: SlowMachine, { regime, sctlr }: Pick<Stage1, "regime" | "sctlr">): boolean {
  if (regime === "EL1&0" && (guestControl(machine, 12) || guestControl(machine, 27))) return false;
  return isSet(sctlr, 0);
}

/** EPD0, EPD1: no walk, where translation is on. */
function walksDisabled(machine: SlowMachine, regime: Stage1Regime, va: bigint): boolean {
  if (regime !== "EL1&0" && regime !== "EL2&0") return false;
  const el = levelOf(regime);
  if (!enabled(machine, { regime, sctlr: need(machine, `SCTLR_EL${el}`) })) return false;
  return isSet(need(machine, `TCR_EL${el}`), isSet(va, 55) ? UPPER.epd : LOWER.epd);
}

/** One address through stage 1; the output is an IPA where stage 2 is in force. */
export function translateStage1(
  machine: SlowMachine,
  regime: Stage1Regime,
  va: bigint,
): Stage1Mapping | SlowFault | SlowUnreadable {
  // A half that is disabled has no layout: its size and granule may be anything.
  if (walksDisabled(machine, regime, va))
    return { outcome: "fault", stage: 1, onWalk: false, kind: "translation", level: 0 };
  const stage1 = readStage1(machine, regime, va);
  const root = rootAddress(stage1.layout, stage1.ttbr);
  const walk: Walk = { ...stage1.layout, stage: 1, onWalk: false, root, fetch: fetchStage1(machine, stage1) };
  if (!enabled(machine, stage1)) return flat(machine, stage1, walk, va);
  if (outOfRange(stage1, va)) return stageFault(walk, "translation", 0);
  const leaf = walkTables(walk, va);
  return leaf.outcome === "leaf" ? stage1Mapping(machine, stage1, leaf) : leaf;
}

/** The bits above the input address, up to bit 55 with TBI, must be those of its range. */
function outOfRange({ layout: { inputBits }, tbi, upper }: Stage1, va: bigint): boolean {
  const top = tbi ? 55 : 63;
  const wanted = upper ? (1n << BigInt(top - inputBits + 1)) - 1n : 0n;
  return bits(va, top, inputBits) !== wanted;
}

function flat(machine: SlowMachine, stage1: Stage1, walk: Walk, va: bigint): Stage1Mapping | SlowFault {
  const address = bits(va, stage1.tbi ? 55 : 63, 0);
  if (address >> BigInt(physicalAddressBits(machine)) !== 0n) return stageFault(walk, "address size", 0);
  const cacheable = stage1.regime === "EL1&0" && guestControl(machine, 12);
  return {
    outcome: "mapped",
    output: address,
    level: null,
    granule: null,
    privileged: "rwx",
    unprivileged: stage1.hasUnprivileged ? "rwx" : null,
    memoryType: cacheable ? NORMAL_WB : STRONGEST,
    shareability: cacheable ? "none" : "outer",
    ...{ contiguous: false, accessFlag: true, global: true, guarded: false },
  };
}

/** A descriptor of stage 1, which lies at an IPA where stage 2 is in force. */
function fetchStage1(machine: SlowMachine, { regime, sctlr }: Stage1): Walk["fetch"] {
  const behindStage2 = stage2InForce(machine, regime);
  return (address, level) => {
    const place = behindStage2 ? stage2Walk(machine, address, true) : { outcome: "leaf" as const, output: address };
    if (place.outcome !== "leaf") return place;
    const word = machine.word(place.output);
    if (word === undefined) return { outcome: "unreadable", descriptor: place.output, level, stage: 1 };
    return isSet(sctlr, 25) ? swapBytes(word) : word;
  };
}

function stage1Mapping(machine: SlowMachine, stage1: Stage1, leaf: Leaf): Stage1Mapping {
  const { descriptor, output, level } = leaf;
  const memoryType = memoryOf(machine, stage1, descriptor);
  const sh = shareability(stage1.layout.ds ? stage1.sh : bits(descriptor, 9, 8));
  return {
    outcome: "mapped",
    output,
    level,
    granule: 2 ** stage1.layout.granuleBits,
    ...permissionsOf(machine, stage1, leaf),
    memoryType,
    shareability: effectiveShareability(memoryType, sh),
    contiguous: !stage1.extensions.pnch && contiguousBit(stage1.layout, leaf),
    accessFlag: isSet(descriptor, 10),
    // nG is RES0 where there is no ASID.
    global: stage1.hasUnprivileged ? !isSet(descriptor, 11) : true,
    guarded: isSet(descriptor, 50),
  };
}

/** AttrIndx: bits 4:2, with AIE bit 59 above them, which selects MAIR2. SCTLR_ELx.C 0 makes Normal memory Non-cacheable. */
function memoryOf(machine: SlowMachine, { el, extensions, sctlr }: Stage1, descriptor: bigint): SlowMemory {
  const second = extensions.aie && isSet(descriptor, 59);
  const mair = second ? machine.register(`MAIR2_EL${el}`) : need(machine, `MAIR_EL${el}`);
  if (mair === undefined) return UNKNOWN;
  const index = Number(bits(descriptor, 4, 2));
  const byte = Number(bits(mair, index * 8 + 7, index * 8));
  const memory = mairMemory(byte);
  if (memory === undefined) throw new RangeError(`MAIR byte 0x${byte.toString(16)} is not modelled`);
  return memory.type === "normal" && !isSet(sctlr, 2) ? NORMAL_NC : memory;
}

function permissionsOf(machine: SlowMachine, stage1: Stage1, { descriptor, tables }: Leaf) {
  const { el, hasUnprivileged, dirtyState, extensions, hpd, e0pd } = stage1;
  const { privileged, unprivileged } = stage1Letters({
    hasUnprivileged,
    descriptor,
    dirtyState,
    tables: hpd ? [] : tables,
    wxn: isSet(stage1.sctlr, 19),
    indirect: extensions.pie,
    privilegedOverlay: extensions.poe,
    unprivilegedOverlay: extensions.e0poe,
    pir: machine.register(`PIR_EL${el}`),
    pire0: machine.register(`PIRE0_EL${el}`),
    por: machine.register(`POR_EL${el}`),
    porEl0: machine.register("POR_EL0"),
  });
  return { privileged, unprivileged: hasUnprivileged ? (e0pd ? "---" : unprivileged) : null };
}
