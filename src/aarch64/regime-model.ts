/**
 * What a translation regime is to the decoders: everything that its registers say, in one structure.
 *
 * Terms (Arm ARM DDI 0487, D8.1): a regime has one or two *roots*, the ranges of addresses that TTBR0 and TTBR1 translate. Stage 1
 * takes virtual addresses; with stage 2 in force what comes out of it is an intermediate physical address (IPA), which stage 2
 * translates to a physical one.
 */
import type { PhysAddr, VirtAddr } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { TableFormat } from "./granule.ts";

export const REGIME_NAMES = ["EL1&0", "EL2", "EL2&0", "EL3", "stage2"] as const;
/** `EL1&0` is the whole way from virtual to physical addresses, through stage 2 where that is in force. */
export type RegimeName = (typeof REGIME_NAMES)[number];

export type Stage1Name = Exclude<RegimeName, "stage2">;

/** The Exception level whose registers control a regime. */
export function exceptionLevelOf(name: RegimeName): 1 | 2 | 3 {
  if (name === "EL1&0") return 1;
  return name === "EL3" ? 3 : 2;
}

/** Whether EL0 uses the regime too, which then has two halves. */
export function hasUnprivileged(name: Stage1Name): boolean {
  return name === "EL1&0" || name === "EL2&0";
}

export function isRegimeName(text: string): text is RegimeName {
  return (REGIME_NAMES as readonly string[]).includes(text);
}

/** The addresses that one TTBR translates. */
export interface TableRoot {
  /** Where the root comes from, such as `TTBR0_EL1`. */
  readonly register: string;
  readonly vaBase: VirtAddr;
  /** The range is 2^inputBits bytes, from vaBase on. */
  readonly inputBits: number;
  readonly startLevel: number;
  /** The first table; it may start inside a page when it has few entries. An intermediate physical address behind stage 2. */
  readonly table: PhysAddr;
  /** Entries of the first table; more than a table has where tables are concatenated (stage 2). */
  readonly entries: number;
  readonly format: TableFormat;
  /** Width of the addresses that its descriptors may name; above is an Address size fault (TCR_ELx.{IPS,PS}). */
  readonly outputBits: number;
  /** Whether APTable, PXNTable, UXNTable and XNTable count (TCR_ELx.HPD = 0). */
  readonly hierarchical: boolean;
  /** TCR_ELx.TBI: bits 63:56 of an address are a tag and not looked at (for instructions too, unless TBID says otherwise). */
  readonly topByteIgnored: boolean;
  /** TCR_ELx.MTX: bits 59:56 are a tag and not looked at (FEAT_MTE_NO_ADDRESS_TAGS, FEAT_MTE_CANONICAL_TAGS). */
  readonly memoryTagIgnored: boolean;
  /** SH of the TCR, where descriptors have none (FEAT_LPA2 with DS = 1). */
  readonly shareability: number | undefined;
  /** TCR_ELx.E0PD: EL0 has no access to this half. */
  readonly el0Denied: boolean;
}

/** A register of which it is asked; undefined: the stub does not offer it, and what depends on it cannot be told. */
type Offered = bigint | undefined;

/** Permission indirection or overlays: a register each for privileged and unprivileged accesses; null: not in use for those. */
export interface PermissionRegisters {
  readonly privileged: Offered | null;
  readonly unprivileged: Offered | null;
}

/** What decides the attributes of a stage 1 leaf, besides its descriptor. */
export interface Stage1Controls {
  readonly stage: 1;
  readonly hasEl0: boolean;
  /** SCTLR_ELx.WXN: writable implies execute-never. */
  readonly wxn: boolean;
  /** TCR_ELx.{HA, HD} are 1: a leaf with DBM = 1 is writable whatever AP<2> says, as hardware clears AP<2> on a write. */
  readonly dirtyState: boolean;
  /** TCR_ELx.HA: hardware sets the access flag. */
  readonly setsAccessFlag: boolean;
  /** PSTATE.PAN is 1, and the vCPU at the level of the regime; `enhanced`: with SCTLR_ELx.EPAN. */
  readonly pan: "off" | "on" | "enhanced";
  /** SCTLR_ELx.C = 0: data accesses see Normal memory as Non-cacheable. */
  readonly uncached: boolean;
  /** SCTLR_ELx.I = 0: instruction fetches see Normal memory as Non-cacheable. */
  readonly uncachedFetch: boolean;
  /** MAIR_ELx. */
  readonly mair: bigint;
  /** MAIR2_ELx when the attribute index has four bits (FEAT_AIE); null: it has three. */
  readonly mair2: Offered | null;
  /** PIR_ELx and PIRE0_ELx (FEAT_S1PIE); null: permissions are direct. */
  readonly indirect: PermissionRegisters | null;
  /** POR_ELx and POR_EL0 (FEAT_S1POE). */
  readonly overlays: PermissionRegisters;
  /** TCR2_ELx.PnCH: bit 52 of a descriptor is Protected, not Contiguous (FEAT_THE). */
  readonly protectedBit: boolean;
  /** With translation off, what memory is: Device, or Write-Back with HCR_EL2.DC. */
  readonly flat: "device" | "write-back";
}

/** What decides the attributes of a stage 2 leaf, besides its descriptor. */
export interface Stage2Controls {
  readonly stage: 2;
  /** HCR_EL2.FWB (FEAT_S2FWB). */
  readonly forcedWriteBack: boolean;
  /** FEAT_XNX: XN<1:0> tells privileged from unprivileged execution. */
  readonly executeNeverByLevel: boolean;
  /** VTCR_EL2.{HA, HD}. */
  readonly dirtyState: boolean;
  /** HCR_EL2.CD = 1: data accesses of EL1 and EL0 see Normal memory as Non-cacheable, whatever the stages say. */
  readonly uncached: boolean;
  /** HCR_EL2.ID = 1: the same for instruction fetches. */
  readonly uncachedFetch: boolean;
  /** VTCR_EL2.S2PIE or S2POE: permissions cannot be told. */
  readonly indirect: boolean;
  /** VTCR_EL2.HA: hardware sets the access flag. */
  readonly setsAccessFlag: boolean;
  /** HCR_EL2.PTW, without TGE: a stage 1 table in stage 2 Device memory is a Permission fault. */
  readonly protectedWalk: boolean;
}

/** Something of a regime that cannot be decoded. */
export interface Undecoded {
  readonly code: ErrorCode;
  readonly why: string;
  /** The page of the root table, kept raw in captures. */
  readonly root: PhysAddr | undefined;
  /** Which halves of the address space it leaves unknown: the one of TTBR0, of TTBR1, or both. */
  readonly halves: readonly ("lower" | "upper")[];
}

export interface Regime {
  readonly name: RegimeName;
  /** The Exception level whose registers control it. */
  readonly exceptionLevel: 1 | 2 | 3;
  /** Whether unprivileged (EL0) accesses use it too. */
  readonly hasEl0: boolean;
  /** SCTLR_ELx.M, or HCR_EL2.VM. Off: the output address is the input address. */
  readonly enabled: boolean;
  readonly roots: readonly TableRoot[];
  readonly controls: Stage1Controls | Stage2Controls;
  /** Width in bits of a physical address: what an input address must fit with translation off. */
  readonly physicalBits: number;
  /** TBI of the lower and upper half, which counts with translation off too. */
  readonly topByteIgnored: { readonly lower: boolean; readonly upper: boolean };
  /** SCTLR_ELx.EE: descriptors are big-endian. */
  readonly bigEndian: boolean;
  readonly undecoded: readonly Undecoded[];
  /** Stage 2, where this regime's outputs and its tables are intermediate physical addresses. */
  readonly behind: Regime | undefined;
}

/** Equal for regimes whose tables are the same: those of vCPUs that share them are walked once. */
export function regimeKey(regime: Regime): string {
  const roots = regime.roots.map(({ table, inputBits, vaBase, startLevel, format, outputBits }) =>
    [vaBase, table, inputBits, startLevel, format.granuleBits, format.addressForm, outputBits].join(":"),
  );
  const undecoded = regime.undecoded.map(({ code, root }) => `${code}:${root}`);
  const behind = regime.behind === undefined ? [] : [`(${regimeKey(regime.behind)})`];
  return [regime.name, regime.enabled, regime.bigEndian, ...roots, ...undecoded, ...behind].join(" ");
}
