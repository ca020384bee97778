/** A verdict as JSON. */
import type { ComplaintJson, VerdictJson } from "../api/policy.ts";
import { hex } from "../base/hex.ts";
import { type Complaint, countStates, type RuleResult, type Verdict, type Where } from "./verdict.ts";

export function encodeVerdict({ policy, capture, state, rules }: Verdict): VerdictJson {
  return {
    state,
    policy: { file: policy.file, name: policy.name ?? null },
    capture,
    counts: { rules: rules.length, ...countStates(rules) },
    rules: rules.map(encodeResult),
  };
}

function encodeResult(result: RuleResult): VerdictJson["rules"][number] {
  const { rule, state, breaks, violations, more, undecided, unused } = result;
  return {
    rule: rule.demand.rule,
    title: rule.title,
    state,
    severity: rule.severity,
    breaks,
    reason: rule.reason ?? null,
    ...rule.position,
    violations: violations.map(encodeComplaint),
    more,
    undecided: undecided.map(encodeComplaint),
    unused: unused.map(({ text, position }) => ({ text, ...position })),
  };
}

function encodeComplaint({ message, where, evidence }: Complaint): ComplaintJson {
  return { message, where: encodeWhere(where), evidence: [...evidence] };
}

export function encodeWhere(where: Where): ComplaintJson["where"] {
  const number = (value: bigint | undefined): string | null => (value === undefined ? null : hex(value));
  return {
    point: where.point ?? null,
    regime: where.regime ?? null,
    va: number(where.va),
    size: number(where.size),
    pa: number(where.pa),
    cpu: where.cpu ?? null,
    register: where.register ?? null,
    image: where.image ?? null,
    section: where.section ?? null,
    memoryType: where.memoryType ?? null,
    finding: where.finding ?? null,
  };
}
