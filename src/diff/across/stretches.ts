/** Two stretches of addresses, page by page from their starts: where they are mapped otherwise. */
import { type Content, contentKey, type MapPieces, type Piece, sameContent } from "./contents.ts";
import { acrossContent, type MappingDifference, type MappingOwner, NOT_KNOWN } from "./mapping.ts";
import type { Two } from "./side.ts";

export interface Stretches {
  readonly maps: Two<MapPieces>;
  /** First pages. */
  readonly starts: Two<number>;
  readonly pages: number;
  /** Whose pages they are, `offset` pages on. */
  readonly ownerAt: (offset: number) => MappingOwner;
  /** Output page less input page, as it should be: 0 for what is mapped at its own address. */
  readonly shifts: Two<number>;
}

interface Mismatch {
  readonly start: number;
  end: number;
  readonly a: Content;
  readonly b: Content;
  readonly known: boolean;
}

/** Maximal runs of pages that differ in the same way, or of which it is not known whether they do. */
export function compareStretches({ maps, starts, pages, ownerAt, shifts }: Stretches): MappingDifference[] {
  const a = maps.a.within(starts.a, starts.a + pages);
  const b = maps.b.within(starts.b, starts.b + pages);
  const found: Mismatch[] = [];
  for (const { start, end, left, right } of aligned(a, b, starts)) {
    const same = sameContent(left, right, shifts);
    if (same !== true) add(found, { start, end, a: left, b: right, known: same === false });
  }
  return found.map(({ start, end, a: left, b: right, known }) => ({
    owner: ownerAt(start),
    sides: { a: acrossContent(left, end - start), b: acrossContent(right, end - start) },
    verdict: known ? "different" : "unmatched",
    why: known ? undefined : NOT_KNOWN,
  }));
}

/** Pages from the starts on over which both say one thing. */
function* aligned(a: readonly Piece[], b: readonly Piece[], starts: Two<number>) {
  let [i, j, at] = [0, 0, 0];
  for (;;) {
    const [left, right] = [a[i], b[j]];
    if (left === undefined || right === undefined) return;
    const [leftEnd, rightEnd] = [left.end - starts.a, right.end - starts.b];
    const end = Math.min(leftEnd, rightEnd);
    yield { start: at, end, left: left.content, right: right.content };
    if (leftEnd === end) i++;
    if (rightEnd === end) j++;
    at = end;
  }
}

function add(found: Mismatch[], next: Mismatch): void {
  const last = found.at(-1);
  const continues =
    last?.end === next.start &&
    last.known === next.known &&
    contentKey(last.a) === contentKey(next.a) &&
    contentKey(last.b) === contentKey(next.b);
  if (continues) last.end = next.end;
  else found.push(next);
}
