/**
 * How memory of one kind is mapped, as sums: which protections there are and how much of each. For memory whose pages cannot be paired,
 * as it was allocated here in one run and there in another.
 */
import { type Content, contentKey, type MapPieces, sameAttributes } from "./contents.ts";
import { type AcrossContent, acrossContent, type MappingDifference, type MappingOwner, NOT_KNOWN } from "./mapping.ts";
import type { PageRange } from "./ranges.ts";
import type { Two } from "./side.ts";

interface Share {
  readonly content: Content;
  pages: number;
}

/** By `contentKey`. */
export type Profile = Map<string, Share>;

export function addToProfile(profile: Profile, content: Content, pages: number): void {
  const key = contentKey(content);
  const share = profile.get(key);
  if (share === undefined) profile.set(key, { content, pages });
  else share.pages += pages;
}

/** Of memory that is mapped at its own address, or not at all; what is mapped elsewhere counts as not mapped here. */
export function profileOf(map: MapPieces, ranges: readonly PageRange[], notMapped: Content): Profile {
  const profile: Profile = new Map();
  for (const { start, end } of ranges) {
    for (const { start: from, end: to, content } of map.within(start, end)) {
      const here = content.state !== "mapped" || content.shift === 0;
      addToProfile(profile, here ? content : notMapped, to - from);
    }
  }
  return profile;
}

export interface ProfileOptions {
  readonly owner: MappingOwner;
  /** Whether differing amounts of several protections are worth a word. */
  readonly amounts: boolean;
}

/** Protections that only one side has, and amounts that differ where there are several. */
export function compareProfiles(profiles: Two<Profile>, { owner, amounts }: ProfileOptions): MappingDifference[] {
  const unknown = [...profiles.a.values(), ...profiles.b.values()].some(({ content }) => content.state === "unknown");
  const only = { a: onlyIn(profiles.a, profiles.b), b: onlyIn(profiles.b, profiles.a) };
  const judged = (sides: Two<AcrossContent>, why?: string): MappingDifference => {
    return { owner, sides, verdict: why === undefined ? "different" : "unmatched", why };
  };
  const doubt = unknown ? NOT_KNOWN : undefined;
  if (only.a.length === 1 && only.b.length === 1) {
    const sides = { a: contentOf(only.a[0] as Share), b: contentOf(only.b[0] as Share) };
    return [judged(sides, doubt ?? untold(only.a[0] as Share, only.b[0] as Share))];
  }
  const found = [
    ...only.a.map((share) => judged({ a: contentOf(share), b: nowhere() }, doubt)),
    ...only.b.map((share) => judged({ a: nowhere(), b: contentOf(share) }, doubt)),
  ];
  return found.length > 0 || !amounts ? found : otherAmounts(profiles, judged);
}

function onlyIn(profile: Profile, other: Profile): Share[] {
  return [...profile].filter(([key]) => !other.has(key) && key !== "unknown").map(([, share]) => share);
}

function contentOf({ content, pages }: Share): AcrossContent {
  return acrossContent(content, pages);
}

function nowhere(): AcrossContent {
  return { state: "nowhere", attributes: null, size: 0n };
}

/** Why two protections may be one. */
function untold({ content: a }: Share, { content: b }: Share): string | undefined {
  if (a.state !== "mapped" || b.state !== "mapped") return undefined;
  return sameAttributes(a.attributes, b.attributes) === "unknown" ? NOT_KNOWN : undefined;
}

/** Where the amount of one protection alone differs, the memory of the type is more or less of it: the memory map tells that. */
function otherAmounts(profiles: Two<Profile>, judged: (sides: Two<AcrossContent>, why: string) => MappingDifference) {
  const others = [...profiles.a].filter(
    ([key, { pages }]) => profiles.b.has(key) && profiles.b.get(key)?.pages !== pages,
  );
  if (others.length < 2) return [];
  return others.map(([key, share]) => {
    const sides = { a: contentOf(share), b: contentOf(profiles.b.get(key) as Share) };
    return judged(sides, "of how much is mapped so, the pages cannot be paired");
  });
}
