/**
 * The leaves of a page of the last level, put together: what makes walking millions of descriptors quick.
 *
 * What a page of leaves says depends on the page and on little else, so it is kept with the page's words: a table that is the same in
 * two snapshots, or that two regimes share, is decoded once.
 */
import { type Inherited, leafKey, outputPage } from "./descriptor.ts";
import { LAST_LEVEL, type TableFormat } from "./granule.ts";
import type { TablePart } from "./table-pages.ts";

/**
 * Runs of entries whose outputs follow each other, with equal attributes; `RUN_SIZE` numbers each: the entry of the part at which it
 * starts, its length in entries, the 4 KiB page number of its first output, its key (see `leafKey`).
 */
export type LeafRuns = readonly number[];
export const RUN_SIZE = 4;

/** What a walk met already, by the words of a page. */
type Known = WeakMap<Uint32Array, LeafRuns>;

/** Decodes pages of leaves of one format, each once. `outputEnd`: page number at which addresses are too wide. */
export class LeafDecoder {
  readonly #format: TableFormat;
  readonly #outputEnd: number;
  /** By what was inherited. */
  readonly #known: Known[];

  constructor(format: TableFormat, outputEnd: number) {
    this.#format = format;
    this.#outputEnd = outputEnd;
    this.#known = cacheOf(`${format.granuleBits} ${format.addressForm} ${outputEnd}`);
  }

  runs(words: Uint32Array, part: TablePart, inherited: Inherited): LeafRuns {
    if (part.count < 512) return decodeLeaves(words, part, inherited, this.#format, this.#outputEnd);
    const known = this.#known[inherited] as Known;
    const before = known.get(words);
    if (before !== undefined) return before;
    const runs = decodeLeaves(words, part, inherited, this.#format, this.#outputEnd);
    known.set(words, runs);
    return runs;
  }
}

const INHERITED_VALUES = 16;
const caches = new Map<string, Known[]>();

function cacheOf(format: string): Known[] {
  const cache = caches.get(format) ?? Array.from({ length: INHERITED_VALUES }, (): Known => new WeakMap());
  caches.set(format, cache);
  return cache;
}

/**
 * A run is found by looking for the descriptor that would continue it: the one before plus the granule. Where that crosses a 4 GiB
 * boundary of addresses, a new run is begun; the walker puts the two together.
 *
 * The words are looked at as signed ones: those above 2^31 would be heap numbers until the loop is compiled, and it is short enough to
 * have done most of a guest's tables by then.
 */
function decodeLeaves(
  words: Uint32Array,
  { first, count }: TablePart,
  inherited: Inherited,
  format: TableFormat,
  outputEnd: number,
): LeafRuns {
  let runs: number[] | undefined;
  const signed = new Int32Array(words.buffer, words.byteOffset, words.length);
  const step = 1 << format.granuleBits;
  const pages = step / 4096;
  const end = 2 * (first + count);
  for (let at = 2 * first; at < end; ) {
    if (((signed[at] as number) & 3) !== 3) {
      at += 2;
      continue;
    }
    const start = at;
    const low = words[start] as number;
    const high = words[start + 1] as number;
    // From 4 GiB on the lower half starts again from 0.
    const upTo = start + 2 * Math.ceil((2 ** 32 - low) / step);
    at = endOfRun(signed, start, Math.min(end, upTo), step);
    const output = outputPage(low, high, format);
    const length = Math.min((at - start) / 2, Math.ceil((outputEnd - output) / pages));
    if (length <= 0) continue;
    const key = leafKey(low, high, inherited, LAST_LEVEL, format);
    if (runs === undefined) runs = [start / 2 - first, length, output, key];
    else runs.push(start / 2 - first, length, output, key);
  }
  return runs ?? [];
}

/** The index of the first descriptor after `start`, before `end`, that does not continue it. */
function endOfRun(words: Int32Array, start: number, end: number, step: number): number {
  const high = words[start + 1];
  let next = words[start] as number;
  let at = start;
  do {
    at += 2;
    next = (next + step) | 0;
  } while (at < end && words[at] === next && words[at + 1] === high);
  return at;
}
