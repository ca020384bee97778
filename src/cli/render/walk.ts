/** The walk of an address, level by level, as text. */
import type { Walked, WalkStep } from "../../aarch64/translate.ts";
import { ERROR_CODES } from "../../base/error.ts";
import { hex, hex16 } from "../../base/hex.ts";
import type { PointWalk } from "../../diagnose/fault.ts";
import { accessText, style, table } from "./style.ts";

/** The walks of one address at several points; points with the same walk share it. */
export function renderWalks(walks: readonly PointWalk[]): string[] {
  const groups = new Map<string, { readonly points: string[]; readonly walk: PointWalk }>();
  for (const walk of walks) {
    const key = `${walk.regime}\n${walkLines(walk.walked).join("\n")}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { points: [walk.point], walk });
    else group.points.push(walk.point);
  }
  return [...groups.values()].flatMap(({ points, walk }) => [
    `  ${style.quiet(`at ${points.join(", ")} (${walk.regime})`)}`,
    ...walkLines(walk.walked),
  ]);
}

function walkLines({ steps, result }: Walked): string[] {
  const rows = steps.map((step) => [
    `L${step.level}`,
    `${hex(step.table)}[${step.index}]`,
    hex16(step.descriptor),
    kindText(step),
  ]);
  const lines = table(rows, "    ");
  if (result.mapped === null)
    return [...lines, `    ${style.warn(`cannot tell: ${result.why}`)} (${ERROR_CODES[result.why]})`];
  if (!result.mapped) return [...lines, `    ${style.bad(`not mapped: ${result.why}`)}`];
  const { attributes, pa } = result;
  const el0 = attributes.el0 === null ? "" : `, EL0 ${accessText(attributes.el0)}`;
  const af = attributes.accessFlag ? "" : ", access flag 0";
  return [
    ...lines,
    `    ${style.good(`→ ${hex(pa)} ${accessText(attributes)}${el0}`)}, ${attributes.memory}, ${attributes.shareability} shareable${af}`,
  ];
}

function kindText({ kind, descriptor }: WalkStep): string {
  if (kind !== "invalid") return kind;
  return descriptor === 0n ? "invalid (zero)" : "invalid";
}
