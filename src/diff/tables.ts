/** Table pages that came, went or changed. */

import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import type { PhysAddr } from "../base/address.ts";
import type { PointView } from "./point-view.ts";

export interface TableChange {
  readonly regime: RegimeName;
  readonly pa: PhysAddr;
  readonly kind: "added" | "removed" | "changed";
}

/**
 * Compares the table pages of a regime. Where a side has tables that could not be looked into, a page that it does not show may
 * still be there: nothing is said of it.
 */
export function diffTables(name: RegimeName, before: PointView, after: PointView): readonly TableChange[] {
  const old = tablePages(before.map(name));
  const now = tablePages(after.map(name));
  const all = [...new Set([...old, ...now])].sort((a, b) => a - b);
  return all.flatMap((pageNumber): TableChange[] => {
    const pa = pageAddress(pageNumber);
    if (!old.has(pageNumber)) return isWhole(before.map(name)) ? [{ regime: name, pa, kind: "added" }] : [];
    if (!now.has(pageNumber)) return isWhole(after.map(name)) ? [{ regime: name, pa, kind: "removed" }] : [];
    return sameContents(before, after, pa) ? [] : [{ regime: name, pa, kind: "changed" }];
  });
}

function isWhole(map: RegimeMap | undefined): boolean {
  return map === undefined || map.lost.length === 0;
}

function tablePages(map: RegimeMap | undefined): ReadonlySet<number> {
  return new Set((map?.tables ?? []).map(({ pageNumber }) => pageNumber));
}

function sameContents(before: PointView, after: PointView, pa: PhysAddr): boolean {
  const a = before.page(pa);
  const b = after.page(pa);
  if (a?.state !== "present" || b?.state !== "present") return false;
  return Buffer.compare(a.bytes, b.bytes) === 0;
}
