/** Policies of a few lines, held against a real capture that was changed. */
import { studyCapture } from "../../src/diagnose/study.ts";
import {
  type BaselineComparison,
  checkCapture,
  type RuleResult,
  readPolicy,
  type Verdict,
} from "../../src/gate/index.ts";
import type { Capture } from "../../src/snapshot/model.ts";
import { type Change, changed } from "../diagnose/rules/scenes.ts";

/** `rules`: the lines below `rules:`. */
export async function verdictOf(rules: string, capture: Capture, baseline?: BaselineComparison): Promise<Verdict> {
  const text = `ebscope: 1\nrules:\n${rules.replace(/^(?=.)/gm, "  ")}\n`;
  const policy = readPolicy({ name: "policy.yaml", text });
  return checkCapture(await studyCapture(capture, "none"), policy, { capture: "test.ebs", baseline });
}

/** The result of the only rule of a policy. */
export async function resultOf(rules: string, ...changes: readonly Change[]): Promise<RuleResult> {
  const verdict = await verdictOf(rules, changed(...changes));
  const [result, ...others] = verdict.rules;
  if (result === undefined || others.length > 0) throw new Error(`${verdict.rules.length} rules`);
  return result;
}

export function messages({ violations, undecided }: RuleResult): string[] {
  return [...violations, ...undecided].map(({ message }) => message);
}
