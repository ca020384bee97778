/** Table pages that came, went or changed. */

import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { pageAddress, pageNumberOf } from "../aarch64/table-pages.ts";
import type { PhysAddr } from "../base/address.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { Point } from "../snapshot/model.ts";
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
  const [oldMap, newMap] = [before.map(name), after.map(name)];
  const [old, now] = [tablePages(oldMap), tablePages(newMap)];
  const other = otherPages(before.point, after.point);
  const changes: [pageNumber: number, kind: TableChange["kind"]][] = [];
  for (const pageNumber of old) {
    if (!now.has(pageNumber)) changes.push([pageNumber, "removed"]);
    else if (other.has(pageNumber)) changes.push([pageNumber, "changed"]);
  }
  for (const pageNumber of now) if (!old.has(pageNumber)) changes.push([pageNumber, "added"]);
  const untold = { added: !isWhole(oldMap), removed: !isWhole(newMap), changed: false };
  return changes
    .filter(([, kind]) => !untold[kind])
    .sort(([a], [b]) => a - b)
    .map(([pageNumber, kind]) => ({ regime: name, pa: pageAddress(pageNumber), kind }));
}

function isWhole(map: RegimeMap | undefined): boolean {
  return map === undefined || map.lost.length === 0;
}

function tablePages(map: RegimeMap | undefined): ReadonlySet<number> {
  return new Set((map?.tables ?? []).map(({ pageNumber }) => pageNumber));
}

/** The pages of a point that another one has with other contents, or not at all. What did not change is mostly one object. */
function otherPages(before: Point, after: Point): ReadonlySet<number> {
  const pages = new Set<number>();
  for (const [pa, read] of before.pages) if (!sameContents(read, after.pages.get(pa))) pages.add(pageNumberOf(pa));
  return pages;
}

function sameContents(a: MemoryRead, b: MemoryRead | undefined): boolean {
  if (a.state !== "present" || b?.state !== "present") return false;
  return a.bytes === b.bytes || Buffer.compare(a.bytes, b.bytes) === 0;
}
