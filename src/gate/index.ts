/** Policies, and whether a capture keeps them. */
export { type Baseline, compareWithBaseline } from "./across.ts";
export { type CheckOptions, checkCapture } from "./check.ts";
export { renderGithub } from "./github.ts";
export { encodeVerdict } from "./json.ts";
export { renderJunit } from "./junit.ts";
export type { Policy, PolicyRule } from "./policy.ts";
export { readPolicy } from "./read-policy.ts";
export type { BaselineComparison, BaselineDifference } from "./rules/baseline.ts";
export { type SarifOptions, sarifLog } from "./sarif.ts";
export { type Paint, renderVerdict } from "./text.ts";
export type { Complaint, RuleResult, Verdict } from "./verdict.ts";
