/**
 * Whether two numbers of two runs mean the same. An address in an image is the image and the offset; one in a UEFI table or at a function
 * with a name is that name. Of all other memory only the type is known: two addresses in memory of one type may lead to the same thing or
 * not.
 */
import { phys, rangeContains } from "../../base/address.ts";
import { hex } from "../../base/hex.ts";
import { type ImageDetails, imageOffsetText } from "../../efi/images.ts";
import type { PointView } from "../point-view.ts";
import type { ImagePair, MatchedImages } from "./match-images.ts";
import { NOT_IN_MAP } from "./ranges.ts";
import type { AcrossSide, Two } from "./side.ts";

/**
 * `moved`: the same place at another address. `unmatched`: it cannot be told whether they mean the same. `run`: they depend on the
 * moment or on chance, as clocks and leftovers do.
 */
export type Verdict = "equal" | "moved" | "unmatched" | "run" | "different";

export interface ValueComparison {
  readonly verdict: Verdict;
  /** Why it is `unmatched` or `run`. */
  readonly why?: string;
  /** That they are `unmatched` because both lie in memory of one type. */
  readonly memory?: true;
  /** What lies there, where that is known: `DxeCore+0x3160`, `EfiBootServicesData`. */
  readonly places: Two<string | undefined>;
}

/** The two captures at one of their points, and which image is which. */
export interface PointPair {
  readonly sides: Two<AcrossSide>;
  readonly views: Two<PointView>;
  readonly images: MatchedImages;
}

interface Meaning {
  readonly image: ImageDetails | undefined;
  readonly offset: bigint;
  readonly section: string | undefined;
  readonly symbol: string | undefined;
  /** The type of the memory, `RAM` where no map tells; undefined for what is no memory. */
  readonly memory: string | undefined;
  readonly text: string | undefined;
}

export interface CompareOptions {
  /** That it is an address: equal numbers then mean the same only in the same image. */
  readonly pointer?: boolean;
  /** That names must not count, as they come from the field itself that is compared. */
  readonly unnamed?: boolean;
}

/** Compares a value of `a` with one of `b`, 64 bits each. */
export function compareValues(pair: PointPair, values: Two<bigint>, options: CompareOptions = {}): ValueComparison {
  const { sides, views } = pair;
  const same = values.a === values.b;
  if (same && !options.pointer) return { verdict: "equal", places: { a: undefined, b: undefined } };
  const a = meaningOf(sides.a, views.a, values.a);
  const b = meaningOf(sides.b, views.b, values.b);
  const told = { places: { a: a.text, b: b.text } };
  const compared = compareMeanings(pair, a, b, options);
  if (!same) return { ...compared, ...told };
  return compared.verdict === "different" && a.image !== undefined && b.image !== undefined
    ? { ...compared, ...told }
    : { verdict: "equal", ...told };
}

function compareMeanings(
  pair: PointPair,
  a: Meaning,
  b: Meaning,
  options: CompareOptions,
): Omit<ValueComparison, "places"> {
  if (a.image !== undefined && b.image !== undefined) return compareInImages(pair.images, a, b, options);
  if (a.image !== undefined || b.image !== undefined) return { verdict: "different" };
  if (!options.unnamed && a.symbol !== undefined && a.symbol === b.symbol) return { verdict: "moved" };
  if (a.memory === undefined || b.memory === undefined) return { verdict: "different" };
  // RAM of which no map tells may be of the other's type.
  const untold = [a.memory, b.memory].includes(RAM);
  if (a.memory !== b.memory && !untold) return { verdict: "different" };
  return { verdict: "unmatched", why: `both in ${untold ? RAM : a.memory}`, memory: true };
}

function compareInImages(
  { pairs }: MatchedImages,
  a: Meaning,
  b: Meaning,
  options: CompareOptions,
): Omit<ValueComparison, "places"> {
  const pair = pairs.find((each) => each.a === a.image && each.b === b.image);
  if (pair === undefined) return { verdict: "different" };
  if (pair.build === "same") return { verdict: a.offset === b.offset ? "moved" : "different" };
  // The start of a function is the same place in any build; what lies inside it is not.
  if (!options.unnamed && isStart(a.symbol) && a.symbol === b.symbol) return { verdict: "moved" };
  return { verdict: "unmatched", why: `both in ${sectionText(pair, a, b)}, whose ${BUILDS[pair.build]}` };
}

const BUILDS: Readonly<Record<Exclude<ImagePair["build"], "same">, string>> = {
  other: "builds are two",
  unknown: "build is not known",
};

function sectionText(pair: ImagePair, a: Meaning, b: Meaning): string {
  const section = a.section !== undefined && a.section === b.section ? [a.section] : [];
  return [pair.a.name ?? "an image", ...section].join(" ");
}

function isStart(symbol: string | undefined): boolean {
  return symbol !== undefined && !symbol.includes("+0x");
}

function meaningOf(side: AcrossSide, view: PointView, value: bigint): Meaning {
  const place = side.names.place(value, view);
  const image = place.image === undefined ? undefined : imageCalled(side.images, value, place.image);
  const memory = isRam(view, value) ? memoryText(place.memoryType) : undefined;
  const text = [place.symbol, place.image].filter((each) => each !== undefined).join(", ") || memory;
  const offset = image === undefined ? 0n : value - image.base;
  return { image, offset, section: place.section, symbol: place.symbol, memory, text };
}

const RAM = "RAM";

function memoryText(type: string | null | undefined): string {
  return type === undefined ? RAM : (type ?? NOT_IN_MAP);
}

function imageCalled(images: readonly ImageDetails[], value: bigint, text: string): ImageDetails | undefined {
  return images.find(
    (image) => value >= image.base && value < image.base + image.size && imageOffsetText(image, value) === text,
  );
}

function isRam({ point }: PointView, value: bigint): boolean {
  return point.memoryRanges.some((range) => range.kind === "ram" && rangeContains(range, phys(value)));
}

/** `0x7c412d0c (kernel+0x1d0c)` */
export function valueText(value: bigint, place: string | undefined): string {
  return place === undefined ? hex(value) : `${hex(value)} (${place})`;
}
