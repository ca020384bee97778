/**
 * Who made each change of a difference.
 *
 * A page of a changed run belongs to whoever was seen to change its translation last before the second point. Where that was not seen (a
 * difference found by comparing, or a change of which it is not told which addresses it concerns), or nothing was seen to change the page at
 * all, it is unattributed. Whoever changed it before stands in the list too.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import type { Difference } from "../diff/diff.ts";
import type { MappingChange } from "../diff/mappings.ts";
import { WATCH_ENDED } from "../snapshot/blame.ts";
import { type Author, AuthorList } from "./author.ts";
import type { Effect } from "./effect.ts";
import { type Layer, paint, unionSize } from "./paint.ts";
import { attributeRegisters, type RegisterBlame } from "./register-attribution.ts";
import { eventOfPoint, type Replay } from "./replay.ts";

/** Addresses whose translation one event changed last. */
export interface LastChange {
  readonly va: VirtAddr;
  /** In bytes. */
  readonly size: bigint;
  /** Index in the record; undefined: nobody was seen. */
  readonly event: number | undefined;
}

export interface MappingBlame {
  readonly change: MappingChange;
  /** In the order of their first event; empty: it was watched, and nobody was seen. Undefined: nobody watched. */
  readonly by: readonly Author[] | undefined;
  /** The whole run, ascending. */
  readonly last: readonly LastChange[];
  /** 4 KiB pages of the run that nobody was seen to change last. */
  readonly unattributed: number;
}

export interface DifferenceBlame {
  /** As the mappings of the difference, one for one. */
  readonly mappings: readonly MappingBlame[];
  /** As the registers of the difference, one for one. */
  readonly registers: readonly RegisterBlame[];
  readonly notes: readonly string[];
}

/** Layers over the runs of one difference, all together: the earliest are left out beyond that. */
const MAX_LAYERS = 2 ** 22;

/** Undefined when nobody watched from the first point to the second. */
export function attribute(difference: Difference, replay: Replay | undefined): DifferenceBlame | undefined {
  if (replay === undefined) return undefined;
  const from = eventOfPoint(replay, difference.before.point);
  const to = eventOfPoint(replay, difference.after.point);
  if (from === undefined || to === undefined || to <= from || hadEnded(replay, from)) return undefined;
  const between = (event: number): boolean => event > from && event <= to;
  const layers = new RunLayers(difference.mappings);
  // The latest first: they are the ones that count when there are too many.
  for (let i = replay.effects.length - 1; i >= 0; i--) {
    const effect = replay.effects[i] as Effect;
    if (between(effect.event) && effect.cpus.includes(difference.before.cpu)) layers.add(effect);
  }
  return {
    mappings: difference.mappings.map((change, i) => mappingBlame(change, layers.of(i), replay)),
    registers: attributeRegisters(difference.registers, replay, between),
    notes: layers.full ? ["More changes lie over each other than are looked at: the earliest are not told of."] : [],
  };
}

/** Whether tables and registers were watched no more from an event on. */
function hadEnded({ record, lapses }: Replay, event: number): boolean {
  const stop = record.events[event]?.stop ?? 0;
  return lapses.some((each) => {
    const lapse = record.events[each];
    return lapse !== undefined && lapse.stop <= stop && record.notes[Number(lapse.address)] === WATCH_ENDED;
  });
}

function mappingBlame(change: MappingChange, layers: readonly Layer[], replay: Replay): MappingBlame {
  const start = Number(change.va >> 12n);
  const painted = paint(start, start + Number(change.size >> 12n), layers);
  const authors = new AuthorList(replay.record);
  for (let i = 0; i < layers.length; ) {
    const { event, author } = layers[i] as Layer;
    const first = i;
    while (layers[i]?.event === event && layers[i]?.author === author) i++;
    if (author !== undefined) authors.add(event, unionSize(layers.slice(first, i)));
  }
  let unattributed = 0;
  for (const { from, to, layer } of painted) {
    if (layer?.author === undefined) unattributed += to - from;
    else authors.addLast(layer.event, to - from);
  }
  const by = authors.list();
  return {
    change,
    by: by.length === 0 && !replay.record.tables ? undefined : by,
    last: painted.map(({ from, to, layer }) => ({
      va: virt(BigInt(from) << 12n),
      size: BigInt(to - from) << 12n,
      event: layer?.author,
    })),
    unattributed,
  };
}

/** The effects that lie over each run of a difference. */
class RunLayers {
  readonly #byRegime = new Map<string, { readonly start: number; readonly end: number; readonly index: number }[]>();
  readonly #layers: Layer[][];
  #count = 0;

  /** `runs`: ascending in each regime. */
  constructor(runs: readonly MappingChange[]) {
    this.#layers = runs.map(() => []);
    for (const [index, { regime, va, size }] of runs.entries()) {
      const start = Number(va >> 12n);
      const list = this.#byRegime.get(regime) ?? [];
      this.#byRegime.set(regime, list);
      list.push({ start, end: start + Number(size >> 12n), index });
    }
  }

  get full(): boolean {
    return this.#count >= MAX_LAYERS;
  }

  /** The layers over a run, in order. */
  of(index: number): readonly Layer[] {
    return [...(this.#layers[index] ?? [])].reverse();
  }

  /** Adds an effect that came before those that were added. */
  add({ regime, ranges, event, seen, told }: Effect): void {
    const runs = this.#byRegime.get(regime) ?? [];
    for (const { start, pages } of ranges) {
      for (let i = firstEndingAfter(runs, start); i < runs.length && !this.full; i++) {
        const run = runs[i] as (typeof runs)[number];
        if (run.start >= start + pages) break;
        const [from, to] = [Math.max(start, run.start), Math.min(start + pages, run.end)];
        this.#layers[run.index]?.push({ from, to, event, author: seen && told ? event : undefined });
        this.#count++;
      }
    }
  }
}

/** The first of ascending ranges that ends after `page`: by halves. */
function firstEndingAfter(ranges: readonly { readonly end: number }[], page: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as { end: number }).end > page) high = middle;
    else low = middle + 1;
  }
  return low;
}
