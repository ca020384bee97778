/** `show FILE findings` */
import { plural, printable } from "../../base/text.ts";
import type { Finding } from "../../diagnose/findings.ts";
import { style } from "./style.ts";

/** Lines of evidence that one finding shows without --all. */
const MAX_EVIDENCE = 24;

/** `compared`: the two points whose difference the rules were given; undefined when the capture has a single one. */
export function renderFindings(findings: readonly Finding[], compared: string | undefined, all: boolean): string[] {
  const about = compared === undefined ? "of the only point" : `of ${compared}`;
  const title = `${style.heading(findings.length === 0 ? "No finding" : plural(findings.length, "finding"))}  ${style.quiet(about)}`;
  return [title, ...findings.flatMap((finding) => findingLines(finding, all))];
}

/** Rules take what is printable into their texts; what they forgot is caught here. */
function findingLines({ rule, severity, title, evidence }: Finding, all: boolean): string[] {
  const shown = all ? evidence : evidence.slice(0, MAX_EVIDENCE);
  const rest = evidence.length - shown.length;
  return [
    `${MARKS[severity](printable(title, 500))}  ${style.quiet(rule)}`,
    ...shown.map((line) => `    ${printable(line, 500)}`),
    ...(rest > 0 ? [style.quiet(`    … ${plural(rest, "line")} more: --all`)] : []),
  ];
}

const MARKS: Readonly<Record<Finding["severity"], (text: string) => string>> = {
  error: (text) => style.bad(`✗ ${text}`),
  warning: (text) => style.warn(`! ${text}`),
  info: (text) => style.good(`· ${text}`),
};
