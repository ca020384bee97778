/**
 * Memory types as structures: what MAIR_ELx and stage 2's MemAttr say, how two stages combine, and the words for the result.
 *
 * An attribute byte of MAIR_ELx is `0b0000dd00` for Device memory, and `oooo` (outer), `iiii` (inner) for Normal memory. FEAT_XS adds
 * `0b0000dd01`, 0x40 and 0xA0; FEAT_MTE2 adds 0xF0. All others with a zero half are UNPREDICTABLE.
 *
 * Source: Arm ARM DDI 0487, D24.2 MAIR_EL1; D8.6 "Memory region attributes"; D8.6.6 "Stage 2 memory region type and cacheability
 * attributes"; "Combining stage 1 and stage 2 memory type attributes".
 */

const DEVICES = ["Device-nGnRnE", "Device-nGnRE", "Device-nGRE", "Device-GRE"] as const;

/** Ordered from the weakest: what two stages combine to is the lesser. */
const CACHEABILITIES = ["NC", "WT", "WB"] as const;
export type Cacheability = (typeof CACHEABILITIES)[number];

export interface CachePolicy {
  readonly cacheability: Cacheability;
  /** Allocation hints, such as `RAWA`; empty for NC, and where nobody gave any (stage 2). */
  readonly hints: string;
}

/** One of the four Device types, by index from the strictest. `words` say more than the structure, such as `XS=0`. */
export interface DeviceType {
  readonly kind: "device";
  readonly device: number;
  readonly words?: string;
}

export interface NormalType {
  readonly kind: "normal";
  readonly outer: CachePolicy;
  readonly inner: CachePolicy;
  readonly tagged: boolean;
  readonly words?: string;
}

/** Encodings that are reserved, and attributes that cannot be told. */
export interface OtherType {
  readonly kind: "other";
  readonly words: string;
}

/** `as-stage-1`: stage 2 with FWB leaves it to stage 1. */
export type MemoryType = DeviceType | NormalType | OtherType | { readonly kind: "as-stage-1" };

/** What cannot be told, as a register that decides it is not offered. */
export const UNKNOWN_MEMORY: OtherType = { kind: "other", words: "unknown" };

const NON_CACHEABLE: CachePolicy = { cacheability: "NC", hints: "" };
/** What SCTLR_ELx.C = 0 and HCR_EL2.CD = 1 make of Normal memory. */
export const NORMAL_NON_CACHEABLE: NormalType = {
  kind: "normal",
  outer: NON_CACHEABLE,
  inner: NON_CACHEABLE,
  tagged: false,
};

const WRITE_BACK: CachePolicy = { cacheability: "WB", hints: "RAWA" };
/** Stage 1 off with HCR_EL2.DC = 1. */
export const DEFAULT_CACHEABLE: NormalType = { kind: "normal", outer: WRITE_BACK, inner: WRITE_BACK, tagged: false };
const WRITE_THROUGH_POLICY: CachePolicy = { cacheability: "WT", hints: "RA" };
/** Instruction fetches with stage 1 off and SCTLR_ELx.I = 1. */
export const WRITE_THROUGH: NormalType = {
  kind: "normal",
  outer: WRITE_THROUGH_POLICY,
  inner: WRITE_THROUGH_POLICY,
  tagged: false,
};
export const STRICT_DEVICE: DeviceType = { kind: "device", device: 0 };

/** Read-Allocate and Write-Allocate hints by the two low bits of a half; NA is "no allocate". */
const ALLOCATE = ["NA", "WA", "RA", "RAWA"] as const;

function policyOf(half: number): CachePolicy {
  if (half === 0b0100) return NON_CACHEABLE;
  const transient = (half & 0b1000) === 0 ? " transient" : "";
  return { cacheability: (half & 0b0100) === 0 ? "WT" : "WB", hints: `${ALLOCATE[half & 0b11]}${transient}` };
}

/** One attribute byte of MAIR_ELx. */
export function memoryTypeOf(attr: number): MemoryType {
  const outer = attr >> 4;
  const inner = attr & 0xf;
  if (outer === 0) return deviceType(inner) ?? reserved(attr);
  if (inner !== 0) return { kind: "normal", outer: policyOf(outer), inner: policyOf(inner), tagged: false };
  if (attr === 0x40) return { ...NORMAL_NON_CACHEABLE, words: "Normal NC XS=0" };
  if (attr === 0xa0) {
    const policy = policyOf(0xa);
    return { kind: "normal", outer: policy, inner: policy, tagged: false, words: "Normal WT RA XS=0" };
  }
  return attr === 0xf0 ? { ...DEFAULT_CACHEABLE, tagged: true } : reserved(attr);
}

function deviceType(inner: number): DeviceType | undefined {
  if ((inner & 0b10) !== 0) return undefined;
  const device = inner >> 2;
  return (inner & 1) === 0 ? { kind: "device", device } : { kind: "device", device, words: `${DEVICES[device]} XS=0` };
}

function reserved(attr: number): OtherType {
  return { kind: "other", words: `reserved 0x${attr.toString(16).toUpperCase().padStart(2, "0")}` };
}

/** MemAttr<3:0> of a stage 2 descriptor. */
export function stage2MemoryType(memAttr: number, forcedWriteBack: boolean): MemoryType {
  if (forcedWriteBack) return forcedType(memAttr);
  if (memAttr >> 2 === 0) return { kind: "device", device: memAttr & 3 };
  const outer = stage2Policy(memAttr >> 2);
  const inner = stage2Policy(memAttr & 3);
  if (outer === undefined || inner === undefined) return { kind: "other", words: "reserved" };
  return { kind: "normal", outer, inner, tagged: false };
}

function stage2Policy(field: number): CachePolicy | undefined {
  const cacheability = CACHEABILITIES[field - 1];
  return cacheability === undefined ? undefined : { cacheability, hints: "" };
}

/** With HCR_EL2.FWB = 1 (FEAT_S2FWB): bit 3 says nothing of the type. */
function forcedType(memAttr: number): MemoryType {
  const policy: CachePolicy = { cacheability: "WB", hints: "" };
  switch (memAttr & 0b111) {
    case 0b100:
      return { kind: "other", words: "reserved" };
    case 0b101:
      return NORMAL_NON_CACHEABLE;
    case 0b110:
      return { kind: "normal", outer: policy, inner: policy, tagged: false };
    case 0b111:
      return { kind: "as-stage-1" };
    default:
      return { kind: "device", device: memAttr & 3 };
  }
}

/** What comes of a stage 1 and a stage 2 type (pseudocode S2CombineS1MemAttrs). */
export function combineTypes(stage1: MemoryType, stage2: MemoryType, forcedWriteBack: boolean): MemoryType {
  if (stage2.kind === "other") return stage2;
  if (stage1.kind === "other" || stage1.kind === "as-stage-1") return stage1;
  if (stage2.kind === "as-stage-1") return withoutWords(stage1);
  if (stage2.kind === "device") {
    return {
      kind: "device",
      device: stage1.kind === "device" ? Math.min(stage1.device, stage2.device) : stage2.device,
    };
  }
  const forced = forcedWriteBack && stage2.outer.cacheability === "WB";
  if (stage1.kind === "device") return forced ? writeBack(stage1) : { kind: "device", device: stage1.device };
  if (forced) return writeBack(stage1);
  const outer = weaker(stage1.outer, stage2.outer);
  const inner = weaker(stage1.inner, stage2.inner);
  const tagged = stage1.tagged && outer.cacheability === "WB" && inner.cacheability === "WB";
  return { kind: "normal", outer, inner, tagged };
}

/** MemAttr 0b0110 with FWB: Write-Back whatever stage 1 says; hints of stage 1 where it had any, else Read and Write-Allocate. */
function writeBack(stage1: DeviceType | NormalType): MemoryType {
  if (stage1.kind === "device") return DEFAULT_CACHEABLE;
  const forced = ({ cacheability, hints }: CachePolicy): CachePolicy => ({
    cacheability: "WB",
    hints: cacheability === "NC" ? "RAWA" : hints,
  });
  return { kind: "normal", outer: forced(stage1.outer), inner: forced(stage1.inner), tagged: stage1.tagged };
}

function withoutWords(type: DeviceType | NormalType): MemoryType {
  const { words: _, ...rest } = type;
  return rest;
}

function weaker(stage1: CachePolicy, stage2: CachePolicy): CachePolicy {
  const rank = Math.min(CACHEABILITIES.indexOf(stage1.cacheability), CACHEABILITIES.indexOf(stage2.cacheability));
  const cacheability = CACHEABILITIES[rank] as Cacheability;
  return cacheability === "NC" ? NON_CACHEABLE : { cacheability, hints: stage1.hints };
}

/** Device and Non-cacheable memory is Outer Shareable whatever SH says (D8.6.2). */
export function alwaysOuterShareable(type: MemoryType): boolean {
  if (type.kind === "device") return true;
  return type.kind === "normal" && type.outer.cacheability === "NC" && type.inner.cacheability === "NC";
}

/** In the Arm ARM's words: `Device-nGnRE`, `Normal NC`, `Normal WB RAWA`, `Normal outer WB RAWA inner NC`, `reserved 0x02`. */
export function memoryWords(type: MemoryType): string {
  switch (type.kind) {
    case "device":
      return type.words ?? (DEVICES[type.device] as string);
    case "normal":
      return type.words ?? normalWords(type);
    case "as-stage-1":
      return "as stage 1";
    case "other":
      return type.words;
  }
}

function normalWords({ outer, inner, tagged }: NormalType): string {
  const words = ({ cacheability, hints }: CachePolicy): string =>
    hints === "" ? cacheability : `${cacheability} ${hints}`;
  const both = words(outer) === words(inner) ? words(inner) : `outer ${words(outer)} inner ${words(inner)}`;
  return `Normal ${both}${tagged ? " Tagged" : ""}`;
}
