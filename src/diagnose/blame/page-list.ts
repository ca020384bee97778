/** Ranges of addresses gathered one by one, in any order. Units: numbers of 4 KiB pages. */
import type { PageRange } from "../../blame/index.ts";

export class PageList {
  #ranges: { start: number; end: number }[] = [];
  /** Ranges at which those that touch are joined. */
  #join = 1024;

  add({ start, pages }: PageRange): void {
    const last = this.#ranges.at(-1);
    if (last !== undefined && start >= last.start && start <= last.end) last.end = Math.max(last.end, start + pages);
    else this.#ranges.push({ start, end: start + pages });
    if (this.#ranges.length < this.#join) return;
    this.#ranges = joined(this.#ranges);
    this.#join = Math.max(1024, 2 * this.#ranges.length);
  }

  /** Ascending; those that touch are one. */
  list(): readonly PageRange[] {
    return joined(this.#ranges).map(({ start, end }) => ({ start, pages: end - start }));
  }
}

function joined(ranges: readonly { readonly start: number; readonly end: number }[]): { start: number; end: number }[] {
  const list: { start: number; end: number }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = list.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else list.push({ start, end });
  }
  return list;
}
