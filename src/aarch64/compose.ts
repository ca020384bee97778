/**
 * Stage 1 and stage 2 together: from virtual to physical addresses.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process": the output of stage 1 is the input of stage 2.
 */
import { type Attributes, combineStages } from "./attributes.ts";
import type { LostRun, RegimeMap, Run } from "./regime-map.ts";
import type { Stage2Controls } from "./regime-model.ts";

/** Where stage 2 takes the runs of stage 1; what it does not map is not mapped, what is not known of it is lost. */
export function throughStage2(stage1: RegimeMap, stage2: RegimeMap, maxRuns: number): RegimeMap {
  const { controls } = stage2.regime;
  if (controls.stage !== 2) return stage1;
  const composition = new Composition(stage2, controls, maxRuns);
  for (const run of stage1.runs) composition.add(run);
  const lost = [...stage1.lost, ...composition.lost].sort((a, b) => a.start - b.start);
  return { regime: stage1.regime, runs: composition.runs, lost, tables: stage1.tables };
}

/** What is lost of one composition: more says nothing that less does not. */
const MAX_LOST = 2 ** 14;

class Composition {
  readonly runs: Run[] = [];
  readonly lost: LostRun[] = [];
  readonly #stage2: RegimeMap;
  readonly #controls: Stage2Controls;
  readonly #maxRuns: number;
  readonly #combined = new Map<Attributes, Map<Attributes, Attributes>>();

  constructor(stage2: RegimeMap, controls: Stage2Controls, maxRuns: number) {
    this.#maxRuns = maxRuns;
    this.#stage2 = stage2;
    this.#controls = controls;
  }

  /** One run of stage 1: `start` is a virtual page, `output` an intermediate one. */
  add(run: Run): void {
    // What is not known comes first: where that is too much to tell, nothing is claimed of the run.
    if (!this.#addLost(run) || !this.#addRuns(run)) this.#giveUp(run.start, run.pages);
  }

  /** What stage 2 maps of a run; false when it is too much. */
  #addRuns(run: Run): boolean {
    const end = run.output + run.pages;
    const { runs } = this.#stage2;
    for (let i = firstEndingAfter(runs, run.output); i < runs.length; i++) {
      const piece = runs[i] as Run;
      if (piece.start >= end) return true;
      if (this.runs.length > this.#maxRuns) return false;
      const from = Math.max(piece.start, run.output);
      const pages = Math.min(piece.start + piece.pages, end) - from;
      const attributes = this.#attributes(run.attributes, piece.attributes);
      this.#append(run.start + (from - run.output), pages, piece.output + (from - piece.start), attributes);
    }
    return true;
  }

  /** What is not known of stage 2 in a run; false when it is too much. */
  #addLost(run: Run): boolean {
    const end = run.output + run.pages;
    const { lost } = this.#stage2;
    for (let i = firstEndingAfter(lost, run.output); i < lost.length; i++) {
      const gap = lost[i] as LostRun;
      if (gap.start >= end) return true;
      if (this.lost.length > MAX_LOST) return false;
      const from = Math.max(gap.start, run.output);
      const pages = Math.min(gap.start + gap.pages, end) - from;
      this.lost.push({ ...gap, start: run.start + (from - run.output), pages });
    }
    return true;
  }

  /** From here to the end of the run nothing is known, nor of what follows it. */
  #giveUp(start: number, pages: number): void {
    const last = this.lost.at(-1);
    const end = Math.max(start + pages, last === undefined ? 0 : last.start + last.pages);
    if (last?.code === "too-many-tables" && last.table === undefined) {
      this.lost[this.lost.length - 1] = { ...last, pages: end - last.start };
    } else {
      // Of the run itself some may be known already: what is lost starts behind it.
      const known = this.runs.at(-1);
      const from = Math.max(start, known === undefined ? 0 : known.start + known.pages);
      if (from < end) {
        this.lost.push({ start: from, pages: end - from, table: undefined, level: undefined, code: "too-many-tables" });
      }
    }
  }

  #append(start: number, pages: number, output: number, attributes: Attributes): void {
    const last = this.runs.at(-1);
    if (
      last !== undefined &&
      last.start + last.pages === start &&
      last.output + last.pages === output &&
      last.attributes.key === attributes.key
    ) {
      this.runs[this.runs.length - 1] = { ...last, pages: last.pages + pages };
    } else {
      this.runs.push({ start, pages, output, attributes });
    }
  }

  #attributes(stage1: Attributes, stage2: Attributes): Attributes {
    const known = this.#combined.get(stage1) ?? new Map<Attributes, Attributes>();
    this.#combined.set(stage1, known);
    const attributes = known.get(stage2) ?? combineStages(stage1, stage2, this.#controls);
    known.set(stage2, attributes);
    return attributes;
  }
}

/** The first of ascending ranges that ends after `page`: by halves. */
function firstEndingAfter(ranges: readonly { readonly start: number; readonly pages: number }[], page: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { start, pages } = ranges[middle] as { start: number; pages: number };
    if (start + pages > page) high = middle;
    else low = middle + 1;
  }
  return low;
}
