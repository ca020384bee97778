/**
 * A verdict as JUnit XML: a test case a rule.
 *
 * There is no standard; this is what Jenkins' JUnit plugin, GitLab and GitHub's test reporters read: testsuites > testsuite (name, tests,
 * failures, errors, skipped) > testcase (name, classname, file, line) > failure, error or skipped (message, type), system-out. A rule that is
 * broken is a failure; one that cannot be decided is an error where that breaks the policy, else skipped. What is only a warning is no
 * failure: it is told in system-out.
 */
import { printable } from "../base/text.ts";
import { complaintLines, resultText } from "./complaint-text.ts";
import type { RuleResult, Verdict } from "./verdict.ts";

const SHOWN = { complaints: 100, evidence: 40 };

export function renderJunit({ policy, capture, rules }: Verdict): string {
  const outcomes = rules.map(outcomeOf);
  const count = (wanted: Outcome): number => outcomes.filter((each) => each === wanted).length;
  const counts: Attributes = {
    tests: String(rules.length),
    failures: String(count("failure")),
    errors: String(count("error")),
  };
  const suite = { name: policy.name ?? policy.file, ...counts, skipped: String(count("skipped")) };
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    open("testsuites", { name: "ebscope check", ...counts }),
    `  ${open("testsuite", suite)}`,
    `    <properties>`,
    `      <property${attributes({ name: "capture", value: capture })}/>`,
    `    </properties>`,
    ...rules.flatMap((result, i) =>
      testCase(policy.file, result, outcomes[i] ?? "passed").map((line) => `    ${line}`),
    ),
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

type Outcome = "passed" | "warning" | "failure" | "error" | "skipped";
type Attributes = Readonly<Record<string, string>>;

function outcomeOf({ state, breaks }: RuleResult): Outcome {
  if (state === "kept") return "passed";
  if (state === "broken") return breaks ? "failure" : "warning";
  return breaks ? "error" : "skipped";
}

function testCase(file: string, result: RuleResult, outcome: Outcome): string[] {
  const { rule } = result;
  const { line } = rule.position;
  const head = { name: rule.title, classname: `ebscope.${rule.demand.rule}`, file, line: String(line), time: "0" };
  if (outcome === "passed") return [`<testcase${attributes(head)}/>`];
  return [open("testcase", head), ...body(result, outcome).map((each) => `  ${each}`), "</testcase>"];
}

function body(result: RuleResult, outcome: Exclude<Outcome, "passed">): string[] {
  const { rule } = result;
  const told = { message: resultText(result), type: rule.demand.rule };
  const why = rule.reason === undefined ? [] : [`why: ${printable(rule.reason, 400)}`];
  const lines = [...why, ...complaintLines(result, SHOWN)].map(escapeXml).join("\n");
  switch (outcome) {
    case "failure":
    case "error":
      return [`<${outcome}${attributes(told)}>${lines}</${outcome}>`];
    case "skipped":
      return [`<skipped${attributes({ message: told.message })}/>`, `<system-out>${lines}</system-out>`];
    case "warning":
      return [`<system-out>${escapeXml(`warning: ${told.message}`)}\n${lines}</system-out>`];
  }
}

function open(tag: string, values: Attributes): string {
  return `<${tag}${attributes(values)}>`;
}

function attributes(values: Attributes): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escapeXml(printable(value, 2000))}"`)
    .join("");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};
/** What XML 1.0 (2.2 Char) does not have, not even as a reference: lone surrogates are characters of no text that `printable` lets through. */
const NO_XML = /[\uFFFE\uFFFF]/g;

/** Printable text for XML. */
function escapeXml(text: string): string {
  return text.replace(NO_XML, "\uFFFD").replace(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
}
