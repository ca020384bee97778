/** Whether mapped memory is what a selector means. */
import type { RegimeName } from "../aarch64/regime-model.ts";
import type { PointView } from "../diff/point-view.ts";
import type { PageOwner, Span } from "./owners.ts";
import { anyMatches } from "./pattern.ts";
import type { AddressRange, Exception, MemorySelector } from "./policy.ts";
import { EVERY_POINT } from "./subject.ts";
import type { Unused } from "./verdict.ts";

/** In place of the name of an image or a memory type: memory that has none. */
export const NONE = "none";

/** Addresses at which memory has to be parted, so that each part is selected as a whole or not at all. */
export function cutsOf(selectors: readonly MemorySelector[]): bigint[] {
  return selectors.flatMap(({ ranges }) => (ranges ?? []).flatMap(({ start, end }) => [start, end]));
}

/** Memory of several owners is selected only where all of them are: the others would pass unseen. */
export function selects(selector: MemorySelector, span: Span): boolean {
  const { ranges, types, images, sections, runtime } = selector;
  if (ranges !== undefined && !ranges.some((range) => contains(range, span))) return false;
  if (types !== undefined && !types.includes(typeName(span))) return false;
  if (images === undefined && sections === undefined && !runtime) return true;
  if (span.owners.length > 0) return span.owners.every((owner) => isOwner(selector, owner));
  return images !== undefined && sections === undefined && !runtime && images.some(({ text }) => text === NONE);
}

function contains({ start, end }: AddressRange, { va, size }: Span): boolean {
  return va >= start && va + size <= end;
}

/** What is not known has no name. */
function typeName({ memoryType }: Span): string {
  return memoryType === null ? NONE : (memoryType ?? "");
}

function isOwner({ images, sections, runtime }: MemorySelector, owner: PageOwner): boolean {
  if (runtime && !owner.runtime) return false;
  if (images !== undefined && !anyMatches(images, owner.image)) return false;
  return sections === undefined || (owner.section !== null && anyMatches(sections, owner.section));
}

/** The exceptions of a rule, and which of them have matched. */
export class Exceptions {
  readonly #all: readonly Exception[];
  readonly #used = new Set<Exception>();

  constructor(all: readonly Exception[]) {
    this.#all = all;
  }

  at(view: PointView, regime: RegimeName): PointExceptions {
    const here = this.#all.filter(
      (each) =>
        (each.regime === undefined || each.regime === regime) &&
        (each.at === undefined || each.at.includes(view.point.id) || each.at.includes(EVERY_POINT)),
    );
    return {
      cuts: cutsOf(here),
      covers: (span) => {
        const matching = here.filter((each) => selects(each, span));
        for (const each of matching) this.#used.add(each);
        return matching.length > 0;
      },
      coversRange: ({ start, end }) =>
        here.some((each) => isOnlyRange(each) && (each.ranges ?? []).some((r) => r.start <= start && r.end >= end)),
    };
  }

  get unused(): readonly Unused[] {
    return this.#all.filter((each) => !this.#used.has(each)).map(({ text, position }) => ({ text, position }));
  }
}

/** The exceptions of a rule that count at one point in one regime. */
export interface PointExceptions {
  readonly cuts: readonly bigint[];
  /** Whether the span is excepted. */
  covers(span: Span): boolean;
  /** Whether all addresses of a range are, whatever is mapped there. */
  coversRange(range: AddressRange): boolean;
}

function isOnlyRange({ images, sections, types, runtime }: MemorySelector): boolean {
  return images === undefined && sections === undefined && types === undefined && !runtime;
}
