/**
 * Memory types in the words of the manual: MAIR bytes, stage 2 MemAttr with and without HCR_EL2.FWB, and both stages together.
 *
 * Source: Arm ARM DDI 0487, D8.6 "Memory region attributes" (tables D8-96 to D8-103; shared pseudocode S1DecodeMemAttrs,
 * S2DecodeMemAttrs, S2CombineS1MemAttrs, AArch64.S2ApplyFWBMemAttrs, S2MemTagType, EffectiveShareability), D24.2 MAIR_ELx.
 *
 * Choices where the manual leaves one: FEAT_XS and FEAT_MTE2 are there, FEAT_MTE_PERM is not (so MemAttr 0b0100 is reserved, and
 * MemAttr[3] is RES0 and ignored with FWB); a Device or Normal NC mapping of stage 1 goes into stage 2 as Outer Shareable (R_NSCNC
 * lets an implementation choose); a reserved SH stays "reserved" unless the other stage says outer.
 */
import { bits } from "./slow-bits.ts";
import type { SlowShareability } from "./slow-types.ts";

/** From the strongest to the weakest. */
const DEVICES = ["nGnRnE", "nGnRE", "nGRE", "GRE"] as const;

/** Inner or outer cacheability; the hints are false for NC. */
export interface SlowHalf {
  readonly policy: "NC" | "WT" | "WB";
  readonly readAllocate: boolean;
  readonly writeAllocate: boolean;
  readonly transient: boolean;
  /** Stage 2 speaks alone, which says nothing of allocation. */
  readonly unhinted?: true;
}

export type SlowMemory =
  /** Index into DEVICES; noXs: an encoding that says XS=0 itself. */
  | { readonly type: "device"; readonly device: number; readonly noXs: boolean }
  | {
      readonly type: "normal";
      readonly outer: SlowHalf;
      readonly inner: SlowHalf;
      readonly tagged: boolean;
      readonly noXs: boolean;
    }
  | { readonly type: "words"; readonly words: "unknown" | "reserved" | "as stage 1" };

const HALF_NC: SlowHalf = { policy: "NC", readAllocate: false, writeAllocate: false, transient: false };
const HALF_WB_RAWA: SlowHalf = { policy: "WB", readAllocate: true, writeAllocate: true, transient: false };

export const UNKNOWN: SlowMemory = { type: "words", words: "unknown" };
const RESERVED: SlowMemory = { type: "words", words: "reserved" };
export const AS_STAGE_1: SlowMemory = { type: "words", words: "as stage 1" };
export const STRONGEST: SlowMemory = { type: "device", device: 0, noXs: false };
export const NORMAL_NC = normal(HALF_NC, HALF_NC);
/** HCR_EL2.DC (AArch64.S1DisabledOutput). */
export const NORMAL_WB = normal(HALF_WB_RAWA, HALF_WB_RAWA);

function normal(outer: SlowHalf, inner: SlowHalf, extra: { tagged?: boolean; noXs?: boolean } = {}): SlowMemory {
  return { type: "normal", outer, inner, tagged: extra.tagged ?? false, noXs: extra.noXs ?? false };
}

export function memoryWords(memory: SlowMemory): string {
  if (memory.type === "words") return memory.words;
  const xs = memory.noXs ? " XS=0" : "";
  if (memory.type === "device") return `Device-${DEVICES[memory.device]}${xs}`;
  const [outer, inner] = [halfWords(memory.outer), halfWords(memory.inner)];
  const both = outer === inner ? outer : `outer ${outer} inner ${inner}`;
  return `Normal ${both}${memory.tagged ? " Tagged" : ""}${xs}`;
}

/** NA: no allocation. */
function halfWords({ policy, readAllocate, writeAllocate, transient, unhinted }: SlowHalf): string {
  if (policy === "NC" || unhinted) return policy;
  const hints = `${readAllocate ? "RA" : ""}${writeAllocate ? "WA" : ""}`;
  return `${policy} ${hints || "NA"}${transient ? " transient" : ""}`;
}

/** A byte of MAIR_ELx; undefined for the encodings that are UNPREDICTABLE. */
export function mairMemory(byte: number): SlowMemory | undefined {
  const [high, low] = [byte >> 4, byte & 0xf];
  if (byte === 0x40) return normal(HALF_NC, HALF_NC, { noXs: true });
  if (byte === 0xa0) return normal(half(0b1010), half(0b1010), { noXs: true });
  if (byte === 0xf0) return normal(HALF_WB_RAWA, HALF_WB_RAWA, { tagged: true });
  if (high === 0) return (low & 2) === 0 ? { type: "device", device: low >> 2, noXs: low % 2 === 1 } : undefined;
  return low === 0 ? undefined : normal(half(high), half(low));
}

/** A nibble of MAIR for Normal memory: 0b00RW WT transient, 0b0100 NC, 0b01RW WB transient, 0b10RW WT, 0b11RW WB. */
function half(nibble: number): SlowHalf {
  if (nibble === 0b0100) return HALF_NC;
  return {
    policy: (nibble & 0b0100) === 0 ? "WT" : "WB",
    readAllocate: (nibble & 0b0010) !== 0,
    writeAllocate: (nibble & 0b0001) !== 0,
    transient: (nibble & 0b1000) === 0,
  };
}

/** SH[1:0], of a descriptor or of a TCR. */
export function shareability(sh: bigint): SlowShareability {
  return (["none", "reserved", "outer", "inner"] as const)[Number(sh)] as SlowShareability;
}

/** Device memory and Normal memory that is Non-cacheable inside and outside are Outer Shareable whatever SH says. */
export function effectiveShareability(memory: SlowMemory, sh: SlowShareability): SlowShareability {
  if (memory.type === "device") return "outer";
  const uncached = memory.type === "normal" && memory.outer.policy === "NC" && memory.inner.policy === "NC";
  return uncached ? "outer" : sh;
}

export function widerShareability(a: SlowShareability, b: SlowShareability): SlowShareability {
  return (["outer", "reserved", "inner"] as const).find((each) => each === a || each === b) ?? "none";
}

/** What a stage 2 descriptor says by itself: bits <5:2>. */
export function stage2Memory(descriptor: bigint, fwb: boolean): SlowMemory {
  const attr = Number(bits(descriptor, 5, 2));
  const [high, low] = [attr >> 2, attr & 3];
  if (!fwb) {
    if (high === 0) return { type: "device", device: low, noXs: false };
    return low === 0 ? RESERVED : normal(plainHalf(high), plainHalf(low));
  }
  if ((high & 1) === 0) return { type: "device", device: low, noXs: false };
  if (low === 0) return RESERVED;
  return low === 0b01 ? NORMAL_NC : low === 0b10 ? normal(plainHalf(3), plainHalf(3)) : AS_STAGE_1;
}

/** 0b01 NC, 0b10 WT, 0b11 WB. */
function plainHalf(code: number): SlowHalf {
  return { ...HALF_NC, policy: (["NC", "NC", "WT", "WB"] as const)[code] as SlowHalf["policy"], unhinted: true };
}

export interface SlowStages {
  readonly fwb: boolean;
  /** HCR_EL2.CD: Normal memory of stage 2 counts as Non-cacheable for data. */
  readonly cacheDisabled: boolean;
}

export function combineMemory(stage1: SlowMemory, stage2: SlowMemory, { fwb, cacheDisabled }: SlowStages): SlowMemory {
  if (stage2.type === "words" && stage2.words === "reserved") return stage2;
  if (stage1.type === "words") return stage1;
  const plain = { ...stage1, noXs: false };
  if (fwb) {
    const forced = forceMemory(plain, stage2);
    return cacheDisabled && forced.type === "normal" ? NORMAL_NC : forced;
  }
  return weaker(plain, cacheDisabled && stage2.type === "normal" ? NORMAL_NC : stage2);
}

/** Tables D8-97, D8-98: Device before Normal, the stronger Device, the weaker cacheability. */
function weaker(stage1: SlowMemory, stage2: SlowMemory): SlowMemory {
  if (stage1.type === "device" && stage2.type === "device") {
    return { ...stage1, device: Math.min(stage1.device, stage2.device) };
  }
  if (stage1.type !== "normal") return stage1;
  if (stage2.type !== "normal") return stage2;
  const [outer, inner] = [weakerHalf(stage1.outer, stage2.outer), weakerHalf(stage1.inner, stage2.inner)];
  const writeBack = outer.policy === "WB" && inner.policy === "WB";
  return normal(outer, inner, { tagged: stage1.tagged && writeBack });
}

/** Stage 2 gives no hints: they are those of stage 1. */
function weakerHalf(stage1: SlowHalf, stage2: SlowHalf): SlowHalf {
  if (stage1.policy === "NC" || stage2.policy === "NC") return HALF_NC;
  return { ...stage1, policy: stage1.policy === "WT" || stage2.policy === "WT" ? "WT" : "WB" };
}

/** Tables D8-100, D8-101. */
function forceMemory(stage1: SlowMemory, stage2: SlowMemory): SlowMemory {
  if (stage2.type === "words") return stage1;
  if (stage2.type === "device") return weaker(stage1, stage2);
  if (stage2.outer.policy === "NC") return stage1.type === "device" ? stage1 : NORMAL_NC;
  if (stage1.type !== "normal") return NORMAL_WB;
  return normal(writeBackHalf(stage1.outer), writeBackHalf(stage1.inner), { tagged: stage1.tagged });
}

/** The hints of stage 1 where that is cacheable, else Read-Allocate, Write-Allocate, not transient. */
function writeBackHalf(stage1: SlowHalf): SlowHalf {
  return stage1.policy === "NC" ? HALF_WB_RAWA : { ...stage1, policy: "WB" };
}
