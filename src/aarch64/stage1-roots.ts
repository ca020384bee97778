/**
 * The roots of a stage 1 regime: what TCR_ELx says of each half of the address space, and the TTBR that translates it.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process" (sizes, starting level, TTBRs), D24.2 TCR_ELx, TTBRn_ELx.
 */
import { virt } from "../base/address.ts";
import { bit, bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import { addressBits, type Features, sizeLimits } from "./features.ts";
import {
  type GranuleBits,
  granuleOfTg0,
  granuleOfTg1,
  levelShift,
  startLevelFor,
  tableBase,
  tableFormat,
} from "./granule.ts";
import type { TableRoot, Undecoded } from "./regime-model.ts";
import type { ExtendedControls } from "./stage1-controls.ts";

/** The fields of TCR_ELx about one root, whatever the layout they come from. */
interface RootLayout {
  readonly upper: boolean;
  readonly size: number;
  readonly granule: GranuleBits | undefined;
  readonly disabled: boolean;
  readonly hierarchical: boolean;
  readonly topByteIgnored: boolean;
  readonly memoryTagIgnored: boolean;
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
      memoryTagIgnored: bit(tcr, 60),
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
      memoryTagIgnored: bit(tcr, 61),
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
    memoryTagIgnored: bit(tcr, 33),
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

export interface RootContext {
  readonly el: number;
  readonly hasEl0: boolean;
  readonly tcr: bigint;
  readonly registers: Registers;
  readonly features: Features;
  readonly extended: ExtendedControls;
}

/** The roots in use; what cannot be decoded goes into `undecoded`. */
export function readRoots(context: RootContext, undecoded: Undecoded[]): TableRoot[] {
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
    memoryTagIgnored: layout.memoryTagIgnored && features.addressTags,
    shareability: lpa2 ? layout.shareability : undefined,
    el0Denied: layout.el0Denied && features.e0pd,
  };
}
