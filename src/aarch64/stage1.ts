/**
 * Reading a stage 1 regime from the registers of its Exception level.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process" (sizes, starting level, TTBRs), D24.2 SCTLR_ELx, TCR_ELx, TCR2_ELx, TTBRn_ELx,
 * MAIR_ELx, PIR_ELx, POR_ELx, HCR_EL2.
 */
import { virt } from "../base/address.ts";
import { bit, bits, bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import { addressBits, Features, sizeLimits } from "./features.ts";
import {
  type GranuleBits,
  granuleOfTg0,
  granuleOfTg1,
  levelShift,
  startLevelFor,
  tableBase,
  tableFormat,
} from "./granule.ts";
import {
  currentExceptionLevel,
  el2Enabled,
  hostExtensions,
  secondStageInForce,
  trapsGeneral,
} from "./machine-state.ts";
import type { PermissionRegisters, Regime, RegimeName, Stage1Controls, TableRoot, Undecoded } from "./regime-model.ts";
import { readStage2 } from "./stage2.ts";

export type Stage1Name = Exclude<RegimeName, "stage2">;

const BOTH_HALVES = ["lower", "upper"] as const;

export function exceptionLevelOf(name: RegimeName): 1 | 2 | 3 {
  if (name === "EL1&0") return 1;
  return name === "EL3" ? 3 : 2;
}

/** Reads a stage 1 regime, whether it is live or not; EL1&0 with stage 2 behind it where that is in force. */
export function readStage1(name: Stage1Name, registers: Registers): Regime {
  const el = exceptionLevelOf(name);
  const features = new Features(registers);
  const hasEl0 = name === "EL1&0" || name === "EL2&0";
  const sctlr = registers.get(`SCTLR_EL${el}`);
  const tcr = registers.get(`TCR_EL${el}`);
  const mair = registers.get(`MAIR_EL${el}`);
  const behind = name === "EL1&0" && secondStageInForce(registers) ? readStage2(registers) : undefined;
  const extended = extendedControls(name, tcr ?? 0n, registers);
  const base = {
    name,
    exceptionLevel: el,
    hasEl0,
    controls: readControls(name, registers, extended, features),
    physicalBits: features.physicalAddressBits,
    topByteIgnored: hasEl0
      ? { lower: bit(tcr ?? 0n, 37), upper: bit(tcr ?? 0n, 38) }
      : { lower: bit(tcr ?? 0n, 20), upper: false },
    bigEndian: bit(sctlr ?? 0n, 25),
    behind,
  } as const;
  const missing = missingRegisters(el, registers);
  const refused = missing ?? refusal(name, registers, extended);
  if (refused !== undefined || tcr === undefined || mair === undefined) {
    const roots = rootsToKeep(el, hasEl0, behind !== undefined, registers);
    const undecoded = roots.map((root) => ({ halves: BOTH_HALVES, root, ...(refused as Refusal) }));
    return { ...base, enabled: true, roots: [], undecoded };
  }
  const enabled = translates(name, sctlr as bigint, registers);
  const undecoded: Undecoded[] = [];
  const roots = enabled ? readRoots({ el, hasEl0, tcr, registers, features, extended }, undecoded) : [];
  return { ...base, enabled, roots, undecoded };
}

/** SCTLR_ELx.M, less what keeps EL1&0 from translating: HCR_EL2.TGE without E2H, and HCR_EL2.DC. */
export function translates(name: Stage1Name, sctlr: bigint, registers: Registers): boolean {
  if (!bit(sctlr, 0)) return false;
  if (name !== "EL1&0" || !el2Enabled(registers)) return true;
  if (hostExtensions(registers) && trapsGeneral(registers)) return true;
  return !trapsGeneral(registers) && !defaultCacheable(registers);
}

/** HCR_EL2.DC: EL1&0 stage 1 is off, its memory Write-Back, and stage 2 is in force. */
function defaultCacheable(registers: Registers): boolean {
  return bit(registers.get("HCR_EL2") ?? 0n, 12) && secondStageInForce(registers);
}

interface Refusal {
  readonly code: Undecoded["code"];
  readonly why: string;
}

function missingRegisters(el: number, registers: Registers): Refusal | undefined {
  const missing = [`SCTLR_EL${el}`, `TCR_EL${el}`, `MAIR_EL${el}`].filter((name) => registers.get(name) === undefined);
  if (missing.length === 0) return undefined;
  return { code: "register-missing", why: `not offered by the stub, or not readable: ${missing.join(", ")}` };
}

/** Why the regime cannot be decoded as a whole, if so. */
function refusal(name: Stage1Name, registers: Registers, extended: ExtendedControls): Refusal | undefined {
  if (name === "EL1&0" && runsAArch32(registers)) {
    return { code: "regime-not-decoded", why: "EL1 uses AArch32 state: its tables have the VMSAv8-32 formats" };
  }
  if (name === "EL1&0" && showsOthers(registers)) {
    return {
      code: "register-hidden",
      why: "the stub shows EL2's registers under the names of EL1's (HCR_EL2.E2H = 1): EL1's own are not known",
    };
  }
  if (name === "EL2" && hostExtensions(registers)) {
    return { code: "regime-not-decoded", why: "HCR_EL2.E2H is 1: EL2 has the regime EL2&0, not EL2" };
  }
  if (name === "EL2&0" && !hostExtensions(registers)) {
    return { code: "regime-not-decoded", why: "HCR_EL2.E2H is 0: EL2 has the regime EL2, not EL2&0" };
  }
  if (extended.wideDescriptors) {
    const where = name === "EL3" ? "TCR_EL3" : `TCR2_EL${exceptionLevelOf(name)}`;
    return { code: "extension-not-decoded", why: `${where}.D128 = 1: descriptors are 128 bits wide (FEAT_D128)` };
  }
  if (name === "EL1&0" && nestedWithoutEl0(registers)) {
    return { code: "extension-not-decoded", why: "HCR_EL2.{NV, NV1} = {1, 1}: descriptors of EL1&0 have another form" };
  }
  return undefined;
}

/** cpsr.M<4>: AArch32 state, in another mode than User; or HCR_EL2.RW = 0, seen from EL2. */
function runsAArch32(registers: Registers): boolean {
  const cpsr = registers.get("cpsr") ?? 0n;
  if (bit(cpsr, 4)) return bitsNumber(cpsr, 3, 0) !== 0;
  const hcr = registers.get("HCR_EL2");
  return hcr !== undefined && bitsNumber(cpsr, 3, 2) === 2 && !bit(hcr, 31) && !hostExtensions(registers);
}

const SHADOWED = ["SCTLR", "TCR", "TTBR0", "TTBR1", "MAIR", "VBAR"] as const;

/**
 * QEMU 10.2 and newer give EL2's registers under the names of EL1's while the vCPU is at EL2 with HCR_EL2.E2H = 1, as an MRS there
 * would. Told by their values: all of them are equal.
 */
export function showsOthers(registers: Registers): boolean {
  const cpsr = registers.get("cpsr") ?? 0n;
  if (bit(cpsr, 4) || bitsNumber(cpsr, 3, 2) !== 2 || !hostExtensions(registers)) return false;
  return SHADOWED.every((name) => {
    const value = registers.get(`${name}_EL1`);
    return value !== undefined && value === registers.get(`${name}_EL2`);
  });
}

/** HCR_EL2.NV [42] and NV1 [43]. */
function nestedWithoutEl0(registers: Registers): boolean {
  return el2Enabled(registers) && bits(registers.get("HCR_EL2") ?? 0n, 43, 42) === 0b11n;
}

/** The root pages of a regime that is refused as a whole, to be kept raw; behind stage 2 they are no physical addresses. */
function rootsToKeep(el: number, hasEl0: boolean, behindStage2: boolean, registers: Registers): Undecoded["root"][] {
  if (behindStage2) return [undefined];
  const names = hasEl0 ? [`TTBR0_EL${el}`, `TTBR1_EL${el}`] : [`TTBR0_EL${el}`];
  const roots = names.flatMap((name) => {
    const ttbr = registers.get(name);
    return ttbr === undefined ? [] : [tableBase(ttbr, 512, false)];
  });
  return roots.length === 0 ? [undefined] : roots;
}

/** What TCR2_ELx, or the upper half of TCR_EL3, turns on. */
interface ExtendedControls {
  readonly protectedBit: boolean;
  readonly indirect: boolean;
  readonly el0Overlays: boolean;
  readonly overlays: boolean;
  readonly longIndex: boolean;
  readonly wideDescriptors: boolean;
}

function extendedControls(name: Stage1Name, tcr: bigint, registers: Registers): ExtendedControls {
  if (name === "EL3") {
    return {
      protectedBit: bit(tcr, 34),
      indirect: bit(tcr, 35),
      el0Overlays: false,
      overlays: bit(tcr, 36),
      longIndex: bit(tcr, 37),
      wideDescriptors: bit(tcr, 38),
    };
  }
  const tcr2 = effectiveTcr2(name, registers);
  return {
    protectedBit: bit(tcr2, 0),
    indirect: bit(tcr2, 1),
    el0Overlays: bit(tcr2, 2),
    overlays: bit(tcr2, 3),
    longIndex: bit(tcr2, 4),
    wideDescriptors: bit(tcr2, 5),
  };
}

/**
 * TCR2_ELx counts as 0 while SCR_EL3.TCR2En is 0, and TCR2_EL1 while HCRX_EL2.TCR2En is 0, which it also is while SCR_EL3.HXEn is 0
 * (pseudocode IsTCR2EL1Enabled).
 */
function effectiveTcr2(name: Stage1Name, registers: Registers): bigint {
  const scr = registers.get("SCR_EL3");
  if (scr !== undefined && !bit(scr, 43)) return 0n;
  const hcrx = registers.get("HCRX_EL2");
  if (name === "EL1&0" && hcrx !== undefined && el2Enabled(registers)) {
    if (!bit(hcrx, 14) || (scr !== undefined && !bit(scr, 38))) return 0n;
  }
  return registers.get(`TCR2_EL${exceptionLevelOf(name)}`) ?? 0n;
}

function readControls(
  name: Stage1Name,
  registers: Registers,
  extended: ExtendedControls,
  features: Features,
): Stage1Controls {
  const el = exceptionLevelOf(name);
  const hasEl0 = name === "EL1&0" || name === "EL2&0";
  const sctlr = registers.get(`SCTLR_EL${el}`) ?? 0n;
  const tcr = registers.get(`TCR_EL${el}`) ?? 0n;
  const managed = (hasEl0 ? bits(tcr, 40, 39) : bits(tcr, 22, 21)) === 0b11n;
  const indirect: PermissionRegisters = {
    privileged: registers.get(`PIR_EL${el}`),
    unprivileged: hasEl0 ? registers.get(`PIRE0_EL${el}`) : null,
  };
  return {
    stage: 1,
    hasEl0,
    // With permission indirection WXN is a property of the permission (PIR_ELx.Perm<n> = 0b0110).
    wxn: bit(sctlr, 19),
    dirtyState: managed && features.dirtyState,
    setsAccessFlag: bit(tcr, hasEl0 ? 39 : 21) && features.accessFlag,
    pan: accessNever(el, sctlr, registers),
    uncached: !bit(sctlr, 2),
    uncachedFetch: !bit(sctlr, 12),
    mair: registers.get(`MAIR_EL${el}`) ?? 0n,
    mair2: extended.longIndex ? registers.get(`MAIR2_EL${el}`) : null,
    indirect: extended.indirect ? indirect : null,
    overlays: {
      privileged: extended.overlays ? registers.get(`POR_EL${el}`) : null,
      unprivileged: extended.el0Overlays && hasEl0 ? registers.get("POR_EL0") : null,
    },
    protectedBit: extended.protectedBit,
    flat: name === "EL1&0" && defaultCacheable(registers) ? "write-back" : "device",
  };
}

function accessNever(el: number, sctlr: bigint, registers: Registers): Stage1Controls["pan"] {
  if (currentExceptionLevel(registers) !== el || !bit(registers.get("cpsr") ?? 0n, 22)) return "off";
  return bit(sctlr, 57) ? "enhanced" : "on";
}

/** The fields of TCR_ELx about one root, whatever the layout they come from. */
interface RootLayout {
  readonly upper: boolean;
  readonly size: number;
  readonly granule: GranuleBits | undefined;
  readonly disabled: boolean;
  readonly hierarchical: boolean;
  readonly topByteIgnored: boolean;
  readonly shareability: number;
  readonly el0Denied: boolean;
  /** DS: descriptors and TTBR hold addresses of 52 bits, where FEAT_LPA2 is implemented. */
  readonly ds: boolean;
  /** IPS or PS. */
  readonly physicalSize: number;
}

/** TCR_EL1, and TCR_EL2 when HCR_EL2.E2H is 1. */
function twoRootLayouts(tcr: bigint): readonly RootLayout[] {
  const both = { ds: bit(tcr, 59), physicalSize: bitsNumber(tcr, 34, 32) };
  return [
    {
      ...both,
      upper: false,
      size: bitsNumber(tcr, 5, 0),
      granule: granuleOfTg0(bitsNumber(tcr, 15, 14)),
      disabled: bit(tcr, 7),
      hierarchical: !bit(tcr, 41),
      topByteIgnored: bit(tcr, 37),
      shareability: bitsNumber(tcr, 13, 12),
      el0Denied: bit(tcr, 55),
    },
    {
      ...both,
      upper: true,
      size: bitsNumber(tcr, 21, 16),
      granule: granuleOfTg1(bitsNumber(tcr, 31, 30)),
      disabled: bit(tcr, 23),
      hierarchical: !bit(tcr, 42),
      topByteIgnored: bit(tcr, 38),
      shareability: bitsNumber(tcr, 29, 28),
      el0Denied: bit(tcr, 56),
    },
  ];
}

/** TCR_EL2 when HCR_EL2.E2H is 0, and TCR_EL3. */
function oneRootLayout(tcr: bigint): RootLayout {
  return {
    upper: false,
    size: bitsNumber(tcr, 5, 0),
    granule: granuleOfTg0(bitsNumber(tcr, 15, 14)),
    disabled: false,
    hierarchical: !bit(tcr, 24),
    topByteIgnored: bit(tcr, 20),
    shareability: bitsNumber(tcr, 13, 12),
    el0Denied: false,
    ds: bit(tcr, 32),
    physicalSize: bitsNumber(tcr, 18, 16),
  };
}

/** Extensions that leave no hierarchical permissions (D8.4 R_JHSVW, R_BVXDG; D8.6 R_MJGNV). */
function takesTableBits({ indirect, overlays, el0Overlays, longIndex }: ExtendedControls): boolean {
  return indirect || overlays || el0Overlays || longIndex;
}

interface RootContext {
  readonly el: number;
  readonly hasEl0: boolean;
  readonly tcr: bigint;
  readonly registers: Registers;
  readonly features: Features;
  readonly extended: ExtendedControls;
}

function readRoots(context: RootContext, undecoded: Undecoded[]): TableRoot[] {
  const layouts = context.hasEl0 ? twoRootLayouts(context.tcr) : [oneRootLayout(context.tcr)];
  return layouts.flatMap((layout) => {
    if (layout.disabled) return [];
    const root = readRoot(layout, context);
    if ("register" in root) return [root];
    undecoded.push({ ...root, halves: [layout.upper ? "upper" : "lower"] });
    return [];
  });
}

function readRoot(
  layout: RootLayout,
  { el, registers, features, extended }: RootContext,
): TableRoot | Omit<Undecoded, "halves"> {
  const register = `TTBR${layout.upper ? 1 : 0}_EL${el}`;
  const ttbr = registers.get(register);
  if (ttbr === undefined)
    return { code: "register-missing", why: `the stub does not offer ${register}`, root: undefined };
  const { granule } = layout;
  const refuse = (why: string): Omit<Undecoded, "halves"> => ({
    code: "constrained-unpredictable",
    why,
    root: tableBase(ttbr, 512, false),
  });
  if (granule === undefined || !features.hasGranule(granule, 1)) {
    return refuse(`the granule of ${register} is ${granule === undefined ? "reserved" : "not implemented"}`);
  }
  const lpa2 = layout.ds && features.lpa2(granule, 1);
  const lpa = granule === 16 && features.lpa;
  const limits = sizeLimits(features, granule, lpa2 || (granule === 16 && features.largeAddresses));
  if (layout.size < limits.least || layout.size > limits.most) {
    return refuse(`T${layout.upper ? 1 : 0}SZ of ${register} is ${layout.size}, not ${limits.least} to ${limits.most}`);
  }
  const inputBits = 64 - layout.size;
  const startLevel = startLevelFor(granule, inputBits);
  const entries = 2 ** (inputBits - levelShift(granule, startLevel));
  const largest = lpa || lpa2 ? 52 : 48;
  return {
    register,
    vaBase: layout.upper ? virt(-(1n << BigInt(inputBits))) : virt(0n),
    inputBits,
    startLevel,
    table: tableBase(ttbr, entries, lpa2 || (lpa && layout.physicalSize === 6)),
    entries,
    format: tableFormat(granule, { lpa, lpa2 }),
    outputBits: Math.min(addressBits(layout.physicalSize), features.physicalAddressLimit, largest),
    hierarchical: layout.hierarchical && !takesTableBits(extended),
    topByteIgnored: layout.topByteIgnored,
    shareability: lpa2 ? layout.shareability : undefined,
    el0Denied: layout.el0Denied && features.e0pd,
  };
}
