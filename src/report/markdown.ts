/**
 * A report as Markdown for a bug tracker: short, without tables of Markdown's own, readable as plain text.
 *
 * Source: CommonMark 0.31, 6.1 "Code spans": a span ends at the first run of as many backticks as it began with; 4.5 "Fenced code blocks": a
 * block ends at a line of at least as many backticks as it began with. GitHub makes mentions, issue numbers and bare addresses of text
 * into links, backslashes or not, but leaves code alone. So all data stands in code, whose delimiters are longer than
 * any run of backticks in it. Data has no line ends: `printable` takes them.
 */
import { printable } from "../base/text.ts";
import {
  type Block,
  MAX_EVIDENCE,
  type Report,
  type Span,
  type Spans,
  type TableBlock,
  type Tone,
} from "./document.ts";

/** Characters kept of one text. */
const MAX_TEXT = 1000;
/** Rows kept of a table. */
const MAX_ROWS = 40;

export function renderMarkdown(report: Report): string {
  const sections = report.sections.filter(({ htmlOnly }) => htmlOnly !== true);
  const lines = [
    `# ${TITLES[report.tone]}`,
    "",
    codeSpan(report.title),
    "",
    spansText(report.summary),
    ...sections.flatMap(({ title, blocks }) => ["", `## ${words(title)}`, ...blocks.flatMap(blockLines)]),
  ];
  return `${lines.join("\n")}\n`;
}

const TITLES: Readonly<Record<Tone, string>> = {
  error: "ExitBootServices: what went wrong",
  warning: "ExitBootServices: what is not as expected",
  info: "ExitBootServices: what it did",
  good: "ExitBootServices: what it did",
};

/** Our own words: nothing in them is meant as Markdown or HTML. An underscore inside a word is no mark (6.2), nor is every `&` (2.5). */
function words(text: string): string {
  return printable(text, MAX_TEXT).replace(/[\\`*[\]<>#|~!@]|(?<!\w)_|_(?!\w)|&(?=[a-z#])/gi, "\\$&");
}

/** Text as code on a line; an empty one as a dash, as there is no empty code span. */
function codeSpan(text: string): string {
  const inner = printable(text, MAX_TEXT);
  if (inner.trim() === "") return "–";
  const fence = "`".repeat(longestRun(inner) + 1);
  // One space on each side is taken off again (6.1), where both are there.
  const pad = /^[` ]|[` ]$/.test(inner) ? " " : "";
  return `${fence}${pad}${inner}${pad}${fence}`;
}

function codeBlock(lines: readonly string[]): string[] {
  const inner = lines.map((line) => printable(line, MAX_TEXT));
  const fence = "`".repeat(Math.max(2, ...inner.map(longestRun)) + 1);
  return ["", `${fence}text`, ...inner, fence];
}

function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
}

function spansText(spans: Spans): string {
  return spans.map((span: Span) => (typeof span === "string" ? words(span) : codeSpan(span.data))).join("");
}

function blockLines(block: Block): string[] {
  switch (block.kind) {
    case "text":
      return ["", spansText(block.spans)];
    case "heading":
      return ["", `### ${spansText(block.spans)}`];
    case "facts":
      return ["", ...block.rows.map(([label, spans]) => `- ${words(label)}: ${spansText(spans)}`)];
    case "table":
      return tableLines(block);
    case "lines":
      return codeBlock(block.lines);
    case "finding":
      return [
        "",
        `- **${SEVERITY[block.tone]}** ${codeSpan(block.title)} (${words(block.rule)})`,
        ...block.evidence.slice(0, MAX_EVIDENCE).map((each) => `  - ${codeSpan(each)}`),
        ...(block.evidence.length > MAX_EVIDENCE ? [`  - … and ${block.evidence.length - MAX_EVIDENCE} more`] : []),
      ];
    case "more":
      return [];
  }
}

const SEVERITY: Readonly<Record<Tone, string>> = {
  error: "Error",
  warning: "Warning",
  info: "Information",
  good: "Good",
};

/** As columns in a code block. */
function tableLines({ caption, columns, rows, marked }: TableBlock): string[] {
  const names = columns.map(({ name }) => name);
  const marks = marked !== undefined;
  const kept = rows.slice(0, MAX_ROWS).map((row, i) => [...(marks ? [i === marked ? ">" : ""] : []), ...row]);
  const head = names.some((name) => name !== "") ? [[...(marks ? [""] : []), ...names]] : [];
  const rest = rows.length - kept.length;
  return [
    ...(caption === undefined ? [] : ["", words(caption)]),
    ...codeBlock([...aligned([...head, ...kept]), ...(rest > 0 ? [`… and ${rest} more`] : [])]),
  ];
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const safe = rows.map((row) => row.map((cell) => printable(cell)));
  const widths: number[] = [];
  for (const row of safe) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return safe.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
