/**
 * What changed in the mappings of a regime: maximal runs of contiguous addresses that changed in the same way.
 *
 * Addresses of which nothing is known on either side (a table could not be read or decoded) are in no run: not "removed", not
 * "unchanged". They are in the coverage.
 */

import type { Attributes } from "../aarch64/attributes.ts";
import type { RegimeMap, Run } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";

export interface MappingSide {
  readonly pa: PhysAddr;
  readonly attributes: Attributes;
}

export interface MappingChange {
  readonly regime: RegimeName;
  readonly kind: "added" | "removed" | "changed" | "moved";
  readonly va: VirtAddr;
  /** In bytes. */
  readonly size: bigint;
  readonly before: MappingSide | null;
  readonly after: MappingSide | null;
}

/** The changes from one map of a regime to another, ascending by address. A regime that is not live on a side maps nothing there. */
export function diffMappings(
  name: RegimeName,
  before: RegimeMap | undefined,
  after: RegimeMap | undefined,
): readonly MappingChange[] {
  const changes = new ChangeList();
  const old = new Side(before);
  const now = new Side(after);
  for (let at = 0; at < Number.POSITIVE_INFINITY; ) {
    const end = Math.min(old.seek(at), now.seek(at));
    if (end < Number.POSITIVE_INFINITY && old.content !== "lost" && now.content !== "lost") {
      changes.add(at, end, outputAt(old, at), outputAt(now, at));
    }
    at = end;
  }
  return changes.list.map((change) => ({ regime: name, ...describe(change) }));
}

/** One end of a piece: where it leads and how. Units: pages. */
interface Output {
  readonly page: number;
  readonly attributes: Attributes;
}

function outputAt(side: Side, at: number): Output | null {
  const run = side.content;
  if (run === null || run === "lost") return null;
  return { page: run.output + (at - run.start), attributes: run.attributes };
}

interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly content: Run | "lost";
}

/** A cursor over what one side says about ascending addresses. */
class Side {
  readonly #stretches: readonly Stretch[];
  #next = 0;
  /** What holds at the address last sought: a run, nothing, or nothing known. */
  content: Run | "lost" | null = null;

  constructor(map: RegimeMap | undefined) {
    const runs = (map?.runs ?? []).map((run) => ({ start: run.start, end: run.start + run.pages, content: run }));
    const lost = (map?.lost ?? []).map(({ start, pages }) => ({ start, end: start + pages, content: "lost" as const }));
    this.#stretches = lost.length === 0 ? runs : [...runs, ...lost].sort((a, b) => a.start - b.start);
  }

  /** Moves to `at` (ascending) and returns up to where `content` holds. */
  seek(at: number): number {
    let stretch = this.#stretches[this.#next];
    while (stretch !== undefined && stretch.end <= at) stretch = this.#stretches[++this.#next];
    if (stretch === undefined || stretch.start > at) {
      this.content = null;
      return stretch?.start ?? Number.POSITIVE_INFINITY;
    }
    this.content = stretch.content;
    return stretch.end;
  }
}

interface Change {
  readonly start: number;
  end: number;
  readonly before: Output | null;
  readonly after: Output | null;
}

class ChangeList {
  readonly list: Change[] = [];

  add(start: number, end: number, before: Output | null, after: Output | null): void {
    if (sameOutput(before, after)) return;
    const last = this.list.at(-1);
    const length = start - (last?.start ?? 0);
    if (last?.end === start && continues(last.before, before, length) && continues(last.after, after, length)) {
      last.end = end;
    } else {
      this.list.push({ start, end, before, after });
    }
  }
}

function sameOutput(a: Output | null, b: Output | null): boolean {
  if (a === null || b === null) return a === b;
  return a.page === b.page && a.attributes.key === b.attributes.key;
}

/** Whether `next`, `pages` pages on, is what `first` would go on to. */
function continues(first: Output | null, next: Output | null, pages: number): boolean {
  if (first === null || next === null) return first === next;
  return first.page + pages === next.page && first.attributes.key === next.attributes.key;
}

function describe({ start, end, before, after }: Change): Omit<MappingChange, "regime"> {
  return {
    kind: kindOf(before, after),
    va: virt(BigInt(start) << 12n),
    size: BigInt(end - start) << 12n,
    before: sideOf(before),
    after: sideOf(after),
  };
}

function kindOf(before: Output | null, after: Output | null): MappingChange["kind"] {
  if (before === null) return "added";
  if (after === null) return "removed";
  return before.page === after.page ? "changed" : "moved";
}

function sideOf(output: Output | null): MappingSide | null {
  return output === null ? null : { pa: phys(BigInt(output.page) << 12n), attributes: output.attributes };
}
