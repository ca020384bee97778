/**
 * A verdict as annotations of GitHub Actions: one workflow command a rule that is not kept.
 *
 * Source: docs.github.com, "Workflow commands for GitHub Actions": `::error file={name},line={line},col={col},title={title}::{message}`.
 * Escapes as actions/toolkit has them (packages/core/src/command.ts): in messages % \r \n become %25 %0D %0A; in properties : and , become
 * %3A and %2C too. GitHub shows ten errors and ten warnings of a step.
 */
import { printable } from "../base/text.ts";
import { complaintLines, resultText } from "./complaint-text.ts";
import { pathFromHere } from "./paths.ts";
import type { RuleResult, Verdict } from "./verdict.ts";

const SHOWN = { complaints: 10, evidence: 3 };
const MAX_LINES = 40;

/** Lines, each a workflow command; empty for a policy that is kept without a warning. */
export function renderGithub({ policy, rules }: Verdict): string {
  return rules
    .filter(({ state }) => state !== "kept")
    .map((result) => `${command(policy.file, result)}\n`)
    .join("");
}

function command(file: string, result: RuleResult): string {
  const { rule, breaks, state } = result;
  const level = breaks ? "error" : state === "broken" ? "warning" : "notice";
  const properties = [
    ["file", pathFromHere(file)],
    ["line", String(rule.position.line)],
    ["col", String(rule.position.column)],
    ["title", rule.title],
  ] as const;
  const told = properties.map(([name, value]) => `${name}=${escapeProperty(printable(value, 400))}`).join(",");
  return `::${level} ${told}::${escapeData(message(result))}`;
}

function message(result: RuleResult): string {
  const { reason } = result.rule;
  const why = reason === undefined ? [] : [`why: ${printable(reason, 400)}`];
  // The first complaint is in the first line.
  const [, ...lines] = complaintLines(result, SHOWN);
  return [resultText(result), ...why, ...lines].slice(0, MAX_LINES).join("\n");
}

function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
