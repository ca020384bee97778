/** What the call of ExitBootServices changed in two runs, or whatever lies between the two points that are compared in each. */
import type { Attributes } from "../../aarch64/attributes.ts";
import { type LoadedImage, sectionAt } from "../../efi/images.ts";
import { firstSegmentAfter, type MemorySegment, memorySegments } from "../../efi/memory-map.ts";
import type { Difference, EfiChange, OwnedMappingChange } from "../diff.ts";
import { imageLabel } from "../owners.ts";
import type { RegisterChange } from "../registers.ts";
import { attributesKey } from "./contents.ts";
import type { ImagePair, MatchedImages } from "./match-images.ts";
import { type AcrossSide, both, descriptorsIn, type Two } from "./side.ts";
import { compareValues, type PointPair } from "./values.ts";

/** Pages that changed in one way; null: not mapped. */
export interface MappingChangeAcross {
  readonly owner: string;
  readonly before: Attributes | null;
  readonly after: Attributes | null;
  readonly kind: OwnedMappingChange["kind"];
  readonly pages: Two<bigint>;
  /** `unmatched`: both changed pages so, how many is of their builds or allocations. */
  readonly verdict: "different" | "unmatched";
}

/** A control register of the vCPU that called; undefined where it did not change. */
export interface RegisterChangeAcross {
  readonly name: string;
  readonly changes: Two<RegisterChange | undefined>;
}

export interface CallAcross {
  readonly from: string;
  readonly to: string;
  /** EFI_STATUS of the last call that returned, and the number of calls, where they differ. */
  readonly status: Two<bigint | undefined> | undefined;
  readonly attempts: Two<number> | undefined;
  readonly mappings: readonly MappingChangeAcross[];
  readonly registers: readonly RegisterChangeAcross[];
  /** Fields of UEFI's tables that only one call changed, or zeroed where the other did not. */
  readonly efi: readonly { readonly name: string; readonly changes: Two<"zeroed" | "changed" | "unchanged"> }[];
  /** What either call changed in all. */
  readonly totals: Two<{ readonly pages: bigint; readonly images: number; readonly fields: number }>;
  /** Images that only one capture has and whose pages changed there. */
  readonly only: Two<readonly string[]>;
}

export interface CallPair {
  readonly sides: Two<AcrossSide>;
  readonly differences: Two<Difference>;
  readonly images: MatchedImages;
}

export function compareCalls(pair: CallPair): CallAcross {
  const { sides, differences, images } = pair;
  const changes = {
    a: changesOf(sides.a, differences.a, images, "a"),
    b: changesOf(sides.b, differences.b, images, "b"),
  };
  const { before, after } = differences.a;
  return {
    ...{ from: before.point.id, to: after.point.id },
    status: unlike(
      both(sides, ({ capture }) => capture.attempts.findLast(({ status }) => status !== undefined)?.status),
    ),
    attempts: unlike(both(sides, ({ capture }) => capture.attempts.length)),
    mappings: compareChanges(both(changes, ({ changes: each }) => each)),
    registers: compareControl(pair),
    efi: compareFields(both(differences, ({ efi }) => efi)),
    totals: both(differences, totalsOf),
    only: both(changes, ({ unpaired }) => [...unpaired]),
  };
}

function unlike<T>(two: Two<T>): Two<T> | undefined {
  return two.a === two.b ? undefined : two;
}

function totalsOf({ mappings, efi }: Difference) {
  return {
    pages: mappings.reduce((sum, { size }) => sum + (size >> 12n), 0n),
    images: new Set(mappings.flatMap(({ images }) => images)).size,
    fields: efi.filter(({ before, after }) => before !== undefined && after !== undefined).length,
  };
}

interface Sum {
  readonly owner: string;
  readonly change: OwnedMappingChange;
  /** Whether pages of it can be counted against the other's: an image of one build. */
  readonly exact: boolean;
  pages: bigint;
}

interface Changes {
  readonly changes: ReadonlyMap<string, Sum>;
  readonly unpaired: ReadonlySet<string>;
}

/** The changes of one side, summed up by whose memory it is and what became of it. */
function changesOf(side: AcrossSide, { mappings }: Difference, { pairs }: MatchedImages, which: "a" | "b"): Changes {
  const sums = new Map<string, Sum>();
  const unpaired = new Set<string>();
  const partners = new Map<LoadedImage, readonly [ImagePair, number]>(pairs.map((pair, i) => [pair[which], [pair, i]]));
  const types = memorySegments(descriptorsIn(side.memoryMap) ?? []);
  for (const change of mappings) {
    for (const part of partsOf(change)) {
      const [pair, index] = partners.get(part.image as LoadedImage) ?? [];
      if (part.image !== undefined && pair === undefined) {
        unpaired.add(imageLabel(part.image));
        continue;
      }
      const section = part.image === undefined ? undefined : sectionAt(part.image, part.start)?.name;
      const type = typeAt(types, part.start);
      const owner =
        pair === undefined ? type : [imageLabel(pair.a), ...(section === undefined ? [] : [section])].join(" ");
      const key = [
        index ?? "",
        owner,
        change.kind,
        keyOf(change.before?.attributes),
        keyOf(change.after?.attributes),
      ].join("\n");
      const sum = sums.get(key) ?? { owner, change, exact: pair?.build === "same", pages: 0n };
      sum.pages += part.pages;
      sums.set(key, sum);
    }
  }
  return { changes: sums, unpaired };
}

function typeAt(types: readonly MemorySegment[], address: bigint): string {
  const next = types[firstSegmentAfter(types, address)];
  return next !== undefined && next.start <= address ? next.type : "other addresses";
}

function keyOf(attributes: Attributes | undefined): string {
  return attributes === undefined ? "" : attributesKey(attributes);
}

interface Part {
  readonly image: LoadedImage | undefined;
  readonly start: bigint;
  readonly pages: bigint;
}

/** A run cut where sections of images begin and end: whoever owns its first byte owns a page. */
function partsOf({ va, size, images }: OwnedMappingChange): Part[] {
  const end = va + size;
  const edges = images.flatMap(({ base, size: length, sections }) => [
    base,
    base + length,
    ...sections.flatMap(({ offset, size: bytes }) => [base + BigInt(offset), base + BigInt(offset + bytes)]),
  ]);
  const cuts = [va, ...edges.map((edge) => (edge + 0xfffn) & ~0xfffn).filter((edge) => edge > va && edge < end), end];
  const sorted = [...new Set(cuts)].sort((a, b) => (a < b ? -1 : 1));
  return sorted.slice(1).map((to, i) => {
    const start = sorted[i] as bigint;
    const image = images.find(({ base, size: length }) => start >= base && start < base + length);
    return { image, start, pages: (to - start) >> 12n };
  });
}

function compareChanges({ a, b }: Two<ReadonlyMap<string, Sum>>): MappingChangeAcross[] {
  const keys = [...new Set([...a.keys(), ...b.keys()])];
  return keys.flatMap((key): MappingChangeAcross[] => {
    const [left, right] = [a.get(key), b.get(key)];
    const either = left ?? right;
    if (either === undefined || left?.pages === right?.pages) return [];
    const { owner, change, exact } = either;
    const verdict = exact || left === undefined || right === undefined ? "different" : "unmatched";
    const sides = { before: change.before?.attributes ?? null, after: change.after?.attributes ?? null };
    return [{ owner, ...sides, kind: change.kind, pages: { a: left?.pages ?? 0n, b: right?.pages ?? 0n }, verdict }];
  });
}

function compareControl(pair: CallPair): RegisterChangeAcross[] {
  const control = both(pair.differences, ({ registers, before }) => {
    const own = registers.filter(({ cpu, class: kind }) => cpu === before.cpu && kind === "control");
    return new Map(own.map((change) => [change.name, change]));
  });
  const names = [...new Set([...control.a.keys(), ...control.b.keys()])];
  return names.flatMap((name) => {
    const changes = both(control, (each) => each.get(name));
    return sameChange(changes, pair) ? [] : [{ name, changes }];
  });
}

/** From and to the same values, or the same places. */
function sameChange({ a, b }: Two<RegisterChange | undefined>, { sides, differences, images }: CallPair): boolean {
  if (a === undefined || b === undefined) return false;
  return (["before", "after"] as const).every((when) => {
    const pair: PointPair = { sides, images, views: both(differences, (difference) => difference[when]) };
    const [left, right] = [a[when], b[when]];
    if (left === undefined || right === undefined) return left === right;
    return compareValues(pair, { a: left, b: right }).verdict !== "different";
  });
}

function compareFields(changes: Two<readonly EfiChange[]>): CallAcross["efi"] {
  const kinds = both(changes, (each) => new Map(each.filter(isKnown).map((change) => [change.name, kindOf(change)])));
  const names = [...new Set([...kinds.a.keys(), ...kinds.b.keys()])];
  return names.flatMap((name) => {
    const two = both(kinds, (each) => each.get(name) ?? "unchanged");
    return two.a === two.b ? [] : [{ name, changes: two }];
  });
}

function isKnown({ before, after }: EfiChange): boolean {
  return before !== undefined && after !== undefined;
}

function kindOf({ after }: EfiChange): "zeroed" | "changed" {
  return after === 0n ? "zeroed" : "changed";
}
