/**
 * What decides the attributes of stage 1 leaves, besides their descriptors: SCTLR_ELx, TCR_ELx, TCR2_ELx and the registers they refer to.
 *
 * Source: Arm ARM DDI 0487, D24.2 SCTLR_ELx, TCR_ELx, TCR2_ELx, HCRX_EL2, MAIR_ELx, MAIR2_ELx, PIR_ELx, POR_ELx; D8.4, D8.5, D8.6.
 */
import { bit, bits } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import type { Features } from "./features.ts";
import { currentExceptionLevel, defaultCacheable, el2Enabled } from "./machine-state.ts";
import {
  exceptionLevelOf,
  hasUnprivileged,
  type PermissionRegisters,
  type Stage1Controls,
  type Stage1Name,
} from "./regime-model.ts";

/** What TCR2_ELx, or the upper half of TCR_EL3, turns on. */
export interface ExtendedControls {
  readonly protectedBit: boolean;
  readonly indirect: boolean;
  readonly el0Overlays: boolean;
  readonly overlays: boolean;
  readonly longIndex: boolean;
  readonly wideDescriptors: boolean;
}

export function extendedControls(name: Stage1Name, tcr: bigint, registers: Registers): ExtendedControls {
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

/**
 * The machine has permission indirection or overlays (ID_AA64MMFR3_EL1.{S1PIE, S1POE}), but the stub does not offer the register that
 * turns them on: whether permissions are direct cannot be told.
 */
function hidesExtensions(el: number, registers: Registers): boolean {
  const mmfr3 = registers.get("ID_AA64MMFR3_EL1") ?? 0n;
  if (el === 3 || registers.get(`TCR2_EL${el}`) !== undefined || bits(mmfr3, 3, 0) === 0n) return false;
  return bits(mmfr3, 11, 8) !== 0n || bits(mmfr3, 19, 16) !== 0n;
}

export function readControls(
  name: Stage1Name,
  registers: Registers,
  extended: ExtendedControls,
  features: Features,
): Stage1Controls {
  const el = exceptionLevelOf(name);
  const hasEl0 = hasUnprivileged(name);
  const sctlr = registers.get(`SCTLR_EL${el}`) ?? 0n;
  const tcr = registers.get(`TCR_EL${el}`) ?? 0n;
  const managed = (hasEl0 ? bits(tcr, 40, 39) : bits(tcr, 22, 21)) === 0b11n;
  const hidden = hidesExtensions(el, registers);
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
    indirect: extended.indirect
      ? indirect
      : hidden
        ? { privileged: undefined, unprivileged: hasEl0 ? undefined : null }
        : null,
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
