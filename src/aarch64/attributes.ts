/**
 * What a mapping allows and how its memory behaves: out of a leaf, out of translation being off, out of two stages together.
 *
 * Source: Arm ARM DDI 0487, D8.4 "Memory access control", D8.6 "Memory region attributes", D8.2.12 (translation off).
 */
import { type LeafBits, leafBits } from "./descriptor.ts";
import {
  alwaysOuterShareable,
  combineTypes,
  DEFAULT_CACHEABLE,
  type MemoryType,
  memoryTypeOf,
  memoryWords,
  NORMAL_NON_CACHEABLE,
  STRICT_DEVICE,
  stage2MemoryType,
  UNKNOWN_MEMORY,
  WRITE_THROUGH,
} from "./memory-type.ts";
import {
  type Access,
  ALL,
  bothAccess,
  NONE,
  type Permissions,
  stage1Permissions,
  stage2Permissions,
} from "./permissions.ts";
import type { Regime, Stage1Controls, Stage2Controls, TableRoot } from "./regime-model.ts";

export type Shareability = "inner" | "outer" | "none" | "reserved";

/** Effective: hierarchical attributes, WXN, overlays and the other stage are applied. Privileged permissions stand at the top. */
export interface Attributes extends Access {
  /** Unprivileged access; null in regimes without EL0. */
  readonly el0: Access | null;
  /** TCR_ELx.E0PD: EL0's accesses are Translation faults at level 0, whatever the descriptor says. */
  readonly el0Denied: boolean;
  /** What the descriptor gives EL0: PAN goes by this. */
  readonly el0Leaf: Access | null;
  /** The memory type of data accesses in the Arm ARM's words, such as `Normal WB RAWA` or `Device-nGnRnE`. */
  readonly memory: string;
  readonly memoryType: MemoryType;
  /** The memory type of instruction fetches: another where SCTLR_ELx.{M, C, I} make it one. */
  readonly fetch: string;
  readonly fetchType: MemoryType;
  readonly shareability: Shareability;
  /** In bytes. */
  readonly granule: number;
  /** The level of the block or page descriptor; null with translation off. */
  readonly level: number | null;
  readonly contiguous: boolean;
  /** AF. Clear: the first access faults, unless hardware sets it (TCR_ELx.HA). */
  readonly accessFlag: boolean;
  /** AF is clear and hardware does not set it: every access is an Access flag fault. */
  readonly faultsOnAccess: boolean;
  /** nG = 0; true in regimes without an ASID. */
  readonly global: boolean;
  /** GP: branches into it must land on a BTI (FEAT_BTI). */
  readonly guarded: boolean;
  /** Equal for equal attributes, whatever capture or regime they come from. */
  readonly key: string;
}

const SHAREABILITY = ["none", "reserved", "outer", "inner"] as const;

/** The attributes of the leaf that a key (see descriptor.ts) stands for, below a root of a regime. */
export function leafAttributes(key: number, root: TableRoot, regime: Regime): Attributes {
  const { controls } = regime;
  return controls.stage === 1 ? stage1Attributes(key, root, controls) : stage2Attributes(key, root, controls);
}

function stage1Attributes(key: number, root: TableRoot, controls: Stage1Controls): Attributes {
  const bits = leafBits(key);
  const mapped = stage1Type(((bits.lower >>> 2) & 7) | ((bits.top & 1) << 3), controls);
  const type = controls.uncached ? nonCacheable(mapped) : mapped;
  const { privileged, el0 } = stage1Permissions(bits, controls);
  return assemble(
    { privileged, el0: root.el0Denied ? NONE : el0 },
    {
      el0Denied: root.el0Denied,
      el0Leaf: el0,
      memoryType: type,
      fetchType: controls.uncachedFetch ? nonCacheable(mapped) : mapped,
      shareability: shareabilityOf(type, root.shareability ?? (bits.lower >>> 8) & 3),
      granule: 2 ** root.format.granuleBits,
      level: bits.level,
      contiguous: !controls.protectedBit && isContiguous(bits, root),
      accessFlag: (bits.lower & 0x400) !== 0,
      faultsOnAccess: (bits.lower & 0x400) === 0 && !controls.setsAccessFlag,
      global: !controls.hasEl0 || (bits.lower & 0x800) === 0,
      guarded: (bits.upper & 1) !== 0,
    },
  );
}

/** Bit 52, which the largest blocks do not have (pseudocode AArch64.ContiguousBit). */
function isContiguous({ upper, level }: LeafBits, { format }: TableRoot): boolean {
  return (upper & 0b100) !== 0 && level > (format.granuleBits === 12 ? 0 : 1);
}

function nonCacheable(type: MemoryType): MemoryType {
  return type.kind === "normal" ? NORMAL_NON_CACHEABLE : type;
}

/** The type of an attribute index, as MAIR_ELx has it. */
export function stage1Type(index: number, { mair, mair2 }: Stage1Controls): MemoryType {
  const register = mair2 !== null && index >= 8 ? mair2 : mair;
  if (register === undefined) return UNKNOWN_MEMORY;
  return memoryTypeOf(Number((register >> BigInt((index & 7) * 8)) & 0xffn));
}

function stage2Attributes(key: number, root: TableRoot, controls: Stage2Controls): Attributes {
  const bits = leafBits(key);
  const type = stage2MemoryType((bits.lower >>> 2) & 0xf, controls.forcedWriteBack);
  const permissions = stage2Permissions(bits, controls);
  return assemble(permissions, {
    el0Denied: false,
    el0Leaf: permissions.el0,
    memoryType: type,
    fetchType: type,
    shareability: shareabilityOf(type, root.shareability ?? (bits.lower >>> 8) & 3),
    granule: 2 ** root.format.granuleBits,
    level: bits.level,
    contiguous: isContiguous(bits, root),
    accessFlag: (bits.lower & 0x400) !== 0,
    faultsOnAccess: (bits.lower & 0x400) === 0 && !controls.setsAccessFlag,
    global: true,
    guarded: false,
  });
}

function shareabilityOf(type: MemoryType, field: number): Shareability {
  return alwaysOuterShareable(type) ? "outer" : (SHAREABILITY[field] as Shareability);
}

/**
 * The attributes of every address with translation off, all of it executable: Device-nGnRnE for data, Normal Write-Through or
 * Non-cacheable for instruction fetches (SCTLR_ELx.I); with HCR_EL2.DC Write-Back for both.
 */
export function flatAttributes({ controls, hasEl0 }: Regime): Attributes {
  const cached = controls.stage === 1 && controls.flat === "write-back";
  const fetched = controls.uncachedFetch ? NORMAL_NON_CACHEABLE : WRITE_THROUGH;
  return assemble(
    { privileged: ALL, el0: hasEl0 ? ALL : null },
    {
      el0Denied: false,
      el0Leaf: hasEl0 ? ALL : null,
      memoryType: cached ? DEFAULT_CACHEABLE : STRICT_DEVICE,
      fetchType: cached ? DEFAULT_CACHEABLE : fetched,
      shareability: cached ? "none" : "outer",
      granule: 4096,
      level: null,
      contiguous: false,
      accessFlag: true,
      faultsOnAccess: false,
      global: true,
      guarded: false,
    },
  );
}

/** What stage 1 and stage 2 allow together; what only stage 1 has (its level, nG, GP) is stage 1's. */
export function combineStages(stage1: Attributes, stage2: Attributes, controls: Stage2Controls): Attributes {
  const combined = combineTypes(stage1.memoryType, stage2.memoryType, controls.forcedWriteBack);
  const type = controls.uncached ? nonCacheable(combined) : combined;
  const fetched = combineTypes(stage1.fetchType, stage2.fetchType, controls.forcedWriteBack);
  const el0 = stage1.el0 === null || stage2.el0 === null ? stage1.el0 : bothAccess(stage1.el0, stage2.el0);
  return assemble(
    { privileged: bothAccess(stage1, stage2), el0 },
    {
      el0Denied: stage1.el0Denied,
      el0Leaf: stage1.el0Leaf,
      memoryType: type,
      fetchType: controls.uncachedFetch ? nonCacheable(fetched) : fetched,
      shareability: alwaysOuterShareable(type) ? "outer" : wider(stage1.shareability, stage2.shareability),
      granule: stage1.granule,
      level: stage1.level,
      contiguous: stage1.contiguous,
      accessFlag: stage1.accessFlag && stage2.accessFlag,
      faultsOnAccess: stage1.faultsOnAccess || stage2.faultsOnAccess,
      global: stage1.global,
      guarded: stage1.guarded,
    },
  );
}

const WIDENESS: readonly Shareability[] = ["none", "reserved", "inner", "outer"];

function wider(a: Shareability, b: Shareability): Shareability {
  return WIDENESS.indexOf(a) > WIDENESS.indexOf(b) ? a : b;
}

function assemble(
  { privileged, el0 }: Permissions,
  rest: Omit<Attributes, keyof Access | "el0" | "memory" | "fetch" | "key">,
): Attributes {
  const memory = memoryWords(rest.memoryType);
  const fetch = memoryWords(rest.fetchType);
  const access = (each: Access): string => `${each.read} ${each.write} ${each.execute}`;
  const { shareability, granule, level, contiguous, accessFlag, faultsOnAccess, global, guarded } = rest;
  const key = [
    access(privileged),
    el0 === null ? "-" : access(el0),
    rest.el0Denied && rest.el0Leaf !== null ? access(rest.el0Leaf) : "",
    memory,
    fetch,
    shareability,
    granule,
    level,
    +contiguous,
    +accessFlag,
    +faultsOnAccess,
    +global,
    +guarded,
  ].join("|");
  const { read, write, execute } = privileged;
  return { read, write, execute, el0, memory, fetch, ...rest, key };
}
