/** What the two machines are. */
import { currentExceptionLevel } from "../../aarch64/machine-state.ts";
import { roughSize, sizeText } from "../../base/hex.ts";
import type { MemoryRange } from "../../base/memory.ts";
import { regimeNames } from "../diff.ts";
import type { PointView } from "../point-view.ts";
import { both, type Two } from "./side.ts";
import type { PointPair } from "./values.ts";

export interface MachineDifference {
  /** `RAM`, `QEMU`, `vCPUs`, `firmware`, … */
  readonly what: string;
  readonly texts: Two<string>;
}

/** What differs, at the first of the points that are compared. */
export function compareMachines({ sides, views }: PointPair): readonly MachineDifference[] {
  const told: readonly (readonly [string, Two<string>])[] = [
    ["QEMU", both(sides, ({ capture }) => capture.qemuVersion ?? UNKNOWN)],
    ["firmware", both(sides, ({ firmware }) => firmware?.name ?? "not a known one")],
    ["vCPUs", both(sides, ({ capture }) => String(capture.threads.length))],
    ["RAM", both(views, (view) => ramText(view.point.memoryRanges))],
    ["ROM", both(views, (view) => romText(view.point.memoryRanges))],
    ["executes at", both(views, levelText)],
    ["regimes in use", both(views, (view) => regimeNames(view).join(", "))],
  ];
  return told.filter(([, { a, b }]) => a !== b).map(([what, texts]) => ({ what, texts }));
}

const UNKNOWN = "not known";

function ramText(ranges: readonly MemoryRange[]): string {
  const size = ranges.filter(({ kind }) => kind === "ram").reduce((sum, range) => sum + range.size, 0n);
  return size === 0n ? UNKNOWN : sizeText(size);
}

function romText(ranges: readonly MemoryRange[]): string {
  const roms = ranges.filter(({ kind }) => kind === "rom");
  const size = roms.reduce((sum, range) => sum + range.size, 0n);
  return roms.length === 0 ? "none" : `${roms.length} of ${roughSize(size)}`;
}

function levelText({ registers }: PointView): string {
  const level = currentExceptionLevel(registers);
  return level === undefined ? UNKNOWN : `EL${level}`;
}
