/**
 * The mappings of two runs. Images are paired and compared page by page from their bases, or by section where their builds are two; RAM
 * beside them by its type in UEFI's memory map, wherever it lies; everything else (devices, flash, holes) at its address.
 */

import { currentRegimeName } from "../../aarch64/regime.ts";
import { hasUnprivileged, type RegimeName } from "../../aarch64/regime-model.ts";
import { type ImageDetails, sectionAt } from "../../efi/images.ts";
import { regimeNames } from "../diff.ts";
import { imageLabel, imagesIn } from "../owners.ts";
import type { PointView } from "../point-view.ts";
import { type Content, MapPieces, NOT_MAPPED } from "./contents.ts";
import type { MappingAcross, MappingDifference } from "./mapping.ts";
import type { ImagePair } from "./match-images.ts";
import { addToProfile, compareProfiles, type Profile, profileOf } from "./profiles.ts";
import {
  firstAfter,
  imageRanges,
  type PageRange,
  pageRange,
  ramRanges,
  type TypedRange,
  typedRam,
  union,
  without,
} from "./ranges.ts";
import { both, descriptorsIn, type Two } from "./side.ts";
import { compareStretches } from "./stretches.ts";
import type { PointPair } from "./values.ts";

/** RAM that is mapped at its own address, of all there is; in bytes. */
export interface MappedRam {
  readonly regimes: Two<RegimeName>;
  readonly sizes: Two<bigint>;
  readonly of: Two<bigint>;
}

/** Whether more or less RAM is not mapped so in one of them: what a machine has more of, and maps, is the machine's difference. */
export function isOtherRam({ sizes, of }: MappedRam): boolean {
  return of.a - sizes.a !== of.b - sizes.b;
}

export interface MappingsAcross {
  readonly differences: readonly MappingAcross[];
  readonly ram: readonly MappedRam[];
  /** Regimes in use in one of them only, or that translate in one of them only: nothing is compared there. */
  readonly only: Two<readonly RegimeName[]>;
}

export function compareMappings(pair: PointPair): MappingsAcross {
  const { shared, only } = regimePairs(pair.views);
  const compared = shared.map((regimes) => ({ regimes, ...compareRegime(pair, regimes) }));
  return {
    differences: compared.flatMap(({ regimes, differences }) => differences.map((each) => ({ regimes, ...each }))),
    ram: compared.map(({ regimes, ram }) => ({ regimes, ...ram })),
    only,
  };
}

/** Regimes of one name; besides, the two that execute, where they are of two names and alike: the same firmware at EL1 and at EL2. */
function regimePairs(views: Two<PointView>): { shared: readonly Two<RegimeName>[]; only: Two<readonly RegimeName[]> } {
  const names = both(views, (view) => regimeNames(view));
  const comparable = (a: RegimeName, b: RegimeName): boolean => views.a.regime(a).enabled === views.b.regime(b).enabled;
  const shared = names.a
    .filter((name) => names.b.includes(name) && comparable(name, name))
    .map((name) => ({ a: name, b: name }));
  const running = both(views, ({ registers }) => currentRegimeName(registers));
  const alike = hasUnprivileged(running.a) === hasUnprivileged(running.b);
  const apart = alike && running.a !== running.b && !names.b.includes(running.a) && !names.a.includes(running.b);
  if (apart && names.a.includes(running.a) && names.b.includes(running.b) && comparable(running.a, running.b))
    shared.push(running);
  return {
    shared,
    only: {
      a: names.a.filter((name) => !shared.some(({ a }) => a === name)),
      b: names.b.filter((name) => !shared.some(({ b }) => b === name)),
    },
  };
}

/** One regime of either run, with what its addresses are. */
interface Half {
  readonly map: MapPieces;
  readonly images: readonly ImageDetails[];
  readonly ram: readonly TypedRange[];
}

function compareRegime(
  pair: PointPair,
  regimes: Two<RegimeName>,
): { differences: MappingDifference[]; ram: Omit<MappedRam, "regimes"> } {
  const typed = both(pair.sides, ({ memoryMap }) => descriptorsIn(memoryMap));
  const known = typed.a !== undefined && typed.b !== undefined;
  const half = (side: "a" | "b"): Half => {
    const view = pair.views[side];
    return {
      map: MapPieces.of(view.mapAny(regimes[side])),
      images: imagesIn(regimes[side], standing(pair.sides[side].images, view)) as readonly ImageDetails[],
      ram: typedRam(view.point, known ? typed[side] : undefined),
    };
  };
  const halves = { a: half("a"), b: half("b") };
  const pairs = pair.images.pairs.filter(({ a, b }) => halves.a.images.includes(a) && halves.b.images.includes(b));
  return {
    differences: [
      ...pairs.flatMap((images) =>
        compareImage(
          images,
          both(halves, ({ map }) => map),
        ),
      ),
      ...compareMemory(halves),
      ...compareAddresses(
        halves,
        both(pair.views, ({ point }) => ramRanges(point)),
      ),
      ...compareMoved(halves),
    ],
    ram: { sizes: both(halves, mappedRam), of: both(halves, ({ ram }) => sizeOf(ram)) },
  };
}

/** Images found by their headers stand where they do at the points that have them. */
function standing(images: readonly ImageDetails[], { point }: PointView): readonly ImageDetails[] {
  return images.filter(({ found, base }) => found === "list" || point.images.some((each) => each.base === base));
}

function compareImage(images: ImagePair, maps: Two<MapPieces>): MappingDifference[] {
  const name = imageLabel(images.a);
  const ranges = both(images, ({ base, size }) => pageRange(base, size));
  if (images.build !== "same") return compareSections(images, maps);
  const starts = both(ranges, ({ start }) => start);
  const ownerAt = (page: number) => {
    const offset = BigInt(page) << 12n;
    const section = sectionAt(images.a, images.a.base + offset)?.name ?? null;
    return { kind: "image", image: name, section, offset } as const;
  };
  const bounds = sectionBounds(images.a);
  const shifts = { a: mainShift(maps.a, ranges.a), b: mainShift(maps.b, ranges.b) };
  return bounds.slice(1).flatMap((end, i) => {
    const from = bounds[i] as number;
    const at = both(starts, (start) => start + from);
    const owner = (page: number) => ownerAt(from + page);
    return compareStretches({ maps, starts: at, pages: end - from, ownerAt: owner, shifts });
  });
}

/** How far from its addresses most of an image lies. */
function mainShift(map: MapPieces, { start, end }: PageRange): number {
  const pages = new Map<number, number>([[0, 0]]);
  for (const { start: from, end: to, content } of map.within(start, end)) {
    if (content.state === "mapped") pages.set(content.shift, (pages.get(content.shift) ?? 0) + to - from);
  }
  return [...pages].reduce((most, each) => (each[1] > most[1] ? each : most))[0];
}

/** Where sections begin, in pages from the base, with the start and the end of the image. */
function sectionBounds({ sections, size, base }: ImageDetails): number[] {
  const { start, end } = pageRange(base, size);
  const pages = end - start;
  const bounds = sections.map(({ offset }) => offset >> 12).filter((page) => page > 0 && page < pages);
  return [...new Set([0, ...bounds, pages])].sort((a, b) => a - b);
}

/** Sections of one name; how much of each there is, is the build's. */
function compareSections({ a, b }: ImagePair, maps: Two<MapPieces>): MappingDifference[] {
  return a.sections.flatMap((section) => {
    const other = b.sections.find(({ name }) => name === section.name);
    if (other === undefined || section.name === "") return [];
    const owner = { kind: "image", image: imageLabel(a), section: section.name, offset: null } as const;
    const ranges = { a: sectionRange(a, section), b: sectionRange(b, other) };
    const profiles = { a: everything(maps.a, ranges.a), b: everything(maps.b, ranges.b) };
    return compareProfiles(profiles, { owner, amounts: false });
  });
}

function sectionRange({ base, size }: ImageDetails, section: { offset: number; size: number }): PageRange {
  const end = BigInt(section.offset) + BigInt(section.size);
  const length = (end < size ? end : size) - BigInt(section.offset);
  return pageRange(base + BigInt(section.offset), length > 0n ? length : 0n);
}

/** Wherever it leads. */
function everything(map: MapPieces, { start, end }: PageRange): Profile {
  const profile: Profile = new Map();
  for (const { start: from, end: to, content } of map.within(start, end)) addToProfile(profile, content, to - from);
  return profile;
}

/** RAM outside images, type by type. */
function compareMemory(halves: Two<Half>): MappingDifference[] {
  const types = both(halves, (half) => byType(half));
  return [...types.a].flatMap(([type, ranges]) => {
    const others = types.b.get(type);
    if (others === undefined) return [];
    const profiles = { a: profileOf(halves.a.map, ranges, NOT_MAPPED), b: profileOf(halves.b.map, others, NOT_MAPPED) };
    return compareProfiles(profiles, { owner: { kind: "memory", type }, amounts: true });
  });
}

function byType({ ram, images }: Half): ReadonlyMap<string, TypedRange[]> {
  const taken = union(imageRanges(images));
  const groups = new Map<string, TypedRange[]>();
  for (const range of ram.flatMap((each) => without(each, taken))) {
    const group = groups.get(range.type);
    if (group === undefined) groups.set(range.type, [range]);
    else group.push(range);
  }
  return groups;
}

/** Past the last page of 64 bits. */
const TOP_PAGE = 2 ** 52;

/** What is RAM or an image in neither: at the same address, where it is mapped at its own. */
function compareAddresses(halves: Two<Half>, ram: Two<readonly PageRange[]>): MappingDifference[] {
  const taken = union([...ram.a, ...ram.b, ...imageRanges(halves.a.images), ...imageRanges(halves.b.images)]);
  const maps = both(halves, ({ map }) => map.own());
  return without({ start: 0, end: TOP_PAGE }, taken).flatMap(({ start, end }) => {
    const ownerAt = (page: number) => ({ kind: "address", va: BigInt(start + page) << 12n }) as const;
    return compareStretches({
      maps,
      starts: { a: start, b: start },
      pages: end - start,
      ownerAt,
      shifts: { a: 0, b: 0 },
    });
  });
}

/** What is mapped at another address than its own, by what it leads to: a kernel's linear map, a device's second address. */
function compareMoved(halves: Two<Half>): MappingDifference[] {
  const profiles = both(halves, movedProfiles);
  const types = [...new Set([...profiles.a.keys(), ...profiles.b.keys()])];
  return types.flatMap((type) => {
    const [a, b] = [profiles.a.get(type) ?? new Map(), profiles.b.get(type) ?? new Map()];
    return compareProfiles({ a, b }, { owner: { kind: "elsewhere", type }, amounts: false });
  });
}

const OUTSIDE_RAM = "what is no RAM";

function movedProfiles({ map, images, ram }: Half): ReadonlyMap<string, Profile> {
  const [taken, memory] = [union(imageRanges(images)), union(ram)];
  const profiles = new Map<string, Profile>();
  for (const { start, end, content } of map.all) {
    if (content.state !== "mapped" || content.shift === 0) continue;
    for (const piece of without({ start, end }, taken)) {
      const target = { start: piece.start + content.shift, end: piece.end + content.shift };
      const type = overlaps(target, memory) ? "RAM" : OUTSIDE_RAM;
      const profile = profiles.get(type) ?? new Map();
      profiles.set(type, profile);
      addToProfile(profile, content, piece.end - piece.start);
    }
  }
  return profiles;
}

function overlaps({ start, end }: PageRange, ranges: readonly PageRange[]): boolean {
  const next = ranges[firstAfter(ranges, start)];
  return next !== undefined && next.start < end;
}

function mappedRam({ map, ram }: Half): bigint {
  const isOwn = (content: Content): boolean => content.state === "mapped" && content.shift === 0;
  const pages = ram.flatMap(({ start, end }) => map.within(start, end).filter(({ content }) => isOwn(content)));
  return sizeOf(pages);
}

function sizeOf(ranges: readonly PageRange[]): bigint {
  return BigInt(ranges.reduce((sum, { start, end }) => sum + end - start, 0)) << 12n;
}
