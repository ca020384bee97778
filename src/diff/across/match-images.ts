/**
 * Which image of one capture is which of the other: by what it was built from, by its file in a firmware volume, by its name. Where it
 * lies says nothing.
 *
 * A layout (size, entry point, sections) that is the same makes an offset mean the same in both; nothing that is kept of an image proves
 * that each byte of it is the same.
 */
import type { ImageDetails } from "../../efi/images.ts";
import type { Two } from "./side.ts";

export interface ImagePair extends Two<ImageDetails> {
  /** `same`: laid out alike and of no other build id. `unknown`: a header could not be read. */
  readonly build: "same" | "other" | "unknown";
}

export interface MatchedImages {
  /** In the order of the first capture. */
  readonly pairs: readonly ImagePair[];
  readonly only: Two<readonly ImageDetails[]>;
}

/** Undefined: the image does not have it. */
type KeyOf = (image: ImageDetails) => string | undefined;

/** The surest first. `single`: only what is there once on either side is taken for the same. */
const ROUNDS: readonly { readonly key: KeyOf; readonly single?: true }[] = [
  { key: (image) => joined(image.name ?? "", buildOf(image)) },
  { key: (image) => joined(image.name ?? "", image.fileGuid, layoutOf(image)) },
  { key: (image) => joined(image.name, layoutOf(image)) },
  { key: (image) => joined(image.name ?? "", image.fileGuid), single: true },
  { key: ({ name }) => name, single: true },
  { key: layoutOf, single: true },
];

export function matchImages({ a, b }: Two<readonly ImageDetails[]>): MatchedImages {
  const partners = new Map<ImageDetails, ImageDetails>();
  const taken = new Set<ImageDetails>();
  for (const { key, single } of ROUNDS) {
    const [left, right] = [
      grouped(
        a.filter((image) => !partners.has(image)),
        key,
      ),
      grouped(
        b.filter((image) => !taken.has(image)),
        key,
      ),
    ];
    for (const [each, images] of left) {
      const others = right.get(each) ?? [];
      if (single && (images.length > 1 || others.length > 1)) continue;
      for (const [i, other] of others.slice(0, images.length).entries()) {
        partners.set(images[i] as ImageDetails, other);
        taken.add(other);
      }
    }
  }
  return {
    pairs: [...partners].map(([one, other]) => ({ a: one, b: other, build: compareBuilds(one, other) })).sort(byBase),
    only: { a: a.filter((image) => !partners.has(image)), b: b.filter((image) => !taken.has(image)) },
  };
}

function byBase(one: ImagePair, other: ImagePair): number {
  return one.a.base < other.a.base ? -1 : Number(one.a.base > other.a.base);
}

function grouped(images: readonly ImageDetails[], keyOf: KeyOf): ReadonlyMap<string, ImageDetails[]> {
  const groups = new Map<string, ImageDetails[]>();
  for (const image of images) {
    const key = keyOf(image);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [image]);
    else group.push(image);
  }
  return groups;
}

function joined(...parts: readonly (string | undefined)[]): string | undefined {
  return parts.includes(undefined) ? undefined : parts.join("\n");
}

/** What is different for each build: a GNU build id, or the GUID of a CodeView record. edk2's GenFw leaves that zero, which is none. */
function buildOf({ header }: ImageDetails): string | undefined {
  return header?.buildId ?? header?.codeView?.id;
}

function layoutOf({ header }: ImageDetails): string | undefined {
  if (header === undefined) return undefined;
  const sections = header.sections.map((each) => `${each.name} ${each.offset} ${each.size} ${each.characteristics}`);
  return [header.size, header.entryPoint, ...sections].join("\n");
}

function compareBuilds(a: ImageDetails, b: ImageDetails): ImagePair["build"] {
  const [left, right] = [layoutOf(a), layoutOf(b)];
  if (left === undefined || right === undefined) return "unknown";
  const [mine, other] = [buildOf(a), buildOf(b)];
  if (mine !== undefined && other !== undefined && mine !== other) return "other";
  return left === right ? "same" : "other";
}
