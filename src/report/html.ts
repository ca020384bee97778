/**
 * A report as one HTML page that needs nothing else: no script, no link to anywhere, no picture; it can be mailed and opened from disk.
 *
 * Every text goes through `escaped`, words and data alike; no attribute holds data. Beside that stands a policy (CSP 3) that allows the one
 * style element, by its hash, and nothing else: should an element ever get in, it loads and runs nothing.
 */
import { createHash } from "node:crypto";
import { printable } from "../base/text.ts";
import {
  type Block,
  type Column,
  MAX_EVIDENCE,
  type Report,
  type Section,
  type Span,
  type Spans,
  type TableBlock,
  type Tone,
} from "./document.ts";
import { STYLE } from "./html-style.ts";

/** Characters kept of one text. */
const MAX_TEXT = 4000;

export function renderHtml(report: Report): string {
  const lines = [
    "<!DOCTYPE html>",
    '<html lang="en">',
    "<head>",
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy()}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="referrer" content="no-referrer">',
    `<title>${escaped(report.title)}</title>`,
    `<style>${STYLE}</style>`,
    "</head>",
    "<body>",
    "<main>",
    ...header(report),
    ...report.sections.map(section),
    "</main>",
    "</body>",
    "</html>",
  ];
  return `${lines.join("\n")}\n`;
}

function policy(): string {
  const hash = createHash("sha256").update(STYLE, "utf8").digest("base64");
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;",
};

function escaped(text: string): string {
  return printable(text, MAX_TEXT).replace(/[&<>"'`]/g, (char) => ENTITIES[char] ?? "");
}

function spansHtml(spans: Spans): string {
  return spans.map(spanHtml).join("");
}

function spanHtml(span: Span): string {
  return typeof span === "string" ? escaped(span) : `<code>${escaped(span.data)}</code>`;
}

const TONE_WORDS: Readonly<Record<Tone, string>> = {
  error: "Error",
  warning: "Warning",
  info: "Information",
  good: "Good",
};

function header({ tone, title, summary, sections }: Report): string[] {
  const links = sections.map(({ id, title: name }) => `<a href="#${id}">${escaped(name)}</a>`);
  return [
    `<header class="${tone}">`,
    `<p class="tone">${TONE_WORDS[tone]}</p>`,
    `<h1>${escaped(title)}</h1>`,
    `<p class="summary">${spansHtml(summary)}</p>`,
    "</header>",
    `<nav aria-label="Sections">${links.join(" ")}</nav>`,
  ];
}

function section({ id, title, blocks }: Section): string {
  const heading = `<h2 id="${id}"><a href="#${id}">${escaped(title)}</a></h2>`;
  return ["<section>", heading, ...blocks.map(blockHtml), "</section>"].join("\n");
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case "text":
      return `<p${block.tone === undefined ? "" : ` class="${block.tone}"`}>${spansHtml(block.spans)}</p>`;
    case "heading":
      return `<h3>${spansHtml(block.spans)}</h3>`;
    case "facts":
      return factsHtml(block.rows);
    case "table":
      return tableHtml(block);
    case "lines":
      return `<pre tabindex="0"><code>${block.lines.map(escaped).join("\n")}</code></pre>`;
    case "finding":
      return findingHtml(block);
    case "more":
      return [
        `<details><summary>${escaped(block.summary)}</summary>`,
        ...block.blocks.map(blockHtml),
        "</details>",
      ].join("\n");
  }
}

function factsHtml(rows: Extract<Block, { kind: "facts" }>["rows"]): string {
  const items = rows.map(([label, spans]) => `<div><dt>${escaped(label)}</dt><dd>${spansHtml(spans)}</dd></div>`);
  return `<dl>\n${items.join("\n")}\n</dl>`;
}

function findingHtml({ tone, rule, title, evidence }: Extract<Block, { kind: "finding" }>): string {
  const list = (texts: readonly string[]): string[] =>
    texts.length === 0 ? [] : ["<ul>", ...texts.map((each) => `<li><code>${escaped(each)}</code></li>`), "</ul>"];
  const rest = list(evidence.slice(MAX_EVIDENCE));
  return [
    `<article class="${tone}">`,
    `<p class="tone">${TONE_WORDS[tone]} <span class="rule">${escaped(rule)}</span></p>`,
    `<h3>${escaped(title)}</h3>`,
    ...list(evidence.slice(0, MAX_EVIDENCE)),
    ...(rest.length === 0 ? [] : ["<details><summary>More evidence</summary>", ...rest, "</details>"]),
    "</article>",
  ].join("\n");
}

function tableHtml({ caption, columns, rows, marked, code }: TableBlock): string {
  const titled = columns.some(({ name }) => name !== "");
  const head = columns.map(({ name }) => `<th scope="col">${escaped(name)}</th>`).join("");
  return [
    `<div class="scroll" tabindex="0"><table${code === true ? ' class="code"' : ""}>`,
    ...(caption === undefined ? [] : [`<caption>${escaped(caption)}</caption>`]),
    ...(titled ? [`<thead><tr>${head}</tr></thead>`] : []),
    "<tbody>",
    ...rows.map((row, i) => rowHtml(row, columns, i === marked)),
    "</tbody></table></div>",
  ].join("\n");
}

function rowHtml(row: readonly string[], columns: readonly Column[], marked: boolean): string {
  const cells = columns.map(({ prose }, i) => {
    const cell = escaped(row[i] ?? "");
    return prose === true ? `<td class="prose">${cell}</td>` : `<td>${cell}</td>`;
  });
  return `<tr${marked ? ' class="marked"' : ""}>${cells.join("")}</tr>`;
}
