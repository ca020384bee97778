/** Which of many ranges that lie over each other was laid down last, for each address. Units: numbers of pages, half-open. */

export interface Layer {
  readonly from: number;
  readonly to: number;
  readonly event: number;
  /** Undefined: not by anything that was seen. */
  readonly author: number | undefined;
}

export interface Painted {
  readonly from: number;
  readonly to: number;
  /** Undefined: no layer is there. */
  readonly layer: Layer | undefined;
}

/** What is on top from `from` to `to`, ascending; `layers` are in the order in which they were laid, within the range. */
export function paint(from: number, to: number, layers: readonly Layer[]): readonly Painted[] {
  const edges = Float64Array.from(new Set([from, to, ...layers.flatMap((each) => [each.from, each.to])])).sort();
  const tops = new Array<Layer | undefined>(edges.length - 1).fill(undefined);
  const bare = new BareStretches(tops.length);
  for (let i = layers.length - 1; i >= 0; i--) {
    const layer = layers[i] as Layer;
    const end = indexOf(edges, layer.to);
    for (let at = bare.from(indexOf(edges, layer.from)); at < end; at = bare.from(at)) {
      tops[at] = layer;
      bare.cover(at);
    }
  }
  const painted: Painted[] = [];
  for (const [i, layer] of tops.entries()) {
    const last = painted.at(-1);
    const end = edges[i + 1] as number;
    if (last !== undefined && last.layer?.event === layer?.event && last.layer?.author === layer?.author) {
      painted[painted.length - 1] = { ...last, to: end };
    } else painted.push({ from: edges[i] as number, to: end, layer });
  }
  return painted;
}

/** The pages in any of the ranges, each once. */
export function unionSize(ranges: readonly { readonly from: number; readonly to: number }[]): number {
  let size = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    size += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return size;
}

/** The stretches that nothing lies on yet; the next one is found in nearly constant time (a forest with halved paths). */
class BareStretches {
  readonly #next: Int32Array;

  constructor(count: number) {
    this.#next = Int32Array.from({ length: count + 1 }, (_, i) => i);
  }

  /** The first bare one at or after `at`; the count when there is none. */
  from(at: number): number {
    const next = this.#next;
    let index = at;
    while (next[index] !== index) {
      next[index] = next[next[index] as number] as number;
      index = next[index] as number;
    }
    return index;
  }

  cover(at: number): void {
    this.#next[at] = at + 1;
  }
}

/** Of a value that is in the list. */
function indexOf(ascending: Float64Array, value: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
