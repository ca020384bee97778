/**
 * The leaves of a page of the last level, put together: what makes walking millions of descriptors quick.
 *
 * What a page of leaves says depends on the page and on little else, so it is kept with the page's words: a table that is the same in
 * two snapshots, or that two regimes share, is decoded once.
 */
import { type Inherited, leafKey, outputPage } from "./descriptor.ts";
import { LAST_LEVEL, type TableFormat } from "./granule.ts";
import type { TablePart } from "./table-pages.ts";

/** Runs of entries whose outputs follow each other, with equal attributes. Row `i` of each list belongs together. */
export interface LeafRuns {
  /** Entry of the page at which the run starts. */
  readonly entries: readonly number[];
  /** In entries. */
  readonly lengths: readonly number[];
  /** 4 KiB page number of the first output. */
  readonly outputs: readonly number[];
  /** See `leafKey`. */
  readonly keys: readonly number[];
}

/** Decodes pages of leaves of one format, each once. `outputEnd`: page number at which addresses are too wide. */
export class LeafDecoder {
  readonly #format: TableFormat;
  readonly #outputEnd: number;
  /** By words, then by what was inherited. */
  readonly #known: WeakMap<Uint32Array, Map<Inherited, LeafRuns>>;

  constructor(format: TableFormat, outputEnd: number) {
    this.#format = format;
    this.#outputEnd = outputEnd;
    this.#known = cacheOf(`${format.granuleBits} ${format.addressForm} ${outputEnd}`);
  }

  runs(words: Uint32Array, part: TablePart, inherited: Inherited): LeafRuns {
    if (part.count < 512) return decodeLeaves(words, part, inherited, this.#format, this.#outputEnd);
    const ofPage = this.#known.get(words) ?? new Map<Inherited, LeafRuns>();
    this.#known.set(words, ofPage);
    const known = ofPage.get(inherited);
    if (known !== undefined) return known;
    const runs = decodeLeaves(words, part, inherited, this.#format, this.#outputEnd);
    ofPage.set(inherited, runs);
    return runs;
  }
}

const caches = new Map<string, WeakMap<Uint32Array, Map<Inherited, LeafRuns>>>();

function cacheOf(format: string): WeakMap<Uint32Array, Map<Inherited, LeafRuns>> {
  const cache = caches.get(format) ?? new WeakMap<Uint32Array, Map<Inherited, LeafRuns>>();
  caches.set(format, cache);
  return cache;
}

/**
 * A run is found by looking for the descriptor that would continue it: the one before plus the granule. Where that crosses a 4 GiB
 * boundary of addresses, a new run is begun; the walker puts the two together.
 */
function decodeLeaves(
  words: Uint32Array,
  { first, count }: TablePart,
  inherited: Inherited,
  format: TableFormat,
  outputEnd: number,
): LeafRuns {
  const runs = { entries: [] as number[], lengths: [] as number[], outputs: [] as number[], keys: [] as number[] };
  const step = 2 ** format.granuleBits;
  const pages = step / 4096;
  const end = 2 * (first + count);
  for (let at = 2 * first; at < end; ) {
    const low = words[at] as number;
    if ((low & 3) !== 3) {
      at += 2;
      continue;
    }
    const high = words[at + 1] as number;
    const start = at;
    let next = low + step;
    at += 2;
    while (at < end && words[at] === next && words[at + 1] === high) {
      next += step;
      at += 2;
    }
    const output = outputPage(low, high, format);
    const length = Math.min((at - start) / 2, Math.ceil((outputEnd - output) / pages));
    if (length <= 0) continue;
    runs.entries.push(start / 2 - first);
    runs.lengths.push(length);
    runs.outputs.push(output);
    runs.keys.push(leafKey(low, high, inherited, LAST_LEVEL, format));
  }
  return runs;
}
