/** `explain`: walks with the bits of each descriptor in words, the verdicts, and what changed from point to point. */
import type { TableRoot } from "../../aarch64/regime-model.ts";
import type { Walked, WalkStep } from "../../aarch64/translate.ts";
import { type LevelVerdict, type Verdict, verdicts } from "../../aarch64/verdict.ts";
import { hex, sizeText } from "../../base/hex.ts";
import { type PointWalk, stepFields, valueText, type WalkChange, walkChanges } from "../../diagnose/walks.ts";
import { style, table } from "./style.ts";
import { groupWalks, outcomeLine, stepCells, walkHeading } from "./walk.ts";

export function renderExplanation(walks: readonly PointWalk[]): string[] {
  const groups = groupWalks(walks, detailLines).flatMap(({ points, walk, lines }) => [
    walkHeading(points, walk),
    ...lines,
  ]);
  return [...groups, ...walkChanges(walks).flatMap(changeLines)];
}

function detailLines(walk: PointWalk): string[] {
  const { regime, walked } = walk;
  const lines: string[] = [];
  const rows = table(walked.steps.map(stepCells), "    ");
  let root: TableRoot | undefined;
  walked.steps.forEach((step, i) => {
    if (step.root !== root) lines.push(...intermediateLines(step, walked), `    ${style.quiet(rootText(step.root))}`);
    root = step.root;
    lines.push(`${rows[i]}${intermediateText(step)}`, ...fieldLines(step, walk));
  });
  const { result } = walked;
  if (result.mapped !== true) return [...lines, outcomeLine(result)];
  const { attributes, pa } = result;
  const off = attributes.level === null ? [`    ${style.quiet("stage 1 translation is off")}`] : [];
  const fetched = attributes.fetch === attributes.memory ? "" : `, instruction fetches ${attributes.fetch}`;
  const behind = regime.behind === undefined ? "" : ", through both stages";
  return [
    ...off,
    ...lines,
    `    ${style.good(`→ ${hex(pa)}`)}  ${attributes.memory}, ${attributes.shareability} shareable${fetched}${behind}`,
    ...table(verdicts(attributes, regime).map(verdictCells), "    "),
  ];
}

/** `TTBR0_EL1  44 bits from 0x0, 4 KiB granule, starts at level 0` */
function rootText({ register, inputBits, vaBase, format, startLevel, hierarchical }: TableRoot): string {
  const granule = sizeText(1n << BigInt(format.granuleBits));
  const hpd = hierarchical || register === "VTTBR_EL2" ? "" : ", hierarchical permissions disabled";
  return `${register}  ${inputBits} bits from ${hex(vaBase)}, ${granule} granule, starts at level ${startLevel}${hpd}`;
}

/** Between the stages. */
function intermediateLines({ stage }: WalkStep, { intermediate }: Walked): string[] {
  return stage === 2 && intermediate !== undefined ? [`    → IPA ${hex(intermediate)}`] : [];
}

function intermediateText({ intermediate }: WalkStep): string {
  return intermediate === undefined ? "" : `  ${style.quiet(`(IPA ${hex(intermediate)})`)}`;
}

/** The fields that say something. */
function fieldLines(step: WalkStep, { regime }: PointWalk): string[] {
  const words = stepFields(step, regime)
    .filter(({ value, meaning }) => value !== 0 || meaning !== "")
    .map(({ name, value, meaning }) => `${name}=${valueText(value, meaning)}`);
  return wrapped(words, 96).map((text) => `       ${style.quiet(text)}`);
}

/** Items in lines of at most `width` characters. */
function wrapped(items: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const item of items) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + item.length + 2 <= width) lines[lines.length - 1] = `${last}, ${item}`;
    else lines.push(item);
  }
  return lines;
}

function verdictCells({ level, read, write, execute }: LevelVerdict): string[] {
  return [level, `read ${verdictText(read)}`, `write ${verdictText(write)}`, `execute ${verdictText(execute)}`];
}

function verdictText(verdict: Verdict): string {
  if (verdict === "allowed") return style.good(verdict);
  return verdict === "unknown" ? style.warn("cannot tell") : style.bad(verdict);
}

function changeLines({ from, to, differences }: WalkChange): string[] {
  const rows = differences.map(({ what, before, after }) => [what, `${before ?? "none"} → ${after ?? "none"}`]);
  return [`  ${style.heading(`changed from ${from} to ${to}`)}`, ...table(rows, "    ")];
}
