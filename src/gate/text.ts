/** A verdict for people. */
import { printable } from "../base/text.ts";
import { complaintLines, verdictText } from "./complaint-text.ts";
import type { RuleResult, Verdict } from "./verdict.ts";

/** How words are made to stand out; nothing is done to them where there is no colour. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly quiet: (text: string) => string;
}

const SHOWN = { complaints: 12, evidence: 6 };
const EVERYTHING = { complaints: 1000, evidence: 1000 };

/** The first line says whether the policy is kept; then each rule that is not, with what broke it; then the others, a line each. */
export function renderVerdict(verdict: Verdict, paint: Paint, all = false): string {
  const { state, rules, policy, capture } = verdict;
  const title = verdictText(verdict);
  const head = state === "kept" ? paint.good(`✓ ${title}`) : paint.bad(`✗ ${title}`);
  const about = paint.quiet(`${printable(capture)} against ${printable(policy.file)}`);
  const wrong = rules.filter((each) => each.state !== "kept");
  const kept = rules.filter((each) => each.state === "kept");
  const lines = [
    `${head}`,
    `  ${about}`,
    ...wrong.flatMap((each) => ruleLines(verdict, each, paint, all)),
    ...(kept.length === 0 ? [] : ["", paint.quiet("Kept"), ...kept.flatMap((each) => keptLines(each, paint))]),
  ];
  return lines.join("\n");
}

function ruleLines({ policy }: Verdict, result: RuleResult, paint: Paint, all: boolean): string[] {
  const { rule, state, breaks } = result;
  const { line, column } = rule.position;
  const place = `${printable(policy.file)}:${line}:${column}`;
  const mark = state === "broken" ? (breaks ? "✗" : "!") : "?";
  const colour = breaks ? paint.bad : paint.warn;
  const note = state === "unknown" ? (breaks ? " cannot be decided" : " cannot be decided, which is allowed") : "";
  return [
    "",
    `${colour(`${mark} ${printable(rule.title)}${note}`)}  ${paint.quiet(place)}`,
    ...(rule.reason === undefined ? [] : [`  why: ${printable(rule.reason, 400)}`]),
    ...[...complaintLines(result, all ? EVERYTHING : SHOWN)].map((each) => `    ${each}`),
    ...unusedLines(result, paint),
  ];
}

function keptLines(result: RuleResult, paint: Paint): string[] {
  return [`  ${paint.good("✓")} ${printable(result.rule.title)}`, ...unusedLines(result, paint)];
}

function unusedLines({ unused }: RuleResult, paint: Paint): string[] {
  return unused.map(({ text, position }) => paint.quiet(`    ${text} (line ${position.line}) matched nothing`));
}
