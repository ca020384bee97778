/** What the writers say of a result alike. */
import { plural, printable } from "../base/text.ts";
import { countStates, type RuleResult, type Verdict } from "./verdict.ts";

/** `The policy is broken: 2 of 9 rules are broken, 1 cannot be decided`. */
export function verdictText({ state, rules, policy }: Verdict): string {
  const { kept, broken, unknown } = countStates(rules);
  const warnings = rules.filter((each) => each.state === "broken" && !each.breaks).length;
  const parts = [
    ...(broken === 0
      ? []
      : [
          `${broken} of ${plural(rules.length, "rule")} ${broken === 1 ? "is" : "are"} broken${warnings === 0 ? "" : ` (${warnings} of them only ${warnings === 1 ? "a warning" : "warnings"})`}`,
        ]),
    ...(unknown === 0 ? [] : [`${unknown} cannot be decided`]),
    ...(broken + unknown === 0 ? [`${plural(kept, "rule")}`] : []),
  ];
  return `The policy${policy.name === undefined ? "" : ` "${printable(policy.name, 120)}"`} is ${state}: ${parts.join(", ")}`;
}

/** One sentence on a rule that is not kept. */
export function resultText({ state, violations, more, undecided }: RuleResult): string {
  const [first] = state === "broken" ? violations : undecided;
  const count = state === "broken" ? violations.length + more : undecided.length;
  const message = first?.message ?? "";
  const rest = count > 1 ? ` (and ${count - 1} more)` : "";
  return state === "unknown" ? `cannot be decided: ${message}${rest}` : `${message}${rest}`;
}

/** All that a rule complains of, a line each: violations, then what is not known, evidence indented below them. */
export function* complaintLines(
  { violations, more, undecided }: RuleResult,
  most: { readonly complaints: number; readonly evidence: number },
): Generator<string> {
  const all = [...violations, ...undecided.map((each) => ({ ...each, message: `not known: ${each.message}` }))];
  for (const { message, evidence } of all.slice(0, most.complaints)) {
    yield message;
    for (const line of evidence.slice(0, most.evidence)) yield `  ${line}`;
    if (evidence.length > most.evidence) yield `  … and ${plural(evidence.length - most.evidence, "line")} more`;
  }
  const rest = all.length + more - Math.min(all.length, most.complaints);
  if (rest > 0) yield `… and ${rest} more`;
}
