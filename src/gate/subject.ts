/** The capture that rules look at: its points as they are asked for, each decoded once. */

import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { printable } from "../base/text.ts";
import { type Finding, findingsOf } from "../diagnose/findings.ts";
import type { Study } from "../diagnose/study.ts";
import { differenceIn } from "../diff/compare.ts";
import { type Difference, diffPoints } from "../diff/diff.ts";
import { PointView } from "../diff/point-view.ts";
import type { Point } from "../snapshot/model.ts";
import { Budget } from "./budget.ts";
import { Owners } from "./owners.ts";
import type { Complaint } from "./verdict.ts";

/** In place of the id of a point: all of them. */
export const EVERY_POINT = "every";

/** Points that one rule looks at: each may have a million mappings. */
const MOST_POINTS = 16;

export interface ChosenPoints {
  readonly views: readonly PointView[];
  /** Points that are not there, or too many. */
  readonly undecided: readonly Complaint[];
}

export class Subject {
  readonly study: Study;
  readonly budget = new Budget();
  readonly #views = new Map<string, PointView>();
  readonly #differences = new Map<string, Difference>();
  readonly #owners = new Map<string, Owners>();
  #findings: readonly Finding[] | undefined;

  constructor(study: Study) {
    this.study = study;
  }

  point(id: string): Point | undefined {
    return this.study.capture.points.find((each) => each.id === id);
  }

  view(point: Point): PointView {
    const view = this.#views.get(point.id) ?? new PointView(this.study.capture, point);
    this.#views.set(point.id, view);
    return view;
  }

  /** Whose memory there is at a point in a regime. */
  owners(view: PointView, regime: RegimeName): Owners {
    const key = `${view.point.id} ${regime}`;
    const owners = this.#owners.get(key) ?? new Owners(this.study, view, regime);
    this.#owners.set(key, owners);
    return owners;
  }

  /**
   * The points with these ids. Without any those of the rule, `usual`, for a capture of a handoff; all for any other, which has none of
   * these names.
   */
  points(ids: readonly string[] | undefined, usual: readonly string[]): ChosenPoints {
    const { points } = this.study.capture;
    const isHandoff = points.some(({ kind }) => kind === "before");
    const wanted = ids ?? (isHandoff ? usual : [EVERY_POINT]);
    const names = new Set(wanted.flatMap((id) => (id === EVERY_POINT ? points.map((each) => each.id) : [id])));
    const found = points.filter(({ id }) => names.has(id));
    const undecided = [...names].filter((id) => this.point(id) === undefined).map((id) => this.missing(id));
    if (found.length === 0 && undecided.length === 0) undecided.push(NO_POINT);
    const rest = found.length - MOST_POINTS;
    return {
      views: found.slice(0, MOST_POINTS).map((point) => this.view(point)),
      undecided: rest > 0 ? [...undecided, tooMany(rest)] : undecided,
    };
  }

  missing(id: string): Complaint {
    const has = this.study.capture.points.slice(0, MOST_POINTS).map((each) => each.id);
    const there = has.length === 0 ? "none" : has.join(", ");
    const name = printable(id, 40);
    return { message: `the capture has no point ${name}`, where: { point: id }, evidence: [`it has ${there}`] };
  }

  /** What changed from one point to another; undefined where one is missing. */
  async difference(from: string, to: string): Promise<Difference | undefined> {
    const [a, b] = [this.point(from), this.point(to)];
    if (a === undefined || b === undefined) return undefined;
    const key = JSON.stringify([from, to]);
    const known = this.#differences.get(key) ?? (await diffPoints(this.study.capture, this.study.images, a, b));
    this.#differences.set(key, known);
    return known;
  }

  /** What ebscope itself has to say, as `diff` and `show findings` have it. */
  async findings(): Promise<readonly Finding[]> {
    const { capture, images } = this.study;
    this.#findings ??= findingsOf(this.study, await differenceIn(capture, images));
    return this.#findings;
  }
}

const NO_POINT: Complaint = { message: "the capture has no point", where: {}, evidence: [] };

function tooMany(rest: number): Complaint {
  return {
    message: `${rest} more points were not looked at`,
    where: {},
    evidence: [`a rule looks at ${MOST_POINTS} points: name those that matter with at`],
  };
}

export interface ChosenRegimes {
  readonly names: readonly RegimeName[];
  /** That none of the named ones is in use: nothing can be said then, for good or bad. */
  readonly undecided: readonly Complaint[];
}

/**
 * The regimes at a point that a rule looks at: of the named ones those in use, else all in use but stage 2, whose input is no virtual address.
 */
export function regimesAt(view: PointView, named: readonly RegimeName[] | undefined): ChosenRegimes {
  const live = view.regimes.map(({ name }) => name);
  const names = live.filter((name) => (named === undefined ? name !== "stage2" : named.includes(name)));
  if (names.length > 0 || named === undefined) return { names, undecided: [] };
  const { id } = view.point;
  const message = `${named.join(", ")} ${named.length === 1 ? "is" : "are"} not in use at ${id}`;
  return {
    names,
    undecided: [{ message, where: { point: id, regime: named[0] }, evidence: [`in use are ${live.join(", ")}`] }],
  };
}

/** Why not all can be told of the mappings of a point, apart from tables that were not read. */
export function doubtsAt(view: PointView): Complaint[] {
  const { id, complete } = view.point;
  if (currentExceptionLevel(view.registers) === undefined)
    return [
      {
        message: `the Exception level of vCPU ${view.cpu} at ${id} is not known: cpsr could not be read`,
        where: { point: id, cpu: view.cpu, register: "cpsr" },
        evidence: [],
      },
    ];
  if (complete) return [];
  return [
    {
      message: `the point ${id} is not complete: the guest or the stub was lost while it was taken`,
      where: { point: id },
      evidence: [],
    },
  ];
}
