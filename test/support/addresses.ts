/** Addresses worth asking about: the same ones each time. */

interface Range {
  readonly va: string;
  readonly size: string;
  /** Of the leaf; null with translation off. */
  readonly level?: number | null;
}

interface Span {
  readonly start: bigint;
  readonly end: bigint;
  readonly block: boolean;
}

const PAGE = 0x1000n;
const SPACE = 1n << 64n;

/** Random numbers with a fixed seed: the same ones each time. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  #next(): bigint {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return BigInt(this.#state);
  }

  below(limit: bigint): bigint {
    // The high halves only: the low bits of such a generator repeat soon.
    const value = ((this.#next() >> 16n) << 48n) | ((this.#next() >> 16n) << 32n);
    return (value | ((this.#next() >> 16n) << 16n) | (this.#next() >> 16n)) % limit;
  }

  of<T>(choices: readonly T[]): T {
    return choices[Number(this.below(BigInt(choices.length)))] as T;
  }

  shuffled<T>(all: readonly T[]): T[] {
    const keyed = all.map((each) => ({ each, key: this.below(SPACE) }));
    return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ each }) => each);
  }
}

/**
 * So many different addresses, or fewer where there are not so many, all multiples of 8: the edges of runs and of what lies between
 * them, then addresses inside runs, inside blocks, between runs near and far, and in both halves whatever is there. Bits 63:56 are
 * like bit 55, so that it does not matter whether they are ignored as a tag (TCR_ELx.TBI).
 */
export function probeAddresses(mappings: readonly Range[], count: number): bigint[] {
  const random = new Random(count);
  const runs = mappings.map(spanOf).sort((a, b) => (a.start < b.start ? -1 : 1));
  const addresses = new Set<bigint>();
  const add = (...some: readonly bigint[]): void => {
    for (const each of some) addresses.add(BigInt.asUintN(64, BigInt.asIntN(56, each)) & ~7n);
  };
  add(0n, PAGE);
  if (runs.length === 0) return [...addresses];
  for (const run of random.shuffled(runs).slice(0, count / 10)) add(...edges(run));
  const gaps = gapsBetween(runs);
  const blocks = runs.filter(({ block }) => block);
  for (let round = 0; round < 2 * count && addresses.size < count; round++) {
    add(within(random.of(runs), random), within(random.of(blocks.length > 0 ? blocks : runs), random));
    if (gaps.length > 0) add(...between(random.of(gaps), random));
    add(random.below(1n << 44n), random.below(1n << 48n), random.below(1n << 48n) - (1n << 48n));
  }
  return [...addresses].slice(0, count);
}

function spanOf({ va, size, level }: Range): Span {
  const start = BigInt(va);
  return { start, end: start + BigInt(size), block: typeof level === "number" && level < 3 };
}

/** The first and the last word, the middle, the word before, the one after and a page past the end. */
function edges({ start, end }: Span): bigint[] {
  return [start, end - 8n, (start + end) / 2n, start - 8n, end, end + PAGE];
}

function within({ start, end }: Span, random: Random): bigint {
  return start + random.below(end - start);
}

/** An address near the start of a gap, and one anywhere in it. */
function between(gap: Span, random: Random): bigint[] {
  const near = 1n << (12n + random.below(24n));
  const length = gap.end - gap.start;
  return [gap.start + random.below(near < length ? near : length), within(gap, random)];
}

/** What no run covers, from address 0 to the last one. */
function gapsBetween(runs: readonly Span[]): Span[] {
  const gaps: Span[] = [];
  let start = 0n;
  for (const run of runs) {
    if (run.start > start) gaps.push({ start, end: run.start, block: false });
    if (run.end > start) start = run.end;
  }
  return start < SPACE ? [...gaps, { start, end: SPACE, block: false }] : gaps;
}
