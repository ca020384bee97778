/**
 * Two captures of two runs, point by point: two builds of a firmware, two versions of QEMU, another size of memory, a kernel at random
 * addresses. What lies elsewhere is matched first, so that what is left are differences; what cannot be matched is said to be so.
 */
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import type { Capture } from "../../snapshot/model.ts";
import { type Coverage, coverageOf, diffPoints, findPoint } from "../diff.ts";
import { PointView } from "../point-view.ts";
import { type CallAcross, compareCalls } from "./call.ts";
import { compareEfiTables, type EfiAcross, type TablesAcross } from "./efi-tables.ts";
import { compareFindings, type FindingsAcross } from "./findings.ts";
import { compareMachines, type MachineDifference } from "./machine.ts";
import type { MappingAcross } from "./mapping.ts";
import { compareMappings, type MappingsAcross } from "./mappings.ts";
import { type MatchedImages, matchImages } from "./match-images.ts";
import { compareMemoryMaps, type MemoryMapAcross } from "./memory-maps.ts";
import { compareRegisters, offeredByOne, type RegisterAcross } from "./registers.ts";
import { type AcrossSide, both, type Two } from "./side.ts";
import type { PointPair } from "./values.ts";

/** A difference and the ids of the points at which it is the same. */
export type At<T> = T & { readonly points: readonly string[] };

export interface Across {
  readonly sides: Two<AcrossSide>;
  /** The ids that were compared, in both. */
  readonly points: readonly string[];
  /** Ids of points that only one of them has. */
  readonly onlyPoints: Two<readonly string[]>;
  readonly machine: readonly MachineDifference[];
  readonly images: MatchedImages;
  readonly registers: readonly At<RegisterAcross>[];
  /** Registers that only one stub offers. */
  readonly offered: Two<readonly string[]>;
  readonly mappings: readonly At<MappingAcross>[];
  /** By point. */
  readonly mapped: readonly At<Pick<MappingsAcross, "ram" | "only">>[];
  readonly efi: readonly At<EfiAcross>[];
  /** By point; a point is missing where a capture has no tables for it. */
  readonly tables: readonly At<Omit<TablesAcross, "differences">>[];
  /** Undefined unless both captures have one. */
  readonly memoryMap: MemoryMapAcross | undefined;
  /** Undefined when a single point was asked for, or when a capture has only one. */
  readonly call: CallAcross | undefined;
  readonly findings: FindingsAcross;
  readonly coverage: Two<readonly Coverage[]>;
}

/** Ids of points; all are optional, and `at` goes alone. */
export interface AcrossChoice {
  readonly at?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** Compares two captures. Raises `no-such-point` for a point that one of them does not have, and `usage` for a choice that is none. */
export async function diffAcross(sides: Two<AcrossSide>, choice: AcrossChoice = {}): Promise<Across> {
  const points = pointsAcross(
    both(sides, ({ capture }) => capture),
    choice,
  );
  const images = matchImages(both(sides, (side) => side.images));
  const pairs = points.map(
    (id): PointPair => ({ sides, images, views: both(sides, ({ capture }) => viewOf(capture, id)) }),
  );
  const mappings = pairs.map(compareMappings);
  const tables = pairs.map(compareEfiTables);
  const at = <T extends object>(lists: readonly (readonly T[])[]): readonly At<T>[] => merged(lists, points);
  return {
    ...{ sides, points, images },
    onlyPoints: onlyPoints(both(sides, ({ capture }) => capture)),
    machine: compareMachines(pairs[0] as PointPair),
    registers: at(pairs.map(compareRegisters)),
    offered: offeredByOne(both(sides, ({ capture }) => capture)),
    mappings: at(mappings.map(({ differences }) => differences)),
    mapped: at(mappings.map(({ ram, only }) => [{ ram, only }])),
    efi: at(tables.map((each) => each?.differences ?? [])),
    tables: at(tables.map((each) => (each === undefined ? [] : [{ compared: each.compared, unread: each.unread }]))),
    memoryMap: compareMemoryMaps(both(sides, ({ memoryMap }) => memoryMap)),
    call: await callAcross(sides, images, points),
    findings: compareFindings(both(sides, ({ findings }) => findings)),
    coverage: {
      a: pairs.flatMap(({ views }) => coverageOf(views.a)),
      b: pairs.flatMap(({ views }) => coverageOf(views.b)),
    },
  };
}

function viewOf(capture: Capture, id: string): PointView {
  return new PointView(capture, findPoint(capture, id));
}

/** The points around the call where both have them; else those that were named; else all that both have, two at most. */
function pointsAcross(captures: Two<Capture>, { at, from, to }: AcrossChoice): readonly string[] {
  if (at !== undefined && (from !== undefined || to !== undefined)) {
    throw new EbscopeError("usage", "Cannot compare at one point and at two: --at goes without --from and --to");
  }
  const ids = both(captures, ({ points }) => points.map(({ id }) => id));
  const shared = ids.a.filter((id) => ids.b.includes(id));
  const named =
    at !== undefined ? [at] : from !== undefined || to !== undefined ? [from ?? "before", to ?? "after"] : undefined;
  if (named !== undefined) return checked(named, captures);
  const around = ["before", "after"].filter((id) => shared.includes(id));
  const [first] = shared;
  if (around.length > 0) return around;
  if (first !== undefined) return [first];
  const listed = both(ids, (each) => each.join(", ") || "none");
  throw new EbscopeError(
    "no-such-point",
    `Cannot compare the captures: no point is in both; the first has ${listed.a}, the second ${listed.b}`,
  );
}

function checked(ids: readonly string[], { a, b }: Two<Capture>): readonly string[] {
  const [from, to] = ids;
  if (from === to) {
    throw new EbscopeError(
      "usage",
      `Cannot compare what changed from the point ${printable(from ?? "", 40)} to itself`,
    );
  }
  for (const id of ids) for (const capture of [a, b]) findPoint(capture, id);
  return ids;
}

function onlyPoints({ a, b }: Two<Capture>): Two<readonly string[]> {
  const ids = both({ a, b }, ({ points }) => points.map(({ id }) => id));
  return { a: ids.a.filter((id) => !ids.b.includes(id)), b: ids.b.filter((id) => !ids.a.includes(id)) };
}

/** What is the same at several points is told once. */
function merged<T extends object>(lists: readonly (readonly T[])[], points: readonly string[]): readonly At<T>[] {
  const found = new Map<string, { value: T; points: string[] }>();
  lists.forEach((list, i) => {
    const seen = new Map<string, number>();
    for (const value of list) {
      const text = JSON.stringify(value, plain);
      const nth = (seen.get(text) ?? 0) + 1;
      seen.set(text, nth);
      const key = `${nth} ${text}`;
      const known = found.get(key);
      if (known === undefined) found.set(key, { value, points: [points[i] as string] });
      else known.points.push(points[i] as string);
    }
  });
  return [...found.values()].map(({ value, points: ids }) => ({ ...value, points: ids }));
}

function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

async function callAcross(
  sides: Two<AcrossSide>,
  images: MatchedImages,
  [from, to]: readonly string[],
): Promise<CallAcross | undefined> {
  if (from === undefined || to === undefined) return undefined;
  const diff = ({ capture, images: own }: AcrossSide) =>
    diffPoints(capture, own, findPoint(capture, from), findPoint(capture, to));
  return compareCalls({ sides, images, differences: { a: await diff(sides.a), b: await diff(sides.b) } });
}
