/** The walk of an address, level by level, as text. */

import type { Translation, WalkStep } from "../../aarch64/translate.ts";
import { hex, hex16 } from "../../base/hex.ts";
import { type PointWalk, walkPlace } from "../../diagnose/walks.ts";
import { descriptorKind, outcomeText } from "../../report/words.ts";
import { style, table } from "./style.ts";

/** Walks that read alike, with the points they are of, in the order of the points. */
export interface WalkGroup {
  readonly points: readonly string[];
  readonly walk: PointWalk;
  readonly lines: readonly string[];
}

/** Points with the same walk share it. */
export function groupWalks(
  walks: readonly PointWalk[],
  render: (walk: PointWalk) => readonly string[],
): readonly WalkGroup[] {
  const groups = new Map<string, { points: string[]; walk: PointWalk; lines: readonly string[] }>();
  for (const walk of walks) {
    const lines = render(walk);
    const key = `${walkPlace(walk)}\n${lines.join("\n")}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { points: [walk.point], walk, lines });
    else group.points.push(walk.point);
  }
  return [...groups.values()];
}

/** The walks of one address at several points, a line a level. */
export function renderWalks(walks: readonly PointWalk[]): string[] {
  return groupWalks(walks, walkLines).flatMap(({ points, walk, lines }) => [walkHeading(points, walk), ...lines]);
}

export function walkHeading(points: readonly string[], walk: PointWalk): string {
  return `  ${style.quiet(`at ${points.join(", ")} (${walkPlace(walk)})`)}`;
}

function walkLines({ walked: { steps, result } }: PointWalk): string[] {
  return [...table(steps.map(stepCells), "    "), outcomeLine(result)];
}

/** `L3  0x7ed05000[0]  0x0060000000000783  page` */
export function stepCells(step: WalkStep): string[] {
  return [
    `${step.stage === 2 ? "S2 " : ""}L${step.level}`,
    `${hex(step.table)}[${step.index}]`,
    hex16(step.descriptor),
    descriptorKind(step),
  ];
}

/** Where a walk ends, in the colour of its kind. */
export function outcomeLine(result: Translation): string {
  const colour = result.mapped === null ? style.warn : result.mapped ? style.good : style.bad;
  return `    ${colour(outcomeText(result))}`;
}
