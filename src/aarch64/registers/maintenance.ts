/**
 * Which System instructions maintain TLBs and caches.
 *
 * Source: Arm ARM DDI 0487, C5.3 (DC and IC), C5.5 (TLBI).
 */
import { systemNameOf } from "./encodings.ts";

/** DC ZVA, GVA, GZVA, GBVA and ZGBVA store zeros or tags; what cleans or invalidates begins with C or I. */
const MAINTENANCE = /^(?:TLBI |IC |DC [CI])/;

/** TLBI, IC, and DC but for those that store to memory. Not AT, and nothing that the table of encodings has no name for. */
export function isMaintenance(encoding: number): boolean {
  return MAINTENANCE.test(systemNameOf(encoding));
}
