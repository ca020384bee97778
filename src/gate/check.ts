/** Holding a capture against a policy. Pure: nothing is read but the study. */
import { printable } from "../base/text.ts";
import type { Study } from "../diagnose/study.ts";
import { TooMuch } from "./budget.ts";
import type { Demand, Policy, PolicyRule } from "./policy.ts";
import { type BaselineComparison, sameAs } from "./rules/baseline.ts";
import { noControlRegisterChanges } from "./rules/changes.ts";
import { mappingAssertion } from "./rules/mapping-assertion.ts";
import { allChangesExpected } from "./rules/mapping-changes.ts";
import { nullPageUnmapped } from "./rules/null-page.ts";
import { registerAssertion } from "./rules/registers.ts";
import { exitSucceeded, noFindings, notFaulted } from "./rules/run.ts";
import { runtimeCodeReadOnly } from "./rules/runtime-code.ts";
import { noWriteExecute } from "./rules/write-execute.ts";
import { Subject } from "./subject.ts";
import { type Complaint, type Outcome, outcome, type RuleResult, type RuleState, type Verdict } from "./verdict.ts";

export interface CheckOptions {
  /** The capture's file, as the user named it. */
  readonly capture: string;
  /** For `same-as`. */
  readonly baseline?: BaselineComparison | undefined;
}

/** Checks every rule of a policy, in its order. */
export async function checkCapture(study: Study, policy: Policy, options: CheckOptions): Promise<Verdict> {
  const subject = new Subject(study);
  const rules: RuleResult[] = [];
  for (const rule of policy.rules) rules.push(await resultOf(rule, subject, options));
  const state = rules.some(({ breaks }) => breaks) ? "broken" : "kept";
  return { policy, capture: options.capture, state, rules };
}

async function resultOf(rule: PolicyRule, subject: Subject, options: CheckOptions): Promise<RuleResult> {
  const found = await judged(rule.demand, subject, options);
  const state = stateOf(found);
  const counts = state === "broken" || (state === "unknown" && rule.unknown === "break");
  return {
    rule,
    state,
    breaks: counts && rule.severity === "error",
    ...found,
    violations: found.violations.map(inert),
    undecided: found.undecided.map(inert),
  };
}

async function judged(demand: Demand, subject: Subject, options: CheckOptions): Promise<Outcome> {
  subject.budget.renew();
  try {
    return await check(demand, subject, options);
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    return outcome([], [{ message: error.message, where: {}, evidence: [] }]);
  }
}

async function check(demand: Demand, subject: Subject, { baseline }: CheckOptions): Promise<Outcome> {
  switch (demand.rule) {
    case "no-write-execute":
      return noWriteExecute(subject, demand);
    case "null-page-unmapped":
      return nullPageUnmapped(subject, demand);
    case "runtime-code-read-only":
      return runtimeCodeReadOnly(subject, demand);
    case "no-control-register-changes":
      return noControlRegisterChanges(subject, demand);
    case "all-changes-expected":
      return allChangesExpected(subject, demand);
    case "no-findings":
      return noFindings(subject, demand);
    case "exit-succeeded":
      return exitSucceeded(subject, demand);
    case "not-faulted":
      return notFaulted(subject);
    case "registers":
      return registerAssertion(subject, demand);
    case "mappings":
      return mappingAssertion(subject, demand);
    case "same-as":
      return sameAs(baseline, demand);
  }
}

function stateOf({ violations, undecided }: Outcome): RuleState {
  if (violations.length > 0) return "broken";
  return undecided.length > 0 ? "unknown" : "kept";
}

const MAX_MESSAGE = 1000;
/** Lines of evidence of one complaint. */
const MOST_EVIDENCE = 40;

/** Messages quote names of the guest, the stub and the file. */
function inert({ message, where, evidence }: Complaint): Complaint {
  const told = evidence.slice(0, MOST_EVIDENCE).map((line) => printable(line, MAX_MESSAGE));
  return { message: printable(message, MAX_MESSAGE), where, evidence: told };
}
