/** How an address translates at the points of a capture, and what of it changed from one to the next. */

import type { Attributes } from "../aarch64/attributes.ts";
import { describeDescriptor } from "../aarch64/describe.ts";
import type { Regime, RegimeName } from "../aarch64/regime-model.ts";
import type { Walked, WalkStep } from "../aarch64/translate.ts";
import { verdicts } from "../aarch64/verdict.ts";
import { virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import { PointView } from "../diff/point-view.ts";
import type { Capture } from "../snapshot/model.ts";

/** How an address translates at one point. */
export interface PointWalk {
  readonly point: string;
  /** The vCPU whose tables they are, and how many there are. */
  readonly cpu: number;
  readonly vcpus: number;
  readonly regime: Regime;
  readonly live: boolean;
  readonly walked: Walked;
}

/** How `address` translates at each point: in the regime that executes there unless one is named, on the point's vCPU unless one is. */
export function walksOf(capture: Capture, address: bigint, cpu?: number, regime?: RegimeName): readonly PointWalk[] {
  return capture.points.map((point): PointWalk => {
    const view = new PointView(capture, point, cpu);
    const name = regime ?? view.currentRegime;
    const walked = view.translator(name).translate(virt(address));
    return {
      point: point.id,
      cpu: view.cpu,
      vcpus: capture.threads.length,
      regime: view.regime(name),
      live: view.isLive(name),
      walked,
    };
  });
}

/** Where a walk was made: `EL1&0`, `EL1&0 of vCPU 1, MMU off`, `stage2, not live`. */
export function walkPlace({ regime, live, cpu, vcpus }: PointWalk): string {
  const notes = [regime.enabled ? "" : "MMU off", live ? "" : "not live"].filter((note) => note !== "");
  return [`${regime.name}${vcpus > 1 ? ` of vCPU ${cpu}` : ""}`, ...notes].join(", ");
}

/** Something about a walk that is another at a later point. `null`: the descriptor of that side has no such field. */
export interface WalkDifference {
  /** `level 3 descriptor`, `AP`, `EL1 write`, `memory`, … */
  readonly what: string;
  readonly before: string | null;
  readonly after: string | null;
}

export interface WalkChange {
  readonly from: string;
  readonly to: string;
  readonly differences: readonly WalkDifference[];
}

/** What changed from each walk to the next; only where something did. */
export function walkChanges(walks: readonly PointWalk[]): readonly WalkChange[] {
  return walks.slice(1).flatMap((walk, i) => {
    const previous = walks[i] as PointWalk;
    const differences = differencesOf(previous, walk);
    return differences.length === 0 ? [] : [{ from: previous.point, to: walk.point, differences }];
  });
}

/** Walks in two regimes have nothing in common that could change. */
function differencesOf(before: PointWalk, after: PointWalk): WalkDifference[] {
  const regime = difference("regime", before.regime.name, after.regime.name);
  if (regime.length > 0) return [...regime, ...difference("outcome", outcome(before), outcome(after))];
  return [...stepDifferences(before, after), ...resultDifferences(before, after)];
}

/** Of the descriptors that both walks came to; where one went further, the outcome tells it. */
function stepDifferences(before: PointWalk, after: PointWalk): WalkDifference[] {
  const now = new Map(after.walked.steps.map((step) => [stepName(step), step]));
  return before.walked.steps.flatMap((a) => {
    const name = stepName(a);
    const b = now.get(name);
    if (b === undefined) return [];
    const table = difference(`${name} table`, hex(a.table), hex(b.table));
    const descriptor = difference(`${name} descriptor`, hex(a.descriptor), hex(b.descriptor));
    if (a.kind !== b.kind || descriptor.length === 0) return [...table, ...descriptor];
    return [...table, ...descriptor, ...listDifferences(fieldFacts(a, before.regime), fieldFacts(b, after.regime))];
  });
}

function resultDifferences(before: PointWalk, after: PointWalk): WalkDifference[] {
  const changed = difference("outcome", outcome(before), outcome(after));
  const [a, b] = [before.walked.result, after.walked.result];
  if (a.mapped !== true || b.mapped !== true) return changed;
  return [
    ...changed,
    ...listDifferences(resultFacts(a.attributes, before.regime), resultFacts(b.attributes, after.regime)),
  ];
}

/** `mapped to 0x40000000`, `not mapped: translation fault, level 3`, `cannot tell: not-captured` */
function outcome({ walked: { result } }: PointWalk): string {
  if (result.mapped === null) return `cannot tell: ${result.why}`;
  return result.mapped ? `mapped to ${hex(result.pa)}` : `not mapped: ${result.why}`;
}

export function stepName({ stage, level }: WalkStep): string {
  return stage === 2 ? `stage 2 level ${level}` : `level ${level}`;
}

type Facts = ReadonlyMap<string, string>;

/** The fields of a step's descriptor by name. */
function fieldFacts(step: WalkStep, regime: Regime): Facts {
  return new Map(stepFields(step, regime).map(({ name, value, meaning }) => [name, valueText(value, meaning)]));
}

/** The fields of a step's descriptor; none where it is invalid. */
export function stepFields({ descriptor, kind, root, stage }: WalkStep, regime: Regime) {
  if (kind === "invalid") return [];
  const controls = stage === 2 ? (regime.behind ?? regime).controls : regime.controls;
  return describeDescriptor(descriptor, kind, root, controls);
}

export function valueText(value: number, meaning: string): string {
  return meaning === "" ? hex(BigInt(value)) : `${hex(BigInt(value))} (${meaning})`;
}

function resultFacts(attributes: Attributes, regime: Regime): Facts {
  const { memory, fetch, shareability } = attributes;
  return new Map([
    ["memory", memory],
    ["instruction fetches", fetch],
    ["shareability", shareability],
    ...verdicts(attributes, regime).flatMap(({ level, ...verdict }) =>
      (["read", "write", "execute"] as const).map((access) => [`${level} ${access}`, verdict[access]] as const),
    ),
  ]);
}

function listDifferences(before: Facts, after: Facts): WalkDifference[] {
  const names = [...new Set([...before.keys(), ...after.keys()])];
  return names.flatMap((name) => difference(name, before.get(name), after.get(name)));
}

function difference(what: string, before: string | undefined, after: string | undefined): WalkDifference[] {
  return before === after ? [] : [{ what, before: before ?? null, after: after ?? null }];
}
