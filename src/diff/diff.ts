/** The difference between two points of a capture: registers, mappings, tables, UEFI's tables, and what is not known. */

import { type RegimeName, regimeKey } from "../aarch64/regime-model.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import { EbscopeError, type ErrorCode } from "../base/error.ts";
import { printable } from "../base/text.ts";
import type { LoadedImage } from "../efi/images.ts";
import { compareTables, readEfiTables } from "../efi/tables.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import { diffMappings, type MappingChange } from "./mappings.ts";
import { type Expected, expectedChange, imagesIn, type Owner, ownerOf, ownership } from "./owners.ts";
import { PointView } from "./point-view.ts";
import { diffRegisters, type RegisterChange } from "./registers.ts";
import { diffTables, type TableChange } from "./tables.ts";

export interface OwnedMappingChange extends MappingChange {
  readonly owner: Owner | null;
  /** All images that the run touches, when it is more than the owner tells. */
  readonly images: readonly LoadedImage[];
  readonly expected: Expected | null;
}

export interface EfiChange {
  readonly name: string;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
}

/** A regime and the points at which it is in use. */
export interface RegimeUse {
  readonly regime: RegimeName;
  readonly from: boolean;
  readonly to: boolean;
}

/** Something that could not be read or decoded on a side. */
export interface Coverage {
  readonly point: string;
  readonly regime: RegimeName;
  /** The first address of which nothing is known for it, and how many bytes from there on. */
  readonly va: bigint;
  readonly size: bigint;
  /** How many such ranges there are. */
  readonly ranges: number;
  readonly pa: bigint | undefined;
  readonly level: number | undefined;
  readonly code: ErrorCode;
  readonly why: string | undefined;
}

/** Whether the two points stand around a call of ExitBootServices, so that every change is the firmware's. */
export function isCall({ before, after }: Difference): boolean {
  return before.point.kind === "before" && (after.point.kind === "after" || after.point.kind === "failed");
}

export interface Difference {
  readonly capture: Capture;
  readonly before: PointView;
  readonly after: PointView;
  readonly images: readonly LoadedImage[];
  readonly registers: readonly RegisterChange[];
  readonly mappings: readonly OwnedMappingChange[];
  readonly tables: readonly TableChange[];
  readonly efi: readonly EfiChange[];
  readonly coverage: readonly Coverage[];
  readonly regimes: readonly RegimeUse[];
  /** What is worth knowing about how the points were compared. */
  readonly notes: readonly string[];
}

/** The point with this id; throws the list of those there are when there is none. */
export function findPoint(capture: Capture, id: string): Point {
  const point = capture.points.find((each) => each.id === id);
  if (point !== undefined) return point;
  const there = capture.points.map((each) => each.id).join(", ") || "none";
  throw new EbscopeError(
    "no-such-point",
    `Cannot find the point ${JSON.stringify(printable(id, 40))}: the capture has ${there}`,
  );
}

/** What `diff` compares when it is not told: the call of ExitBootServices; in a partial capture, its first and last point. */
export function defaultPoints(capture: Capture): readonly [string, string] {
  const ids = capture.points.map(({ id }) => id);
  if (ids.includes("before") && ids.includes("after")) return ["before", "after"];
  const last = ids.at(-1);
  if (ids.length < 2 || last === undefined) {
    const has = last === undefined ? "no point" : `only the point ${last}`;
    throw new EbscopeError("no-such-point", `Cannot compare: the capture has ${has}`, {
      next: "`ebscope show FILE registers` and `mappings` show what there is.",
    });
  }
  return [ids.includes("before") && last !== "before" ? "before" : (ids[0] as string), last];
}

/** Compares two points; the regimes are those of the vCPU that the first is about. `images`: those that may own memory. */
export async function diffPoints(
  capture: Capture,
  images: readonly LoadedImage[],
  from: Point,
  to: Point,
): Promise<Difference> {
  const before = new PointView(capture, from);
  const after = new PointView(capture, to, from.cpu);
  const names = regimeNames(before, after);
  return {
    capture,
    before,
    after,
    images,
    registers: diffRegisters(capture, from, to),
    mappings: names.flatMap((name) => ownedChanges(name, before, after, imagesIn(name, images))),
    tables: names.flatMap((name) => diffTables(name, before, after)),
    efi: await diffEfi(capture, before, after),
    coverage: [before, after].flatMap((view) => coverageOf(view)),
    regimes: names.map((regime) => ({ regime, from: before.isLive(regime), to: after.isLive(regime) })),
    notes: otherVcpus(capture, before, after),
  };
}

/** What changed after a call had succeeded until the guest faulted; undefined where there are not both points. */
export async function diffToFault(capture: Capture, images: readonly LoadedImage[]): Promise<Difference | undefined> {
  const after = capture.points.find(({ kind }) => kind === "after");
  const fault = capture.points.find(({ kind }) => kind === "fault");
  return after === undefined || fault === undefined ? undefined : diffPoints(capture, images, after, fault);
}

/** Mappings are those of one vCPU: which others have other tables. */
function otherVcpus(capture: Capture, before: PointView, after: PointView): string[] {
  const differs = (view: PointView, cpu: number): boolean =>
    regimesKey(new PointView(capture, view.point, cpu)) !== regimesKey(view);
  const others = capture.threads.map((_, cpu) => cpu).filter((cpu) => differs(before, cpu) || differs(after, cpu));
  if (others.length === 0) return [];
  const which = others.length > 8 ? `${others.length} others` : `vCPU ${others.join(", ")}`;
  return [
    `Mappings are those of vCPU ${before.cpu}; ${which} had other translation registers at one of the points: \`show FILE mappings --cpu N\`.`,
  ];
}

function regimesKey(view: PointView): string {
  return view.regimes.map(regimeKey).sort().join("\n");
}

export function regimeNames(...views: readonly PointView[]): readonly RegimeName[] {
  return [...new Set(views.flatMap((view) => view.regimes.map(({ name }) => name)))];
}

function ownedChanges(
  name: RegimeName,
  before: PointView,
  after: PointView,
  images: readonly LoadedImage[],
): OwnedMappingChange[] {
  return diffMappings(name, before.map(name), after.map(name)).map((change) => ({
    ...change,
    owner: ownerOf(images, change.va, change.size),
    images: ownership(images, change.va, change.size).images,
    expected: expectedChange(change, images),
  }));
}

/** UEFI's tables, read where they were at the first point. */
async function diffEfi(capture: Capture, before: PointView, after: PointView): Promise<EfiChange[]> {
  if (capture.efi === undefined) return [];
  const old = await readEfiTables(before.memory, capture.efi);
  const now = await readEfiTables(after.memory, capture.efi, old);
  return compareTables(old, now).map(({ name, before: was, after: is }) => ({ name, before: was, after: is }));
}

/** What is not known of a point's regimes, the live ones unless told; each table once, however many addresses it leaves unknown. */
export function coverageOf(view: PointView, names: readonly RegimeName[] = regimeNames(view)): Coverage[] {
  const gaps = names.flatMap((name) =>
    view.mapAny(name).lost.map(({ start, pages, table, level, code, why }) => ({
      point: view.point.id,
      regime: name,
      va: BigInt(start) << 12n,
      size: BigInt(pages) << 12n,
      pa: table === undefined ? undefined : pageAddress(table),
      level,
      code,
      why,
    })),
  );
  const found = new Map<string, Coverage>();
  for (const gap of gaps) {
    const identity = [gap.regime, gap.pa, gap.level, gap.code, gap.why].join(" ");
    const known = found.get(identity);
    found.set(identity, known === undefined ? { ...gap, ranges: 1 } : { ...known, ranges: known.ranges + 1 });
  }
  return [...found.values()];
}
